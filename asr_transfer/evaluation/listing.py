"""Lists the utterances of a report: compact data for its script, the worst ones for readers without script,
recordings.
"""

from __future__ import annotations

import base64
import io
import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import soundfile

from asr_transfer import audio
from asr_transfer.errors import DataError
from asr_transfer.evaluation.compare import Compared, Entry
from asr_transfer.evaluation.normalisation import find_profile
from asr_transfer.plain import to_json

AudioMode = Literal["link", "embed", "none"]

WORST = 25
"""Utterances that a reader without script sees."""
EMBEDDED_BYTES = 9_000_000
"""Most that embedded recordings may add to a report, worst utterances first."""
_KINDS = {"equal": "c", "substitute": "s", "delete": "d", "insert": "i"}


@dataclass(frozen=True)
class Place:
    """Where an utterance's recording is.

    Attributes:
        file: Path of the audio file.
        span: Start and end in seconds within it; None is all of it.
    """

    file: str
    span: tuple[float, float] | None


@dataclass(frozen=True)
class Step:
    """A word of an alignment: `kind` is c(orrect), s(ubstituted), d(eleted) or i(nserted)."""

    kind: str
    said: str
    heard: str


@dataclass(frozen=True)
class Line:
    """What a system recognised in an utterance."""

    name: str
    errors: int
    steps: list[Step]


@dataclass(frozen=True)
class Card:
    """An utterance with what some systems recognised."""

    number: int
    id: str
    speaker: str
    language: str
    reference: str
    audio: str
    lines: list[Line]


def worst_first(entry: Entry) -> list[int]:
    """Return utterances by errors, then by error rate, then in order; as the report's script does."""
    errors, units = entry.words.errors, entry.words.reference
    rates = np.where(units > 0, errors / np.maximum(units, 1), 0.0)
    found: list[int] = np.lexsort((np.arange(len(errors)), -rates, -errors)).tolist()
    return found


def worst(compared: Compared, recordings: Mapping[int, str]) -> list[Card]:
    """Return the worst utterances of the focused system, with the baseline beside it."""
    focus, base = compared.focus, compared.base
    shown = [focus] if focus is base else [focus, base]
    cards = []
    for n in worst_first(focus)[:WORST]:
        words = focus.words
        reference = _joined(compared, words.references[n])
        lines = [Line(e.name, int(e.words.errors[n]), _steps(e, n)) for e in shown]
        cards.append(
            Card(n, words.ids[n], words.speakers[n], words.languages[n], reference, recordings.get(n, ""), lines)
        )
    return cards


def data(compared: Compared, recordings: Mapping[int, str]) -> dict[str, Any]:
    """Return what the report's script needs, compactly.

    A hypothesis is 0 where it equals the reference, n where it equals that of system n - 1, else a text.
    """
    base = compared.base.words
    speakers, languages = compared.speakers, compared.languages
    speaker_of = {name: n for n, name in enumerate(speakers)}
    language_of = {name: n for n, name in enumerate(languages)}
    references = [_joined(compared, units) for units in base.references]
    known: list[dict[str, int]] = [{text: 0} for text in references]
    recognised = []
    for number, entry in enumerate(compared.entries):
        column: list[str | int] = []
        for seen, units in zip(known, entry.words.hypotheses, strict=True):
            text = _joined(compared, units)
            column.append(seen.get(text, text))
            seen.setdefault(text, number + 1)
        recognised.append(column)
    return {
        "systems": [entry.name for entry in compared.entries],
        "characters": not find_profile(compared.profile).spaced,
        "rate": compared.rate,
        "speakers": speakers,
        "languages": languages,
        "ids": list(base.ids),
        "s": [speaker_of[name] for name in base.speakers],
        "l": [language_of[name] for name in base.languages],
        "r": references,
        "n": base.reference.tolist(),
        "h": recognised,
        "e": [entry.words.errors.tolist() for entry in compared.entries],
        "audio": {str(n): address for n, address in recordings.items()},
    }


