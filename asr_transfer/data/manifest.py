"""Reads and writes manifests: an utterance per line of JSON, in NeMo's keys (`audio_filepath`, `duration`, `text`,
`offset`) plus ours.

A relative `audio_filepath` is relative to the manifest's own folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asr_transfer import audio, recording_file, textfiles
from asr_transfer.config import Units
from asr_transfer.data.tokens import spells_phones, without_tone
from asr_transfer.errors import DataError, nearest_hint, one_line
from asr_transfer.plain import to_json
from asr_transfer.remarks import remark

PhoneSegment = tuple[str, float, float]
"""A phone with its start and end in seconds from the beginning of the utterance."""


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest.

    Attributes:
        id: name that is unique in its manifest.
        audio: path of the recording; absolute once read.
        duration: length in seconds.
        text: transcript; empty only of speech that is read without transcripts.
        speaker: name of the speaker.
        language: ISO 639 code such as "en".
        start: begin of the utterance in its file, in seconds; None when it begins with the file.
        phones: time-aligned phones, where a corpus has them.
        pronunciation: phones of the utterance, separated by single spaces, without times; None where unknown.
    """

    id: str
    audio: str
    duration: float
    text: str
    speaker: str
    language: str
    start: float | None = None
    phones: tuple[PhoneSegment, ...] | None = None
    pronunciation: str | None = None

    def spelled(self, units: Units) -> str:
        """Return what tokens of `units` spell: the transcript, or the pronunciation, tones left out where they are.

        Raises:
            DataError: the units are phones and the utterance has no pronunciation.
        """
        if not spells_phones(units):
            return self.text
        if self.pronunciation is None:
            raise DataError(
                f"utterance '{self.id}': has no `pronunciation`, which the units `{units}` spell; prepare the corpus "
                "with pronunciations or choose other units."
            )
        if units == "phones":
            return self.pronunciation
        return " ".join(without_tone(phone) for phone in self.pronunciation.split())


_KEYS = {
    "id": "id",
    "audio_filepath": "audio",
    "duration": "duration",
    "text": "text",
    "speaker": "speaker",
    "language": "language",
    "offset": "start",
    "phones": "phones",
    "pronunciation": "pronunciation",
}
_REQUIRED = ("id", "audio_filepath", "duration", "text", "speaker", "language")


_CODE = re.compile(r"[A-Za-z0-9_-]+")

TAKEN = frozenset(("cpu", "ipu", "pop", "to", "xpu"))
"""Names of up to three letters that torch's dictionaries of modules have for themselves."""

UNKNOWN = {"speaker": "unknown", "language": "und"}
"""What a manifest says where a corpus does not tell; "und" is the code of ISO 639-2 for it."""


SHOWN = 10
"""Utterances left out that are named one by one."""


@dataclass
class Report:
    """Which utterances were left out of a corpus, and why."""

    kept: int = 0
    dropped: list[tuple[str, str]] = field(default_factory=list)

    def drop(self, utterance: str, reason: str) -> None:
        """Note that `utterance` is left out."""
        self.dropped.append((utterance, reason))

    def remark(self) -> None:
        """Remark upon what is left out, so that nothing goes silently, whoever reads the report."""
        for name, reason in self.dropped[:SHOWN]:
            remark(f"left out: {reason}", name)
        if len(self.dropped) > SHOWN:
            remark(f"{len(self.dropped) - SHOWN} more utterances are left out for the like reasons")

    def __add__(self, other: Report) -> Report:
        """Return what two parts of the speech keep and leave out together."""
        return Report(self.kept + other.kept, self.dropped + other.dropped)

    def __str__(self) -> str:
        head = f"{self.kept} utterances kept, {len(self.dropped)} left out"
        shown = [f"  {name}: {reason}" for name, reason in self.dropped[:SHOWN]]
        if len(self.dropped) > SHOWN:
            shown.append(f"  … and {len(self.dropped) - SHOWN} more")
        return "\n".join([head, *shown])


