"""Hashes of recordings are remembered in a database of which a command reads and writes only what it asks for."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest

from asr_transfer.data.digests import FileDigests
from asr_transfer.errors import DataError


def _file(folder: Path, name: str, content: bytes = b"x") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def _rows(database: Path) -> set[str]:
    with sqlite3.connect(database) as connection:
        return {os.fsdecode(path) for (path,) in connection.execute("SELECT path FROM digests")}


def test_a_hash_is_that_of_the_bytes_and_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, database = _file(tmp_path, "a.wav", b"speech"), tmp_path / "digests.sqlite"
    first = FileDigests(database)
    assert first.of(name) == hashlib.sha256(b"speech").hexdigest()[:32]
    first.save()
    status = os.stat(name)
    Path(name).write_bytes(b"SPEECH")  # as long, and as old: nobody reads it again
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FileDigests(database).of(name) == hashlib.sha256(b"speech").hexdigest()[:32]
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert FileDigests(database).of(name) == hashlib.sha256(b"SPEECH").hexdigest()[:32]


def test_what_others_remembered_stays_and_two_commands_may_write(tmp_path: Path) -> None:
    database = tmp_path / "digests.sqlite"
    one, other = FileDigests(database), FileDigests(database)
    names = [_file(tmp_path, f"{n}.wav") for n in range(3)]
    one.of(names[0])
    other.of(names[1])
    one.save()
    other.save()
    later = FileDigests(database)
    later.of(names[2])
    later.save()
    assert _rows(database) == set(names)


def test_names_that_are_no_text_are_remembered_too(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff.wav")
    try:
        Path(name).write_bytes(b"x")
    except OSError:
        pytest.skip("the file system takes no such names")
    digests = FileDigests(tmp_path / "digests.sqlite")
    digests.of(name)
    digests.save()
    assert _rows(tmp_path / "digests.sqlite") == {name}


def test_what_cannot_be_kept_is_hashed_again(tmp_path: Path) -> None:
    (tmp_path / "digests.sqlite").mkdir()
    name = _file(tmp_path, "a.wav")
    for _ in range(2):
        digests = FileDigests(tmp_path / "digests.sqlite")
        assert digests.of(name) == hashlib.sha256(b"x").hexdigest()[:32]
        digests.save()
    with pytest.raises(DataError, match=r"gone\.wav: there is no such audio file"):
        digests.of(str(tmp_path / "gone.wav"))


def test_a_command_reads_no_more_than_it_asks_for(tmp_path: Path) -> None:
    """A hundred thousand recordings that were seen before cost the next one nothing."""
    database = tmp_path / "digests.sqlite"
    FileDigests(database)._write([(f"/seen/{n}.wav".encode(), n, n, "0" * 32) for n in range(100_000)])
    pages = 0

    def count(statement: str) -> None:
        nonlocal pages
        pages += 1

    digests = FileDigests(database)
    digests._open().set_trace_callback(count)
    digests.of(_file(tmp_path, "new.wav"))
    before = database.stat().st_size
    digests.save()
    assert pages <= 6 and database.stat().st_size - before < 20_000
