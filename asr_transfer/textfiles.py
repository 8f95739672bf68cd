"""Reads and writes text files: UTF-8, lines as editors count them, each file complete or not there at all.

Names of files need not be UTF-8: Python holds their other bytes as lone surrogates, which no UTF-8 file can. They are
written as backslash escapes (`\\udcff`), which JSON gives back as the same name.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TextIO, cast

from asr_transfer.errors import ConfigError, DataError

ESCAPED = "backslashreplace"
"""How characters are written that an encoding lacks."""


def read_text(path: str | Path, mend: str = "give a text file") -> str:
    """Return the text of a UTF-8 file, with or without byte order mark.

    Args:
        path: file.
        mend: advice for a message, where the file cannot be read.

    Raises:
        DataError: it is missing, may not be read, or is not UTF-8; the message names line and byte.
    """
    return decoded(read_bytes(path, mend), path)


def read_bytes(path: str | Path, mend: str = "give a text file") -> bytes:
    """Return what a file holds, for those that look at it before it is `decoded`.

    Raises:
        DataError: it is missing or may not be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path that holds NUL
        raise DataError(unreadable(path, error, mend)) from None


def read_lines(path: str | Path, mend: str = "give a text file") -> list[str]:
    """Return the lines of a UTF-8 file, without their ends; see `lines_of` and `read_text`."""
    return lines_of(read_text(path, mend))


def decoded(data: bytes, source: str | Path, mend: str = "save it as UTF-8") -> str:
    """Return the text of UTF-8 bytes, with or without byte order mark.

    Args:
        data: content of a file.
        source: name of the file, for a message.
        mend: advice for a message.

    Raises:
        DataError: they are none; the message names `source`, line and byte, or the command that makes UTF-8 of UTF-16.
    """
    if (found := _utf16(data)) is not None:
        command = f"iconv -f {found} -t UTF-8 {shlex.quote(str(source))} > utf8.txt"
        raise DataError(f"{source}: is UTF-16; save it as UTF-8, with an editor or `{command}`.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{source} line {line}: is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}); {mend}."
        ) from None


