"""Finds the recordings below a folder by name, gives them ids, and reads them for what cannot be used."""

from __future__ import annotations

import contextlib
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from asr_transfer import audio, recording_file
from asr_transfer.data.manifest import without_links
from asr_transfer.errors import DataError, one_line
from asr_transfer.progress import tracked
from asr_transfer.remarks import held_back, remark
from data_prep.common import walk

ENDINGS = f"{', '.join(recording_file.SUFFIXES[:8])} and others"
"""The endings of recordings, for messages."""

_AT_ONCE = 16
"""Recordings that a thread is given together: handing each over alone takes as long as reading its header."""

_SMALL = 2**15
"""Bytes of a recording: of half-second ones Python's own work outweighs what is decoded beside it."""

SILENCE_DBFS = -50.0
"""Peak below which a recording is taken as silent: speech even at a bad microphone peaks above -40 dBFS."""


@dataclass(frozen=True)
class Row:
    """What a transcript says of one recording; `where` is the file and line that a message names."""

    file: Path
    where: str
    text: str
    speaker: str = ""
    language: str = ""
    id: str = ""


@dataclass
class Recordings:
    """The recordings below a folder, found by relative path, by path without suffix, or by bare name when unique.

    Names are compared in Unicode's composed form: macOS decomposes accents in file names, editors compose them.

    Attributes:
        root: the folder; linked folders below it are looked into.
        files: recordings that can be read; of the same name, what libsndfile reads goes first.
        undecodable: recordings that need a decoder that is not installed.
        texts: the `.txt` files.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    undecodable: list[Path] = field(default_factory=list)
    texts: list[Path] = field(default_factory=list)
    _index: dict[str, list[Path]] = field(default_factory=dict)
    _names: dict[Path, str] = field(default_factory=dict)
    _keys: dict[Path, str] = field(default_factory=dict)
    _real: dict[Path, str] = field(default_factory=dict)
    _folders: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for file in walk(self.root):
            relative, suffix = file.relative_to(self.root), file.suffix.lower()
            if any(part.startswith(".") for part in relative.parts) or not file.is_file():
                continue
            if suffix == ".txt":
                self.texts.append(file)
            if suffix not in recording_file.SUFFIXES + recording_file.DECODER_SUFFIXES:
                continue
            (self.files if recording_file.readable(suffix) else self.undecodable).append(file)
            whole = relative.as_posix()
            bare = whole.removesuffix(file.suffix)
            self._names[file], self._keys[file] = whole, composed(bare)
            for key in {composed(name) for name in (whole, bare, file.name, file.stem)}:
                self._index.setdefault(key, []).append(file)
        self.files.sort(key=lambda file: file.suffix.lower() in recording_file.DECODER_SUFFIXES)

    def name(self, file: Path) -> str:
        """Return the path from the folder, as reports show it and ids begin."""
        if file not in self._names:
            self._names[file] = Path(os.path.relpath(file, self.root)).as_posix()
        return self._names[file]

    def key(self, file: Path) -> str:
        """Return the path without suffix, which a recording and its `.txt` share."""
        if file not in self._keys:
            self._keys[file] = composed(Path(self.name(file)).with_suffix("").as_posix())
        return self._keys[file]

    def real(self, file: Path) -> str:
        """Return the path without links, which two names of one recording share."""
        if file not in self._real:
            self._real[file] = without_links(str(file), self._folders)
        return self._real[file]

    def find(self, name: str, beside: Path) -> Path | str:
        """Return the recording that a table calls `name`, or why there is none."""
        name = name.replace("\\", "/") if "\\" in name and "/" not in name else name
        for file in (self.root / name, beside / name):
            with contextlib.suppress(OSError):  # a sentence in the wrong column can be too long for a name
                if file.is_file():
                    return file
        found = self._index.get(Path(composed(name)).as_posix(), [])
        if len(found) > 1:
            # What was converted lies beside what it was made from.
            found = [file for file in found if file.suffix.lower() in recording_file.SUFFIXES] or found
        if len(found) > 1:
            return f"{len(found)} recordings are called so; give the path below the folder"
        return found[0] if found else "there is no such recording"


def make_ids(rows: list[Row], recordings: Recordings, taken: Mapping[str, str] | None = None) -> list[str]:
    """Return the ids: the table's, or else the path without suffix, with suffix where two recordings share that.

    Args:
        rows: the recordings to name.
        recordings: all of the folder.
        taken: ids of others, and where they stand.
    """
    keys = [recordings.key(row.file) for row in rows]
    times = Counter([*keys, *(taken or {})])
    first = dict(taken or {})
    for row, key in zip(rows, keys, strict=True):
        name = one_line(row.id or (key if times[key] == 1 else composed(recordings.name(row.file))))
        if name in first:
            raise DataError(f"{row.where}: the id '{name}' is also that of {first[name]}; give it another.")
        first[name] = row.where
    return list(first)[len(taken or {}) :]


def listen(file: Path) -> tuple[str | None, float]:
    """Return why a recording cannot be used, or None and its duration in seconds."""
    try:
        str(file).encode()
        samples = audio.read(file)
        duration = audio.probe(file).duration
    except DataError as error:
        return str(error), 0.0
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it", 0.0
    # The peak is at least half of the range, whatever the median, which takes longer to find.
    if _level(float(np.ptp(samples)) / 2) < SILENCE_DBFS:
        level = _level(float(np.abs(samples - np.median(samples)).max()))  # a constant offset is not sound
        if level < SILENCE_DBFS:
            return f"holds no speech: peak level {level:.0f} dBFS", 0.0
    return None, duration


def _level(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


def listen_to_all(files: Sequence[Path], workers: int = 1) -> list[tuple[str | None, float]]:
    """Return for each recording what `listen` says of it; remarks are made in the order of the recordings.

    Args:
        files: recordings, in whose order the results are.
        workers: threads that decode; what is returned and remarked is the same with any number.
    """
    told = "listening", len(files), "recording"
    if workers <= 1 or _are_small(files):
        return [listen(file) for file in tracked(files, *told)]
    pool = ThreadPoolExecutor(workers)
    try:
        with held_back() as remarks:
            parts = [files[first : first + _AT_ONCE] for first in range(0, len(files), _AT_ONCE)]
            heard = list(tracked(chain.from_iterable(pool.map(_listen_to_some, parts)), *told))
    finally:
        pool.shutdown(cancel_futures=True)
    place = {str(file): number for number, file in enumerate(files)}
    # Those about one recording are made by one thread and stay in their order.
    for made in sorted(remarks, key=lambda made: place.get("".join(made.files[:1]), 0)):
        remark(made.reason, *made.files)
    return heard


def _are_small(files: Sequence[Path]) -> bool:
    """Return whether recordings are so short that threads would only wait for each other, judged by some of them."""
    sizes = []
    for file in files[:: max(1, len(files) // 100)]:
        with contextlib.suppress(OSError, ValueError):  # said of each that is listened to
            sizes.append(file.stat().st_size)
    return sum(sizes) < _SMALL * len(sizes)


def _listen_to_some(files: Sequence[Path]) -> list[tuple[str | None, float]]:
    return [listen(file) for file in files]


def text_file(file: Path) -> Path | None:
    """Return the text beside a recording, None where there is none."""
    for suffix in (".txt", ".TXT"):
        if file.with_suffix(suffix).is_file():
            return file.with_suffix(suffix)
    return None


def composed(text: str) -> str:
    """Return text in Unicode's composed form."""
    return unicodedata.normalize("NFC", text)


def tidy(text: str) -> str:
    """Return text in composed Unicode, with single spaces."""
    return " ".join(composed(text).split())
