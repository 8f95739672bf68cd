"""Reads data frames out of R's .rda files: numbers, truth values, words and factors; nothing in them is run.

A file is a packed serialisation in XDR, big-endian, of a list of named objects (R Internals, Serialization Formats).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from pathlib import Path
from typing import Any

from asr_transfer.errors import DataError
from asr_transfer.textfiles import read_bytes

_SYMBOL, _PAIRLIST, _CHARACTERS, _LOGICAL, _INTEGER, _REAL, _WORDS, _LIST = 1, 2, 9, 10, 13, 14, 16, 19
_NULL, _REFERENCE = 254, 255
_HAS_ATTRIBUTES, _HAS_TAG = 1 << 9, 1 << 10
_MISSING = -(2**31)
_AGAIN = "get the file again"


class _Reader:
    """Reads one object after the other from bytes; a vector becomes a pair of its values and its attributes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0
        self.symbols: list[str] = []

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.content):
            raise ValueError("it is cut off")
        self.at += size
        return self.content[self.at - size : self.at]

    def whole(self) -> int:
        return int(struct.unpack(">i", self.take(4))[0])

    def object(self) -> Any:
        flags = self.whole()
        kind = flags & 0xFF
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            return self.symbols[(flags >> 8) - 1]
        if kind == _SYMBOL:
            self.symbols.append(self.object())
            return self.symbols[-1]
        if kind == _PAIRLIST:
            return self.pairs(flags)
        if kind == _CHARACTERS:
            length = self.whole()
            return None if length == -1 else self.take(length).decode("utf-8", "replace")
        return self.vector(kind, bool(flags & _HAS_ATTRIBUTES))

    def pairs(self, flags: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while flags & 0xFF == _PAIRLIST:
            if flags & _HAS_ATTRIBUTES:
                self.object()
            name = self.object() if flags & _HAS_TAG else ""
            found[name] = self.object()
            flags = self.whole()
        return found

    def vector(self, kind: int, has_attributes: bool) -> tuple[list[Any], dict[str, Any]]:
        length = self.whole()
        if kind in (_LOGICAL, _INTEGER):
            numbers = struct.unpack(f">{length}i", self.take(4 * length)) if length >= 0 else ()
            values: list[Any] = [None if number == _MISSING else number for number in numbers]
        elif kind == _REAL:
            values = list(struct.unpack(f">{length}d", self.take(8 * length)))
        elif kind in (_WORDS, _LIST):
            values = [self.object() for _ in range(length)]
        else:
            raise ValueError(f"it holds an object of the type {kind}, which is not read here")
        return values, (self.object() or {}) if has_attributes else {}


def read_data_frame(file: Path, name: str) -> tuple[list[str], dict[str, list[Any]]]:
    """Read the names of the rows, and the columns by name, of a data frame; a factor's values are its levels.

    Args:
        file: File with the ending .rda, packed by gzip, bzip2 or xz, or not.
        name: Name of the data frame.

    Raises:
        DataError: The file is damaged, or holds no such data frame.
    """
    try:
        content = _unpacked(read_bytes(file, _AGAIN))
        if content[:7] not in (b"RDX2\nX\n", b"RDX3\nX\n"):
            raise ValueError("it does not begin as such a file")
        reader = _Reader(content)
        reader.take(7)
        version, _, _ = reader.whole(), reader.whole(), reader.whole()
        if version == 3:
            reader.take(reader.whole())  # the encoding that it was written in
        held = reader.object()
        if not isinstance(held, dict) or name not in held:
            raise DataError(f"{file}: holds no data frame '{name}'; {_AGAIN}.")
        columns, about = held[name]
        names, rows = about["names"][0], about["row.names"][0]
        read = {column: _values(*values) for column, values in zip(names, columns, strict=True)}
    except (ValueError, TypeError, KeyError, IndexError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        reason = str(error).rstrip(".") or "it is cut off"
        raise DataError(f"{file}: is no file of R that can be read ({reason}); {_AGAIN}.") from None
    return [str(row) for row in rows], read


def _values(values: list[Any], about: dict[str, Any]) -> list[Any]:
    levels = about.get("levels")
    return values if levels is None else [None if value is None else levels[0][value - 1] for value in values]


def _unpacked(content: bytes) -> bytes:
    if content.startswith(b"\xfd7zXZ"):
        return lzma.decompress(content)
    if content.startswith(b"BZh"):
        return bz2.decompress(content)
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
