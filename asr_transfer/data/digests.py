"""Keeps hashes of recordings' bytes, so that what is computed of a recording is found again by its content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from asr_transfer import textfiles
from asr_transfer.errors import DataError
from asr_transfer.plain import to_json


class FileDigests:
    """Hashes of files' bytes, remembered by path, size and modification time so that big corpora are read once.

    Args:
        file: file that holds them; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed = False
        self._known: dict[str, list[Any]] = {}
        with contextlib.suppress(DataError, ValueError, TypeError):  # then the recordings are hashed again
            self._known.update(json.loads(textfiles.read_text(file)))

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
        stamp = [status.st_size, status.st_mtime_ns]
        entry = self._known.get(resolved)
        if entry is None or entry[:2] != stamp:
            digest = hashlib.sha256()
            try:
                with open(resolved, "rb") as file:
                    while block := file.read(2**20):
                        digest.update(block)
            except OSError as error:
                raise DataError(textfiles.unreadable(path, error, "give an audio file")) from None
            entry = [*stamp, digest.hexdigest()[:32]]
            self._known[resolved] = entry
            self._changed = True
        return str(entry[2])

    def save(self) -> None:
        """Write what was hashed anew."""
        if self._changed:
            with contextlib.suppress(DataError):  # then they are hashed again next time
                textfiles.write_text(self._file, to_json(self._known))