def read_manifest(path: str | Path, labelled: bool = True) -> list[Utterance]:
    """Read a manifest, with every mistake reported by file and line; `labelled` False lets `text` be empty or missing.

    Raises:
        DataError: missing or empty file, a line that is not JSON, a missing, unknown or ill-typed key, a repeated id.
    """
    file = Path(path)
    _require_manifest(file)
    utterances: list[Utterance] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(textfiles.read_lines(file, "give a manifest"), start=1):
        if not line.strip():
            continue
        utterance = _parse_line(line, f"{file} line {number}", file.parent.absolute(), labelled)
        if utterance.id in line_of:
            raise DataError(
                f"{file} line {number}: id '{utterance.id}' was already used on line {line_of[utterance.id]}; "
                "give every utterance its own id."
            )
        line_of[utterance.id] = number
        utterances.append(utterance)
    if not utterances:
        raise DataError(f"{file}: holds no utterances; prepare the corpus again.")
    return utterances


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write `manifest_text` through a temporary name.

    Raises:
        DataError: an utterance is not what `read_manifest` accepts, or the file cannot be written.
    """
    textfiles.write_text(path, manifest_text(path, utterances))


def manifest_text(path: str | Path, utterances: Iterable[Utterance]) -> str:
    """Return a manifest that is to be written to `path`, audio paths relative to it where they lie below its folder.

    Tabs and line ends in an id become escapes; an unknown speaker or language is named so.

    Raises:
        DataError: an utterance is not what `read_manifest` accepts, or its language cannot name a model's head.
    """
    folder = Path(path).parent.resolve()
    known: dict[str, str] = {}
    lines = []
    for utterance in utterances:
        entry, where = _to_json(utterance, folder, known), f"utterance '{one_line(utterance.id)}'"
        lines.append(to_json(entry) + "\n")
        # What is written is accepted by every command.
        _accepted(entry, where, folder, labelled=bool(utterance.text))
        if not names_language(entry["language"]) or _is_taken(entry["language"]):
            raise DataError(
                f"{where}: its language '{entry['language']}' is not a code such as en, cmn or pt-BR; give the "
                "language's ISO 639 code."
            )
    return "".join(lines)


def _is_taken(language: str) -> bool:
    """Return whether a language cannot name a head, in a dictionary of torch's that has names of its own."""
    if len(language) <= 3 or not language.isidentifier():  # as nearly all codes are: torch takes a second to import
        return language in TAKEN
    from torch import nn

    return hasattr(nn.ModuleDict, language)


def names_language(text: str) -> bool:
    """Return whether a text is made as a language's code is, such as en, cmn or pt-BR."""
    return _CODE.fullmatch(text) is not None


def spans(utterances: Iterable[Utterance]) -> dict[str, tuple[float, float]]:
    """Return first and last second, by id, of utterances that are not all that their recording holds."""
    own = list(utterances)
    times = Counter(audio for audio, _ in {(u.audio, u.id) for u in own})
    return {
        u.id: (u.start or 0.0, (u.start or 0.0) + u.duration) for u in own if u.start is not None or times[u.audio] > 1
    }


def read_audio(utterance: Utterance) -> np.ndarray:
    """Return the samples of an utterance as `audio.read` does.

    Raises:
        DataError: the recording cannot be read, or is shorter than the manifest says; the message names the utterance.
    """
    try:
        return audio.read(utterance.audio, utterance.start, utterance.duration)
    except DataError as error:
        raise naming(utterance, error) from None


def naming(utterance: Utterance, error: DataError) -> DataError:
    """Return an error in reading an utterance's audio with the name of the utterance."""
    itself = utterance.audio.endswith(utterance.id)  # a recording that was named itself
    return error if itself else DataError(f"utterance '{utterance.id}': {error}")