def embedded(values: Any) -> str:
    """Return JSON that can stand inside a `<script>` element: nothing in it ends the element or a line of a script."""
    text = to_json(values)
    # Half a surrogate pair, such as a byte of a file's name, is no text that a page can hold.
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def places(compared: Compared) -> dict[int, Place]:
    """Return where the utterances' recordings are, by utterance, as far as any of the systems knows."""
    known: dict[str, str] = {}
    spans: dict[str, tuple[float, float]] = {}
    for entry in compared.entries:
        spans = {**{name: span for name, span in entry.system.spans.items() if name not in known}, **spans}
        known = {**entry.system.audio, **known}
    ids = compared.base.words.ids
    return {n: Place(known[name], spans.get(name)) for n, name in enumerate(ids) if name in known}


def recordings(compared: Compared, mode: AudioMode, folder: Path) -> tuple[dict[int, str], list[str]]:
    """Return the addresses of recordings by utterance, and sentences about those left out.

    Args:
        compared: comparison with recordings known by utterance id in any of its systems.
        mode: `link` gives relative addresses, `embed` the recordings themselves as far as room allows.
        folder: folder that the report will lie in.
    """
    if mode == "none":
        return {}, []
    files = places(compared)
    if mode == "link":
        return links(files, folder), []
    found: dict[int, str] = {}
    room, unreadable = EMBEDDED_BYTES, 0
    for n in worst_first(compared.focus):
        if n not in files:
            continue
        try:
            address = _encoded(files[n])
        except DataError:
            unreadable += 1
            continue
        if len(address) > room:
            break
        found[n] = address
        room -= len(address)
    notes = []
    if len(found) + unreadable < len(files):
        notes.append(f"Recordings of the worst {len(found)} of {len(files)} utterances are embedded, for size.")
    if unreadable:
        notes.append(f"{unreadable} recordings could not be read and are left out.")
    return found, notes


def links(files: Mapping[int, Place], folder: Path) -> dict[int, str]:
    """Return addresses relative to a folder, so that report and recordings can be moved together.

    Of a part of a recording it is what players know as a media fragment.
    """
    home, ways = os.path.realpath(folder), dict[str, str]()
    found = {}
    for n, place in files.items():
        file = os.path.realpath(place.file) if os.path.islink(place.file) else place.file
        parent, name = os.path.split(file)
        if parent not in ways:  # many recordings lie in few folders
            ways[parent] = Path(os.path.relpath(os.path.realpath(parent), home)).as_posix()
        way = f"{ways[parent]}/{name}"
        part = f"#t={place.span[0]:.3f},{place.span[1]:.3f}" if place.span else ""
        found[n] = quote(way if way.startswith(".") else f"./{way}") + part
    return found


def read_place(place: Place, longest: float = math.inf) -> np.ndarray:
    """Return an utterance's samples as `audio.read` does, at most `longest` seconds of them.

    Raises:
        DataError: the recording cannot be read.
    """
    if place.span:
        return audio.read(place.file, place.span[0], min(place.span[1] - place.span[0], longest))
    long = longest < math.inf and audio.probe(place.file).duration > longest
    return audio.read(place.file, None, longest if long else None)


def _encoded(place: Place) -> str:
    samples = read_place(place)
    # MP3 plays in every browser; older libsndfile cannot write it.
    kind, media = ("MP3", "mpeg") if "MP3" in soundfile.available_formats() else ("OGG", "ogg")
    with io.BytesIO() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        soundfile.write(out, samples, audio.SAMPLE_RATE, format=kind)
        return f"data:audio/{media};base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _joined(compared: Compared, units: list[str]) -> str:
    return (" " if find_profile(compared.profile).spaced else "").join(units)


def _steps(entry: Entry, index: int) -> list[Step]:
    return [Step(_KINDS[kind], said or "", heard or "") for kind, said, heard in entry.words.pairs(index)]
