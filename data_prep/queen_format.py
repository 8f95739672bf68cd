"""Reads the data file of the adventure game Flight of the Amazon Queen, as far as its spoken dialogues are concerned.

`queen.1c` begins with `QTBL`, a version of six bytes ("CEM10": CD, English), two unused bytes and one that says how
sounds are compressed; then the number of resources (16 bit) and for each its name (12 bytes), bundle (8 bit), offset
and size (32 bit). Every number is big-endian. `NAME.DOG` is a dialogue, `NAME.SB` a sound.

A dialogue holds the lines that Joe and his partner can say. A line is cut at `*XX` commands (turn left, wait, …) into
segments, and each segment is one sound, named by dialogue key, line number, J or P and segment number in hexadecimal.
The layout is that of ScummVM's `queen` engine (resource.cpp and talk.cpp), which plays these files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.errors import DataError

JOE = "J"
PARTNER = "P"

_SIGNATURE = b"QTBL"
_ENGLISH_CD = b"CEM10"
_COMPRESSIONS = (1, 2, 3)
"""MP3, Vorbis and FLAC; 0 is the CD's own format, which holds headerless samples."""

_AMOS_HEADER = 20
_TALK_HEADER = 32
_LEVEL = 96
"""Bytes of one level of the dialogue tree, which lies between the header and Joe's lines."""


@dataclass(frozen=True)
class Clip:
    """A segment of a line: the sound that says it, who says it (`JOE` or `PARTNER`) and its text as displayed."""

    sound: str
    dialogue: str
    who: str
    text: str


class DataFile:
    """The resources of `queen.1c`.

    Raises:
        DataError: it is another file or edition, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); correct the path.") from None
        self.entries = self._table()

    def read(self, name: str) -> bytes:
        """Return a resource."""
        offset, size = self.entries[name]
        return self._content[offset : offset + size]

    def clips(self) -> list[Clip]:
        """Return the clips of all dialogues that have a sound and a text, in the order of dialogues and lines."""
        found: dict[str, Clip] = {}
        for name in sorted(self.entries):
            if not name.endswith(".DOG"):
                continue
            try:
                for prefix, who, line in _lines(self.read(name)[_AMOS_HEADER:]):
                    for number, text in enumerate(_segments(line), start=1):
                        sound = f"{prefix}{number:X}"
                        if f"{sound}.SB" in self.entries and text:
                            # Where a number stands twice in a dialogue the game finds the first line only.
                            found.setdefault(sound, Clip(sound, name.removesuffix(".DOG"), who, text))
            except (struct.error, IndexError):
                raise DataError(f"{self._path}: the dialogue {name} in it is damaged; get the file again.") from None
        return list(found.values())

    def _table(self) -> dict[str, tuple[int, int]]:
        head = self._content[:15]
        if len(head) < 15 or not head.startswith(_SIGNATURE):
            raise DataError(f"{self._path}: is not the compressed data file of the game, which begins with QTBL.")
        version, compression = head[4:10].rstrip(b"\0"), head[12]
        if version != _ENGLISH_CD or compression not in _COMPRESSIONS:
            raise DataError(
                f"{self._path}: is version {version.decode('ascii', 'replace')} with compression {compression}; "
                "the English CD version with compressed speech is needed (`asr-transfer fetch queen`)."
            )
        entries: dict[str, tuple[int, int]] = {}
        try:
            (count,) = struct.unpack_from(">H", self._content, 13)
            for index in range(count):
                raw, _, offset, size = struct.unpack_from(">12sBII", self._content, 15 + 21 * index)
                name = raw.split(b"\0")[0].decode("ascii", "replace")
                if offset + size > len(self._content):
                    raise DataError(f"{self._path}: is cut off before its resource {name}; get the file again.")
                entries[name] = (offset, size)
        except struct.error:
            raise DataError(f"{self._path}: is cut off in its table of resources; get the file again.") from None
        return entries


def _lines(talk: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield the lines of a dialogue: the beginning of their sounds' names, who speaks, and the text with commands."""
    levels, _, key, joes, partners = struct.unpack_from(">5h", talk, 0)
    partner_at, _, again_at = struct.unpack_from(">3H", talk, 22)
    joe_at = _TALK_HEADER + abs(levels) * _LEVEL  # a negative number says that the player cannot leave
    for who, at, count in ((PARTNER, partner_at, partners), (JOE, joe_at, joes)):
        for _ in range(count):
            (number,) = struct.unpack_from(">2xH", talk, at)
            line, at = _text(talk, at + 4, align=4)
            yield f"{key:02d}{number:04X}{who}", who, line
    (without_greeting,) = struct.unpack_from(">2xH", talk, joe_at)
    if not without_greeting:
        yield f"{key:02d}SSSS{JOE}", JOE, _text(talk, joe_at + 4)[0]
    line, at = _text(talk, again_at)
    yield f"{key:02d}XXXX{PARTNER}", PARTNER, line
    yield f"{key:02d}XXXX{JOE}", JOE, _text(talk, at)[0]


def _text(talk: bytes, at: int, align: int = 2) -> tuple[str, int]:
    """Return the text at `at` (a byte of length, then as many of text) and where the next thing begins."""
    length = talk[at]
    if not length:
        return "", at + 1
    text = talk[at + 1 : at + 1 + length].decode("cp437")
    return text, -(-(at + 1 + length) // align) * align


def _segments(line: str) -> Iterator[str]:
    """Yield what stands before, between and behind the commands `*XX` and `*XYnn(nnn,nnn)` of a line."""
    parts = line.split("*")
    command = 0
    for index, part in enumerate(parts):
        text = part[command:].strip()
        if text or index < len(parts) - 1:
            yield text
        following = parts[index + 1] if index + 1 < len(parts) else ""
        command = len("XYnn(nnn,nnn)") if following.startswith("XY") else 2