def validate(utterances: Sequence[Utterance], tolerance: float = audio.TOLERANCE) -> tuple[list[Utterance], Report]:
    """Check utterances against their audio files: readable, duration true to `tolerance` seconds, text non-empty.

    What cannot be used is left out and named in the report.

    Raises:
        DataError: an id occurs twice.
    """
    report = Report()
    kept: list[Utterance] = []
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.id in seen:
            raise DataError(f"id '{utterance.id}' occurs twice in the corpus; give every utterance its own id.")
        seen.add(utterance.id)
        reason = _defect(utterance, tolerance)
        if reason is None:
            kept.append(utterance)
        else:
            report.drop(utterance.id, reason)
    report.kept = len(kept)
    return kept, report


def checksum(utterances: Iterable[Utterance]) -> str:
    """Return a short hash of what the manifest says (not of the audio's bytes), for run records."""
    digest = hashlib.sha256()
    for utterance in utterances:
        name = os.path.basename(utterance.audio)
        start = f"{utterance.start or 0.0:.4f}"
        fields = [utterance.id, name, start, f"{utterance.duration:.4f}", utterance.text]
        if utterance.pronunciation is not None:
            fields.append(utterance.pronunciation)
        line = "\t".join((*fields, utterance.speaker, utterance.language)) + "\n"
        digest.update(line.encode("utf-8", textfiles.ESCAPED))
    return digest.hexdigest()[:16]


def by_speaker(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    """Group utterances by speaker, speakers in sorted order, utterances in the given order."""
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(utterance.speaker, []).append(utterance)
    return dict(sorted(groups.items()))


def _defect(utterance: Utterance, tolerance: float) -> str | None:
    if not utterance.text.strip():
        return "the transcript is empty"
    try:
        info = audio.probe(utterance.audio)
    except DataError as error:
        return str(error)
    end = (utterance.start or 0.0) + utterance.duration
    whole = utterance.start is None
    wrong = abs(end - info.duration) > tolerance if whole else end > info.duration + tolerance
    if wrong:
        return f"{utterance.audio}: the manifest says it ends at {end:.2f} s but the file lasts {info.duration:.2f} s"
    samples = utterance.duration * audio.SAMPLE_RATE
    if samples < audio.MIN_SAMPLES:
        return f"{utterance.audio}: {audio.below_window(samples)}"
    return None


def _require_manifest(file: Path) -> None:
    """Refuse what is no manifest, with the way to one.

    Raises:
        DataError: it is none.
    """
    if file.is_dir():
        raise DataError(
            f"{file}: is a folder, and a manifest is needed here; make one with `asr-transfer prepare folder --root "
            f"{file} --out DIR`."
        )
    if not file.is_file():
        raise DataError(f"{file}: there is no such manifest; make one with `asr-transfer prepare`.")
    if file.suffix.lower() in (".csv", ".tsv"):
        raise DataError(
            f"{file}: is a table, and a manifest is needed here; make one with `asr-transfer prepare folder --root "
            f"{file.parent} --transcripts {file} --out DIR`."
        )
    if recording_file.readable(file.suffix):
        raise DataError(f"{file}: is a recording, and a manifest is needed here; make one with `asr-transfer prepare`.")


def _parse_line(line: str, where: str, folder: Path, labelled: bool = True) -> Utterance:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: is not JSON ({error.msg} at column {error.colno}); mend or remove the line."
        ) from None
    if not isinstance(entry, dict):
        raise DataError(f"{where}: must be a JSON object with the keys {', '.join(_REQUIRED)}.")
    return _accepted(entry, where, folder, labelled)


