"""What a WAV header says of its data's size, held against what is there.

A recorder that stops before it returns to the header leaves there 0 or the size of an earlier moment, and a program
that writes into a pipe a placeholder. RIFF, RIFX and RF64 (ITU-R BS.2088) are known.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

PLACEHOLDER = 2**31 - 2**16
"""From this many bytes on, a size of four bytes is the placeholder of a program that wrote to a pipe."""

_WIDE_PLACEHOLDER = 2**62
_PADDING = 0.05
"""Seconds of bytes behind the data that are taken for padding."""
_CHUNKS = 1000
_LOOK = 2**16
_TAGS = (b"TAG", b"ID3", b"APETAGEX")


@dataclass(frozen=True)
class DataSize:
    """The `data` chunk of a WAV file.

    Attributes:
        order: "<" or ">", the order of bytes in numbers.
        field: position of the size in the file.
        wide: the size has eight bytes and stands in `ds64`.
        begin: position of the first sample.
        declared: bytes of samples by the header.
        held: bytes from the first sample to the end of the file.
        block: bytes of one frame.
        rate: bytes of one second.
    """

    order: str
    field: int
    wide: bool
    begin: int
    declared: int
    held: int
    block: int
    rate: int

    @property
    def is_placeholder(self) -> bool:
        """Whether the header leaves open how much there is."""
        return self.declared >= (_WIDE_PLACEHOLDER if self.wide else PLACEHOLDER) and self.declared > self.held

    @property
    def promise(self) -> float:
        """How many times more the header declares than there is; 1 where it declares less or leaves it open."""
        if self.is_placeholder or not self.held:
            return 1.0
        return max(1.0, self.declared / self.held)


def data_size(file: Path) -> DataSize | None:
    """Return what a WAV header says; None for a file of another kind or without data.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        head = stream.read(12)
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:] != b"WAVE":
            return None
        order = ">" if head[:4] == b"RIFX" else "<"
        block, rate, field, wide_size = 1, 0, -1, -1
        for _ in range(_CHUNKS):
            part = stream.read(8)
            if len(part) < 8:
                return None
            name, size = part[:4], struct.unpack(f"{order}I", part[4:])[0]
            at = stream.tell()
            if name == b"data":
                held = stream.seek(0, io.SEEK_END) - at
                if field < 0:
                    return DataSize(order, at - 4, False, at, size, held, block, rate)
                return DataSize(order, field, True, at, wide_size, held, block, rate)
            body = stream.read(24)
            if name == b"fmt " and len(body) >= 16:
                rate, block = struct.unpack(f"{order}IH", body[8:14])
            elif name == b"ds64" and len(body) >= 16 and head[:4] in (b"RF64", b"BW64"):
                field, wide_size = at + 8, struct.unpack("<Q", body[8:16])[0]
            stream.seek(at + size + size % 2)
    return None


def continues(file: Path, size: DataSize) -> bool:
    """Whether samples go on behind the data that the header declares: no chunk, tag, padding or silence stands there.

    Raises:
        OSError: the file cannot be read.
    """
    rest = size.held - size.declared
    if rest <= max(16, _PADDING * size.rate):
        return False
    with file.open("rb") as stream:
        for begin in (size.declared, size.declared + size.declared % 2):
            stream.seek(size.begin + begin)
            if _is_chunk(stream.read(8), size.held - begin, size.order):
                return False
        stream.seek(size.begin + size.declared)
        first = stream.read(min(rest, _LOOK))
        stream.seek(-min(rest, _LOOK), io.SEEK_END)
        return any(first) or any(stream.read(_LOOK))


def _is_chunk(head: bytes, rest: int, order: str) -> bool:
    if head.startswith(_TAGS):
        return True
    named = len(head) == 8 and all(32 <= byte < 127 for byte in head[:4])
    return named and 8 + int(struct.unpack(f"{order}I", head[4:])[0]) <= rest + 1


class Mended(io.RawIOBase):
    """A WAV file as if its header declared all that is there.

    Args:
        file: the file, which stays as it is.
        size: what it declares.
    """

    def __init__(self, file: Path, size: DataSize) -> None:
        whole = size.held - size.held % max(size.block, 1)
        if size.wide:
            sizes = struct.pack("<QQQ", size.begin + whole - 8, whole, whole // max(size.block, 1))
            self._patches = {size.field - 8: sizes}
        else:
            number = f"{size.order}I"
            largest = 2**32 - 1
            self._patches = {
                4: struct.pack(number, min(size.begin + whole - 8, largest)),
                size.field: struct.pack(number, min(whole, largest)),
            }
        self._file = file.open("rb", buffering=0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in the file."""
        return self._file.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read into `buffer` and return how many bytes there were."""
        at = self._file.tell()
        found = self._file.read(len(memoryview(buffer).cast("B")))
        data = bytearray(found)
        for begin, patch in self._patches.items():
            for index, byte in enumerate(patch, start=begin - at):
                if 0 <= index < len(data):
                    data[index] = byte
        memoryview(buffer).cast("B")[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
