"""Reads what other toolkits recognised: SpeechBrain's `wer_test.txt`, NeMo's manifests; `text_pairs` reads texts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from asr_transfer.errors import DataError
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.textfiles import read_lines


@dataclass
class Results:
    """What a file holds; speaker and language are empty where it does not tell.

    Attributes:
        utterances: utterances with unique ids; a missing hypothesis is an empty one.
        missing: ids of references without hypothesis.
        audio: path of the recording by id, where the file names it and it exists.
        notes: sentences that a reader must know.
        profile: normalisation to score under where none is asked for; None for the default.
        spans: first and last second by id, where a recording holds more.
    """

    utterances: list[Hypothesis] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    audio: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    profile: str | None = None
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)


_HEADER = re.compile(r"^(?P<id>.+), %(?:WER|CER|PER) \S+ \[ \d+ / (?P<units>\d+), (\d+) ins, (\d+) del, (\d+) sub \]$")
_UNSCORED = re.compile(r"^Scored \d+ sentences, (\d+) not present in hyp\.$")
_GAP, _SEPARATOR = "<eps>", " ; "


def read_speechbrain(path: Path) -> Results:
    """Read the alignments of SpeechBrain's `wer_test.txt` (its `ErrorRateStats.write_stats`).

    Raises:
        DataError: an alignment is cut off or contradicts itself, an id occurs twice, or the file holds none.
    """
    lines = read_lines(path)
    result, seen = Results(), dict[str, int]()
    for number, line in enumerate(lines, start=1):
        unscored = _UNSCORED.match(line)
        if unscored and int(unscored[1]):
            result.notes.append(
                f"{unscored[1]} references without hypothesis are not in {path.name}, so they are not counted"
            )
        header = _HEADER.match(line)
        if not header:
            continue
        name = header["id"]
        once(seen, name, path, number)
        rows = [[unit.strip() for unit in row.split(_SEPARATOR)] if row else [] for row in lines[number : number + 3]]
        words = [[unit for unit in row if unit not in ("", _GAP)] for row in rows]
        if len(rows) < 3 or len({len(row) for row in rows}) > 1 or len(words[0]) != int(header["units"]):
            raise DataError(
                f"{path} line {number + 1}: the alignment of '{name}' is damaged (its three lines must have "
                f"{header['units']} reference words, separated by '{_SEPARATOR}'); write the file again."
            )
        result.utterances.append(Hypothesis(name, "", "", " ".join(words[0]), " ".join(words[2])))
    if not result.utterances:
        raise DataError(f"{path}: holds no alignments; let SpeechBrain write them with `write_stats`.")
    return result


def read_nemo(path: Path) -> Results:
    """Read a NeMo manifest with `text` and `pred_text`; ids are `id`, or the recording's name.

    Raises:
        DataError: a line is not JSON, or a key is missing, or of another type, or an id occurs twice.
    """
    entries = list(json_lines(path))
    if not entries:
        raise DataError(f"{path}: holds no utterances; transcribe again.")
    stems: list[str] = []
    for number, entry in entries:
        where = f"{path} line {number}"
        for key in ("text", "id", "audio_filepath", "speaker", "lang", "pred_text"):
            required = key == "text" or (key == "audio_filepath" and "id" not in entry)
            if (required or entry.get(key) is not None) and not isinstance(entry.get(key), str):
                raise DataError(f"{where}: `{key}` must be text, got {entry.get(key)!r}.")
        stems.append(entry.get("id") or Path(entry["audio_filepath"]).stem)
    if not any("pred_text" in entry for _, entry in entries):
        raise DataError(f"{path}: no line has the key `pred_text`; give the manifest that NeMo's transcription wrote.")
    # Recordings of one name in several folders, or several parts of one recording, are told apart.
    unique = len(set(stems)) == len(stems)
    times = Counter(entry.get("audio_filepath") for _, entry in entries)
    result, seen = Results(), dict[str, int]()
    for (number, entry), stem in zip(entries, stems, strict=True):
        name = stem
        if not unique and not entry.get("id"):
            name = entry["audio_filepath"] + (f"@{entry['offset']}" if entry.get("offset") else "")
        once(seen, name, path, number)
        recognised = entry.get("pred_text")
        if recognised is None:
            result.missing.append(name)
        result.utterances.append(
            Hypothesis(name, entry.get("speaker") or "", entry.get("lang") or "", entry["text"], recognised or "")
        )
        audio = path.parent / entry.get("audio_filepath", "")
        if audio.is_file():
            result.audio[name] = str(audio)
            offset, duration = entry.get("offset"), entry.get("duration")
            if offset is None and times[entry["audio_filepath"]] > 1:
                offset = 0.0
            if isinstance(offset, int | float) and isinstance(duration, int | float) and offset >= 0 < duration:
                result.spans[name] = (float(offset), float(offset + duration))
    return result


_KEYS = ("id", "speaker", "language", "reference", "hypothesis")


def read_hypotheses(path: Path) -> Results:
    """Read the `hypotheses.jsonl` of a run folder; a `hypothesis` of null, or none, is missing.

    Raises:
        DataError: a line is not JSON, a key is missing or of another type, an id occurs twice, or there is no line.
    """
    result, seen = Results(), dict[str, int]()
    for number, entry in json_lines(path):
        values = []
        for key in _KEYS:
            value = entry.get(key)
            if value is None and key == "hypothesis":
                value = ""
            if not isinstance(value, str):
                raise DataError(f"{path} line {number}: {_wrong(key, entry)}; score the run again.")
            values.append(value)
        if entry.get("hypothesis") is None:
            result.missing.append(values[0])
        once(seen, values[0], path, number)
        result.utterances.append(Hypothesis(*values))
    if not result.utterances:
        raise DataError(f"{path}: holds no hypotheses; score the run again.")
    return result


def _wrong(key: str, entry: dict[str, Any]) -> str:
    return f"`{key}` must be text, got {entry[key]!r}" if key in entry else f"the key '{key}' is missing"


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSONL file with their line numbers, from 1.

    Raises:
        DataError: the file cannot be read, or a line is no JSON object.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path} line {number}: is not JSON ({error.msg} at column {error.colno}); mend the line or write the "
                "file again."
            ) from None
        if not isinstance(entry, dict):
            raise DataError(f"{path} line {number}: must be a JSON object; mend the line or write the file again.")
        yield number, entry


def listed(names: list[str], most: int = 5) -> str:
    """Return the first few names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def once(
    seen: dict[str, int],
    name: str,
    path: Path,
    number: int,
    what: str = "utterance",
    part: Literal["line", "segment"] = "line",
) -> None:
    """Note the place of an id, and refuse one that was used before.

    Args:
        seen: numbers of the lines by id.
        name: id of an utterance.
        path: the file that it is read from.
        number: place in the file.
        what: word for what has the id.
        part: word for what is counted.

    Raises:
        DataError: the id was used before.
    """
    if name in seen:
        raise DataError(
            f"{path} {part} {number}: the id '{name}' was already used on {part} {seen[name]}; give every {what} its "
            "own id."
        )
    seen[name] = number