def _accepted(entry: dict[str, Any], where: str, folder: Path, labelled: bool) -> Utterance:
    """Return the utterance that an object of a manifest stands for; refuse what is wrong with it."""
    for key in entry:
        if key not in _KEYS:
            raise DataError(f"{where}: unknown key '{key}'.{nearest_hint(key, _KEYS)}")
    if not labelled and entry.get("text") is None:
        entry["text"] = ""
    for key in _REQUIRED:
        if key not in entry:
            raise DataError(f"{where}: the key '{key}' is missing; add it.")
    if entry["text"] in (None, "") and labelled:
        raise DataError(
            f"{where}: has no transcript (`text` is {json.dumps(entry['text'])}), which is needed here; fill it in or "
            "leave the utterance out."
        )
    for key in ("id", "audio_filepath", "text", "speaker", "language"):
        if not isinstance(entry[key], str) or not (entry[key].strip() or (key == "text" and not labelled)):
            raise DataError(f"{where}: `{key}` must be non-empty text, got {_shown(entry[key])}.")
    for key in ("id", "speaker", "language"):
        if one_line(entry[key]) != entry[key]:
            raise DataError(
                f"{where}: `{key}` holds a tab, a line end or another control character, got {entry[key]!r}; it stands "
                "in lines and columns, so replace that."
            )
    for key, wrong, what in (
        ("audio_filepath", r"\0", "a NUL character"),
        ("text", "[\ud800-\udfff]", "half a character"),
    ):
        if found := re.search(wrong, entry[key]):
            raise DataError(f"{where}: `{key}` holds {what} ({ascii(found.group())[1:-1]}); write it anew.")
    duration = _seconds(entry["duration"], "duration", where)
    if duration == 0:
        raise DataError(f"{where}: `duration` must be above 0 seconds; leave the utterance out.")
    start = None if entry.get("offset") is None else _seconds(entry["offset"], "offset", where)
    pronunciation = entry.get("pronunciation")
    if pronunciation is not None and (not isinstance(pronunciation, str) or not pronunciation.strip()):
        raise DataError(f"{where}: `pronunciation` must be phones separated by spaces, got {pronunciation!r}.")
    path = Path(entry["audio_filepath"])
    return Utterance(
        id=entry["id"],
        audio=str(path if path.is_absolute() else folder / path),
        duration=duration,
        text=" ".join(entry["text"].split()),
        speaker=entry["speaker"],
        language=entry["language"],
        start=start,
        phones=_parse_phones(entry.get("phones"), where),
        pronunciation=None if pronunciation is None else " ".join(pronunciation.split()),
    )


def _seconds(value: Any, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise DataError(f"{where}: `{key}` must be a number of seconds, got {_shown(value)}.")
    return float(value)


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)


def _parse_phones(value: Any, where: str) -> tuple[PhoneSegment, ...] | None:
    if value is None:
        return None
    try:
        phones = tuple((str(phone), float(start), float(end)) for phone, start, end in value)
    except (TypeError, ValueError):
        phones = None
    if phones is None or not all(0 <= start <= end < math.inf for _, start, end in phones):
        raise DataError(f"{where}: `phones` must be a list of [phone, start seconds, end seconds].")
    return phones


def without_links(path: str, known: dict[str, str]) -> str:
    """Return what a path stands for; what its folder stands for is asked once, and kept in `known`."""
    folder, name = os.path.split(path)
    if name in ("", ".", ".."):
        return os.path.realpath(path)
    if folder not in known:
        known[folder] = os.path.realpath(folder)
    whole = os.path.join(known[folder], name)
    return os.path.realpath(whole) if os.path.islink(whole) else whole


def _to_json(utterance: Utterance, folder: Path, known: dict[str, str]) -> dict[str, Any]:
    path = without_links(utterance.audio, known)
    inside = os.path.join(folder, "")
    entry: dict[str, Any] = {
        "id": one_line(utterance.id),
        "audio_filepath": path.removeprefix(inside),
        "duration": round(utterance.duration, 4),
        "text": utterance.text,
        "speaker": one_line(utterance.speaker) if utterance.speaker.strip() else UNKNOWN["speaker"],
        "language": one_line(utterance.language) if utterance.language.strip() else UNKNOWN["language"],
    }
    if utterance.start is not None:
        entry["offset"] = round(utterance.start, 4)
    if utterance.phones is not None:
        entry["phones"] = [[phone, round(start, 4), round(end, 4)] for phone, start, end in utterance.phones]
    if utterance.pronunciation:
        entry["pronunciation"] = utterance.pronunciation
    return entry


def by_language(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    """Return the utterances of each language, languages sorted by name."""
    return {name: [u for u in utterances if u.language == name] for name in sorted({u.language for u in utterances})}