def _utf16(data: bytes) -> str | None:
    """Return the name of the UTF-16 that bytes are, with a byte order mark or without; None for what is none."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    beginning = data[:1024]
    low, high = beginning[0::2], beginning[1::2]
    # Without a mark it shows where letters are Latin: every other byte is zero, which no text has.
    if len(high) > 1 and high.count(0) > 0.5 * len(high) and not low.count(0):
        return "UTF-16LE"
    return "UTF-16BE" if len(high) > 1 and low.count(0) > 0.5 * len(low) and not high.count(0) else None


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, which end at LF or CR LF only: U+2028, U+0085 and their like may be part of one."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def unreadable(path: str | Path, error: Exception, mend: str = "give a text file") -> str:
    """Return a sentence on why a file cannot be read."""
    if isinstance(error, PermissionError):
        return f"{path}: may not be read (permission denied); ask its owner for the right to read it."
    if isinstance(error, FileNotFoundError):
        return f"{path}: there is no such file; {mend}."
    if isinstance(error, IsADirectoryError):
        return f"{path}: is a folder; {mend}."
    return f"{path}: cannot be read ({_reason(error)}); {mend}."


def unwritable(path: str | Path, error: Exception, option: str = "--out") -> str:
    """Return a sentence on why a file or folder cannot be written; `option` names what chose it."""
    if isinstance(error, IsADirectoryError):
        return f"{path}: is a folder; give {option} the name of a file."
    return f"{path}: cannot be written ({_reason(error)}); free space, mend its rights or give another {option}."


@contextlib.contextmanager
def writing(path: str | Path, option: str = "--out") -> Iterator[TextIO]:
    """Open a text file that takes its name only when it is complete; its folder is made, links are followed.

    A file that stood there keeps its mode. What is no ordinary file, such as `/dev/stdout`, is written as it is.

    Args:
        path: file.
        option: option that chose the file, for a message.

    Raises:
        DataError: it cannot be written; what stood there before is untouched.
    """
    with _replacing(path, option, "w", encoding="utf-8", errors=ESCAPED, newline="\n") as out:
        yield cast(TextIO, out)


@contextlib.contextmanager
def _replacing(path: str | Path, option: str, mode: str, **how: Any) -> Iterator[IO[Any]]:
    file = Path(os.path.realpath(path))
    partial: Path | None = None
    try:
        if file.exists() and not file.is_file() and not file.is_dir():
            with file.open(mode, **how) as out:
                yield out
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise IsADirectoryError
        clear_leftovers(file)
        partial = beside(file, "partial")
        with partial.open(mode, **how) as out:
            yield out
            out.flush()
        if file.exists():
            shutil.copymode(file, partial)
        os.replace(partial, file)
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith(str(file.parent)):
            raise  # of something else that was read or written meanwhile
        raise DataError(unwritable(path, error, option)) from None
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str, option: str = "--out") -> None:
    """Write a whole file; see `writing`."""
    with writing(path, option) as out:
        out.write(text)


def write_bytes(path: str | Path, content: bytes, option: str = "--out") -> None:
    """Write a whole file that is no text; see `writing`."""
    with _replacing(path, option, "wb") as out:
        out.write(content)


def append_text(path: str | Path, text: str, option: str = "--out") -> None:
    """Write at the end of a file, which need not exist.

    Raises:
        DataError: it cannot be written.
    """
    try:
        with Path(path).open("a", encoding="utf-8", errors=ESCAPED, newline="\n") as out:
            out.write(text)
    except OSError as error:
        raise DataError(unwritable(path, error, option)) from None


def spelled(name: object) -> str:
    """Return a name as it can be written: with escapes for what is not UTF-8."""
    return str(name).encode("utf-8", ESCAPED).decode("utf-8")


def require_writable_file(path: str | Path, option: str = "--out") -> None:
    """Make sure, before long work, that a file can be written.

    Raises:
        ConfigError: it cannot; the message names the option to change.
    """
    _require(Path(os.path.realpath(path)).parent, path, option, Path(path))


def require_writable_folder(path: str | Path, option: str = "--out") -> None:
    """Make sure, before long work, that a folder can be made, or written where it exists; nothing is left in it.

    Raises:
        ConfigError: it cannot; the message names the option to change.
    """
    _require(Path(path), path, option)


def _require(folder: Path, path: str | Path, option: str, file: Path | None = None) -> None:
    try:
        if file is not None and file.is_dir():
            raise IsADirectoryError
        if file is not None and file.exists() and not file.is_file():
            return  # a device or pipe is written as it is
        if os.path.lexists(folder) and not folder.exists():
            raise ConfigError(f"{folder}: is a link that leads nowhere; remove it or give another {option}.")
        place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if place == folder and file is None and not place.is_dir():
            raise ConfigError(f"{path}: is a file; give {option} a folder.")
        if not place.is_dir():
            raise ConfigError(
                f"{path}: {place} is a file, so that nothing can be written below it; give another {option}."
            )
        # Tried, not asked for: root may write by mode where the mount or the file system does not let him.
        with tempfile.NamedTemporaryFile(prefix=".writable-", dir=place) as probe:
            probe.write(bytes(4096))
            probe.flush()
    except (OSError, ValueError) as error:
        raise ConfigError(unwritable(path, error, option)) from None


def beside(target: Path, what: str) -> Path:
    """Return a hidden name beside `target` that tells which process of which machine it belongs to."""
    return target.with_name(f".{target.name}.{what}-{_HOST}-{os.getpid()}")


def leftovers(target: Path, what: str) -> list[Path]:
    """Return the files and folders that `beside` named and whose processes are gone, the oldest first."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.{what}-(?:([0-9a-f]{{8}})-)?(\d+)")
    found = []
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            if match and match.group(1) in (None, _HOST) and not _runs(int(match.group(2))):
                found.append((entry.stat(follow_symlinks=False).st_mtime, target.with_name(entry.name)))
    return [path for _, path in sorted(found)]


def clear_leftovers(target: Path) -> None:
    """Remove what processes that are gone left beside `target` half written."""
    for path in leftovers(target, "partial"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
"""Where processes are numbered: another machine may write into the same folder."""


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
