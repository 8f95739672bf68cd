"""Keeps hashes of recordings' bytes, so that what is computed of a recording is found again by its content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from pathlib import Path

from asr_transfer import textfiles
from asr_transfer.errors import DataError

NAME = "digests.sqlite"
"""File of the hashes, in the folder of what they are for."""
PATIENCE = 5.0
"""Seconds to wait while another process writes; then recordings are hashed again next time."""

_TABLE = "CREATE TABLE IF NOT EXISTS digests (path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, digest TEXT)"


class FileDigests:
    """Hashes of files' bytes, remembered by path, size and modification time so that big corpora are read once.

    They lie in a database, of which a command reads and writes what it asks for, however many recordings were ever
    seen. A database that is damaged or may not be written costs that recordings are hashed again, and nothing else.

    Args:
        file: database that holds them; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._hashed: dict[str, tuple[int, int, str]] = {}
        self._database: sqlite3.Connection | None = None

    def of(self, path: str) -> str:
        """Return the hash of a file's bytes.

        Raises:
            DataError: there is no such file, or it may not be read.
        """
        resolved = os.path.abspath(path)
        try:
            status = os.stat(resolved)
        except OSError:
            raise DataError(
                f"{path}: there is no such audio file; correct the path in the manifest or the command."
            ) from None
        entry = self._hashed.get(resolved) or self._found(resolved)
        if entry is None or entry[:2] != (status.st_size, status.st_mtime_ns):
            digest = hashlib.sha256()
            try:
                with open(resolved, "rb") as file:
                    while block := file.read(2**20):
                        digest.update(block)
            except OSError as error:
                raise DataError(textfiles.unreadable(path, error, "give an audio file")) from None
            entry = status.st_size, status.st_mtime_ns, digest.hexdigest()[:32]
            self._hashed[resolved] = entry
        return entry[2]

    def save(self) -> None:
        """Write what was hashed anew."""
        rows = [(os.fsencode(path), *entry) for path, entry in self._hashed.items()]
        if rows:
            try:
                self._write(rows)
            except OSError:
                pass  # they are hashed again next time
            except sqlite3.DatabaseError as error:
                if not isinstance(error, sqlite3.OperationalError):  # it is no database: begin anew
                    with contextlib.suppress(sqlite3.Error, OSError):
                        self._close()
                        self._file.unlink()
                        self._write(rows)
        self._close()

    def _write(self, rows: list[tuple[bytes, int, int, str]]) -> None:
        self._file.touch()  # SQLite would keep others from writing it, whatever the umask says
        database = self._open()
        with database:  # all of it or nothing
            database.execute(_TABLE)
            database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)", rows)

    def _found(self, path: str) -> tuple[int, int, str] | None:
        if self._database is None and not self._file.exists():
            return None
        with contextlib.suppress(sqlite3.Error):
            asked = "SELECT size, modified, digest FROM digests WHERE path = ?"
            row = self._open().execute(asked, (os.fsencode(path),)).fetchone()
            if row is not None and isinstance(row[2], str):
                return row[0], row[1], row[2]
        return None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = sqlite3.connect(self._file, timeout=PATIENCE)
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
