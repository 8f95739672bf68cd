"""Compares what the header of a WAV, AIFF, AU or CAF file states of its data's size with what is there.

A recorder that stops before it returns to the header leaves there 0 or the size of an earlier moment, and a program
that writes into a pipe a placeholder. RIFF, RIFX and RF64 (ITU-R BS.2088) are known.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PLACEHOLDER = 2**31 - 2**16
"""From this many bytes on, a size of four bytes is the placeholder of a program that wrote to a pipe."""

_WIDE_PLACEHOLDER = 2**62
_PADDING = 0.05
"""Seconds of bytes behind the data that are taken for padding."""
_CHUNKS = 1000
_LOOK = 2**16
_TAGS = (b"TAG", b"ID3", b"APETAGEX")
_AU_BYTES = {2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8}
"""Bytes of a sample by AU's encodings; 1 of the others, which are compressed."""


@dataclass(frozen=True)
class SizeField:
    """A place in a header that depends on how many bytes of samples there are.

    Attributes:
        position: position of its first byte.
        kind: format of the number, as `struct` writes it.
        added: bytes that it counts besides the samples.
        unit: bytes of samples that count as one.
    """

    position: int
    kind: str
    added: int = 0
    unit: int = 1

    def written(self, samples: int) -> bytes:
        """Return the field for so many bytes of samples."""
        number = samples // self.unit + self.added
        return struct.pack(self.kind, min(number, 256 ** struct.calcsize(self.kind) - 1))


@dataclass(frozen=True)
class DataSize:
    """The samples of a file, by its header and as they are.

    Attributes:
        fields: fields that hold the size.
        begin: position of the first sample.
        declared: bytes of samples by the header.
        held: bytes from the first sample to the end of the file.
        block: bytes of one frame.
        rate: bytes of one second.
        chunk: format of the size of a chunk, as `struct` writes it; empty where nothing can stand behind the samples.
        wide: whether the size has eight bytes.
        name: first bytes that the file should have and has not; empty where they are right.
    """

    fields: tuple[SizeField, ...]
    begin: int
    declared: int
    held: int
    block: int
    rate: int
    chunk: str = "<I"
    wide: bool = False
    name: bytes = b""

    @property
    def is_placeholder(self) -> bool:
        """Whether the header leaves open how much there is."""
        return self.declared >= (_WIDE_PLACEHOLDER if self.wide else PLACEHOLDER) and self.declared > self.held

    @property
    def is_unreadable(self) -> bool:
        """Whether the library cannot read the file with such a header."""
        caf = self.chunk == ">Q"
        return bool(self.name) or (self.wide and self.is_placeholder) or (caf and self.declared > self.held)

    @property
    def promise(self) -> float:
        """How many times more the header declares than there is; 1 where it declares less or leaves it open."""
        if self.is_placeholder or not self.held:
            return 1.0
        return max(1.0, self.declared / self.held)


def data_size(stream: BinaryIO) -> DataSize | None:
    """Return what a header says; None for a file of another kind or without data.

    Args:
        stream: the file, open at any place; it is moved in.

    Raises:
        OSError: the file cannot be read.
    """
    stream.seek(0)
    head = stream.read(12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:] == b"WAVE":
        return _of_wav(stream, head[:4])
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return _of_aiff(stream)
    if head[:4] in (b".snd", b"dns."):
        return _of_au(stream, ">" if head[:4] == b".snd" else "<")
    if head[:4] == b"caff":
        return _of_caf(stream)
    return None


