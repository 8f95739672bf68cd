"""Data frames of R, written here as R writes them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.data.images.r_data import read_data_frame
from asr_transfer.errors import DataError

OBJECT, ATTRIBUTES, TAG = 1 << 8, 1 << 9, 1 << 10


def _whole(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}i", *numbers)


def _word(text: str | None) -> bytes:
    return _whole(9, -1) if text is None else _whole(9, len(text)) + text.encode()


def _words(words: list[str]) -> bytes:
    return _whole(16, len(words)) + b"".join(map(_word, words))


class _Writer:
    """Writes symbols once and refers to them afterwards, as R does."""

    def __init__(self) -> None:
        self.known: list[str] = []

    def symbol(self, name: str) -> bytes:
        if name in self.known:
            return _whole(255 | (self.known.index(name) + 1) << 8)
        self.known.append(name)
        return _whole(1) + _word(name)

    def pairs(self, values: Mapping[str, bytes]) -> bytes:
        return b"".join(_whole(2 | TAG) + self.symbol(name) + value for name, value in values.items()) + _whole(254)

    def column(self, values: list[Any]) -> bytes:
        if isinstance(values[0], bool):
            return _whole(10, len(values), *(-(2**31) if value is None else value for value in values))
        if isinstance(values[0], float):
            return _whole(14, len(values)) + struct.pack(f">{len(values)}d", *values)
        if isinstance(values[0], int):
            return _whole(13, len(values), *values)
        levels = sorted(set(values))
        numbers = _whole(13 | OBJECT | ATTRIBUTES, len(values), *(levels.index(value) + 1 for value in values))
        return numbers + self.pairs({"levels": _words(levels), "class": _words(["factor"])})

    def frame(self, columns: Mapping[str, list[Any]], rows: list[str]) -> bytes:
        content = _whole(19 | OBJECT | ATTRIBUTES, len(columns)) + b"".join(map(self.column, columns.values()))
        about = {"names": _words(list(columns)), "row.names": _words(rows), "class": _words(["data.frame"])}
        return content + self.pairs(about)


def r_data(name: str, columns: Mapping[str, list[Any]], rows: list[str], version: int = 2) -> bytes:
    """Return a file of R that holds a data frame; columns are bool, float, int, or words (factors)."""
    writer = _Writer()
    head = _whole(version, 0x40200, 0x20300) + (_whole(5) + b"UTF-8" if version == 3 else b"")
    # One symbol is read before the columns, so that references count from it.
    content = _whole(2 | TAG) + writer.symbol(name) + writer.frame(columns, rows) + _whole(254)
    return f"RDX{version}\nX\n".encode() + head + content


COLUMNS = {"fur": [True, None, False], "weight": [4.5, 0.02, 30.0], "legs": [4, 2, 4], "sort": ["b", "a", "b"]}
ROWS = ["cat", "wren", "dog"]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_columns_and_rows(tmp_path: Path, pack: Callable[[bytes], bytes], version: int) -> None:
    (tmp_path / "a.rda").write_bytes(pack(r_data("Zoo", COLUMNS, ROWS, version)))
    rows, columns = read_data_frame(tmp_path / "a.rda", "Zoo")
    assert rows == ROWS and columns == COLUMNS


def test_every_cut_is_seen(tmp_path: Path) -> None:
    whole = r_data("Zoo", COLUMNS, ROWS)
    for length in range(0, len(whole) - 4, 5):
        (tmp_path / "a.rda").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.rda: is no file of R that can be read \(.+\); get the file again"):
            read_data_frame(tmp_path / "a.rda", "Zoo")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(r_data("Zoo", COLUMNS, ROWS))[:-20], "is no file of R that can be read"),
        (lzma.compress(r_data("Zoo", COLUMNS, ROWS))[:90], "is no file of R that can be read"),
        (r_data("Glass", COLUMNS, ROWS), "holds no data frame 'Zoo'"),
        (b"RDX2\nX\n" + _whole(2, 0, 0, 2 | TAG, 1) + _word("Zoo") + _whole(3, 0), "object of the type 3"),
        (b"PK", "it does not begin as such a file"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.rda").write_bytes(content)
    with pytest.raises(DataError, match=said) as raised:
        read_data_frame(tmp_path / "a.rda", "Zoo")
    assert "\n" not in str(raised.value)