def _chunks(stream: BinaryIO, kind: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, size and first byte of each chunk; the caller may move in the stream."""
    at = stream.tell()
    for _ in range(_CHUNKS):
        stream.seek(at)
        part = stream.read(4 + struct.calcsize(kind))
        if len(part) < 4 + struct.calcsize(kind):
            return
        size = struct.unpack(kind, part[4:])[0]
        at = stream.tell()
        yield part[:4], size, at
        at += size + (size % 2 if struct.calcsize(kind) == 4 else 0)
        if at >= 2**63:
            return


def _held(stream: BinaryIO, begin: int) -> int:
    return max(0, stream.seek(0, io.SEEK_END) - begin)


def _of_wav(stream: BinaryIO, kind: bytes) -> DataSize | None:
    word = ">I" if kind == b"RIFX" else "<I"
    block, rate, wide, wide_size = 1, 0, -1, -1
    for name, size, at in _chunks(stream, word):
        if name == b"data":
            held = _held(stream, at)
            if wide >= 0:
                wider = SizeField(wide - 8, "<Q", at - 8), SizeField(wide, "<Q"), SizeField(wide + 8, "<Q", 0, block)
                return DataSize(wider, at, wide_size, held, block, rate, wide=True)
            fields = (SizeField(4, word, at - 8), SizeField(at - 4, word))
            # Without `ds64`, which a recorder writes last, RF64 is nothing else than RIFF.
            return DataSize(fields, at, size, held, block, rate, word, name=b"" if kind[:2] == b"RI" else b"RIFF")
        body = stream.read(24)
        if name == b"fmt " and len(body) >= 16:
            rate, block = struct.unpack(f"{word[0]}IH", body[8:14])
            block = max(block, 1)
        elif name == b"ds64" and len(body) >= 16 and kind in (b"RF64", b"BW64"):
            wide, wide_size = at + 8, struct.unpack("<Q", body[8:16])[0]
    return None


def _of_aiff(stream: BinaryIO) -> DataSize | None:
    block, rate = 1, 0
    for name, size, at in _chunks(stream, ">I"):
        body = stream.read(18)
        if name == b"COMM" and len(body) == 18:
            channels, _, bits, exponent, mantissa = struct.unpack(">hIhHQ", body)
            block = max(1, channels * ((bits + 7) // 8))
            rate = block * int(mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63)) if exponent < 16383 + 32 else 0
        elif name == b"SSND" and len(body) >= 8:
            # Behind eight bytes: how far the first sample lies from there, and how samples are aligned.
            extra = 8 + min(struct.unpack(">I", body[:4])[0], 2**16)
            begin = at + extra
            fields = (SizeField(4, ">I", begin - 8), SizeField(at - 4, ">I", extra))
            return DataSize(fields, begin, max(0, size - extra), _held(stream, begin), block, rate, ">I")
    return None


def _of_au(stream: BinaryIO, order: str) -> DataSize | None:
    stream.seek(4)
    head = stream.read(20)
    if len(head) < 20:
        return None
    begin, size, encoding, rate, channels = struct.unpack(f"{order}5I", head)
    block = max(1, channels * _AU_BYTES.get(encoding, 1))
    return DataSize((SizeField(8, f"{order}I"),), begin, size, _held(stream, begin), block, rate * block, "")


def _of_caf(stream: BinaryIO) -> DataSize | None:
    stream.seek(8)
    block, rate = 1, 0
    for name, size, at in _chunks(stream, ">Q"):
        if name == b"data":  # begins with the number of edits
            fields = (SizeField(at - 8, ">Q", 4),)
            return DataSize(fields, at + 4, max(0, size - 4), _held(stream, at + 4), block, rate, ">Q", wide=True)
        body = stream.read(24)
        if name == b"desc" and len(body) == 24:
            hertz, _, _, packet, frames = struct.unpack(">dIIII", body)
            block = max(packet, 1)
            rate = int(hertz * block / max(frames, 1)) if 0 <= hertz < 1e9 else 0
    return None


def continues(stream: BinaryIO, size: DataSize) -> bool:
    """Whether samples go on behind the data that the header declares: no chunk, tag, padding or silence stands there.

    Args:
        stream: the file, open at any place; it is moved in.
        size: sizes by its header.

    Raises:
        OSError: the file cannot be read.
    """
    rest = size.held - size.declared
    if rest <= max(16, _PADDING * size.rate):
        return False
    for begin in (size.declared, size.declared + size.declared % 2):
        stream.seek(size.begin + begin)
        if _is_chunk(stream.read(12), size.held - begin, size.chunk):
            return False
    stream.seek(size.begin + size.declared)
    first = stream.read(min(rest, _LOOK))
    stream.seek(-min(rest, _LOOK), io.SEEK_END)
    return any(first) or any(stream.read(_LOOK))


def _is_chunk(head: bytes, rest: int, kind: str) -> bool:
    if head.startswith(_TAGS):
        return True
    end = 4 + (struct.calcsize(kind) if kind else 0)
    named = bool(kind) and len(head) >= end and all(32 <= byte < 127 for byte in head[:4])
    return named and end + int(struct.unpack(kind, head[4:end])[0]) <= rest + 1


class Mended(io.RawIOBase):
    """A file as if its header declared all that is there.

    Args:
        file: the file, which stays as it is.
        size: bytes that it declares.
    """

    def __init__(self, file: Path, size: DataSize) -> None:
        whole = size.held - size.held % size.block
        self._patches = {field.position: field.written(whole) for field in size.fields}
        if size.name:
            self._patches[0] = size.name
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
