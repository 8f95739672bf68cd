"""Reads texts as NIST's sclite does, and ESPnet and Kaldi write them: `trn`, `stm` and `ctm`.

    turn off the lamp (spk1-utt3)                          trn: words, and the utterance's id with its speaker
    rec7 1 spk1 12.30 14.05 <o,f0,male> turn off the lamp  stm: recording, channel, speaker, begin, end, label, words
    rec7 1 12.35 0.21 turn 0.98                            ctm: recording, channel, begin, duration, word, confidence

Times are in seconds. Lines that begin with `;;` are comments. What sclite scores by rules of its own (alternatives in
braces, words in parentheses that may be left out) is refused by name, for errors are counted word by word here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from asr_transfer.errors import DataError
from asr_transfer.whitespace import words_of

IGNORED = "ignore_time_segment_in_scoring"
"""The text, in either case, of what is not to be scored."""

_TRN = re.compile(r"^(?P<text>.*?)[ \t]*\((?P<id>[^()\s]+)\)[ \t]*$")
_LABEL = re.compile(r"<[^>]*,[^>]*>")
_LONE_LABEL = re.compile(r"(?!<(unk|noise|sil|eps|spn|nsn)>)<[^>]*>", re.IGNORECASE)
_PRONUNCIATION = re.compile(r"(?<=[^\s(])\(\d+\)$")


@dataclass(frozen=True)
class Said:
    """An utterance of a `trn`, or a segment of an `stm`.

    Attributes:
        name: id of the text; of a segment recording, channel, begin and end.
        speaker: name of the speaker; empty where the id has none.
        text: words with single spaces between them.
        ignored: whether it is left out of the scores.
        recording, channel: place of a segment.
        begin, end: bounds of a segment, in seconds.
    """

    name: str
    speaker: str
    text: str
    ignored: bool = False
    recording: str = ""
    channel: str = ""
    begin: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class TimedWord:
    """A word of a `ctm`.

    Attributes:
        recording, channel: place of the word.
        begin, duration: begin and length in seconds.
        word: word as it was recognised.
    """

    recording: str
    channel: str
    begin: float
    duration: float
    word: str

    @property
    def middle(self) -> float:
        """The time by which it belongs to a segment."""
        return self.begin + self.duration / 2


def is_comment(line: str) -> bool:
    """Return whether a line holds nothing to read."""
    return not line.strip() or line.lstrip().startswith(";;")


def is_trn(lines: Sequence[str]) -> bool:
    """Return whether lines, without comments, are a `trn`: most end in an id, each in its own."""
    ids = [match["id"] for match in map(_TRN.match, lines) if match]
    return len(ids) * 2 > len(lines) and len(set(ids)) * 2 > len(ids)


def is_ctm(lines: Sequence[str]) -> bool:
    """Return whether all lines, without comments, are of a `ctm`."""
    rows = [words_of(line) for line in lines]
    return any("." in row[2] + row[3] for row in rows if len(row) > 3) and all(
        5 <= len(row) <= 8 and None not in (_seconds(row[2]), _seconds(row[3])) and (len(row) == 5 or _sure(row[5]))
        for row in rows
    )


def is_stm(lines: Sequence[str]) -> bool:
    """Return whether all lines, without comments, are of an `stm`."""
    rows = [words_of(line) for line in lines]
    return any("." in row[3] + row[4] for row in rows if len(row) > 4) and all(
        len(row) > 4 and None not in (_seconds(row[3]), _seconds(row[4])) for row in rows
    )


def read_trn(path: Path, lines: Sequence[str]) -> list[Said]:
    """Read a `trn`; an id `spk1-utt3` or `spk1_utt3` begins with its speaker.

    Raises:
        DataError: a line ends in no id, or holds what sclite scores by rules of its own.
    """
    found = []
    for number, line in enumerate(lines, start=1):
        if is_comment(line):
            continue
        where = f"{path} line {number}"
        if (match := _TRN.match(line)) is None:
            _fail(where, "does not end in an id such as (spk1-utt3); write one behind the words")
        text = _text(words_of(match["text"]), where)
        found.append(Said(match["id"], speaker_of(match["id"]), text, text.lower() == IGNORED))
    return found


def speaker_of(name: str) -> str:
    """Return the speaker of an id `SPEAKER-UTTERANCE`, empty where there is none.

    ESPnet writes the speaker before ids that begin with the speaker themselves: then it is what stands twice.
    """
    cuts = [n for n, letter in enumerate(name) if letter == "-" and n]
    if twice := [n for n in cuts if name.startswith(name[:n], n + 1) and not name[2 * n + 1 : 2 * n + 2].isalnum()]:
        return name[: twice[-1]]
    return name[: max(0, cuts[0] if cuts else name.find("_"))]


def read_stm(path: Path, lines: Sequence[str]) -> list[Said]:
    """Read an `stm`.

    Raises:
        DataError: a line is no segment, or holds what sclite scores by rules of its own.
    """
    found = []
    # A label without a comma may be a noise, unless each segment has one.
    first = [words_of(line)[5:6] for line in lines if not is_comment(line)]
    lone = all(_LONE_LABEL.fullmatch(words[0]) for words in first if words and words[0].lower() != IGNORED)
    label = _LONE_LABEL if lone else _LABEL
    for number, line in enumerate(lines, start=1):
        if is_comment(line):
            continue
        where, row = f"{path} line {number}", words_of(line)
        times = [_seconds(field) for field in row[3:5]]
        begin, end = times if len(times) == 2 else (None, None)
        if begin is None or end is None or end < begin:
            _fail(where, "is no segment `recording channel speaker begin end words` with times in seconds; mend it")
        words = row[6:] if len(row) > 5 and label.fullmatch(row[5]) else row[5:]
        text = _text(words, where)
        found.append(
            Said(
                "-".join([row[0], row[1], *row[3:5]]), row[2], text, text.lower() == IGNORED, row[0], row[1], begin, end
            )
        )
    return found


def read_ctm(path: Path, lines: Sequence[str]) -> tuple[list[TimedWord], int]:
    """Read a `ctm`.

    Returns:
        Its words, and how many others were left out because their type (the seventh column) is not `lex`.

    Raises:
        DataError: a line is no word, or stands in an alternation.
    """
    found, others = [], 0
    for number, line in enumerate(lines, start=1):
        if is_comment(line):
            continue
        where, row = f"{path} line {number}", words_of(line)
        if "<alt" in line.lower():
            _fail(where, "begins or ends alternatives, which only sclite scores; write one of them")
        begin, duration = (_seconds(field) for field in row[2:4]) if len(row) > 4 else (None, None)
        if begin is None or duration is None or len(row) > 8:
            _fail(where, "is no word `recording channel begin duration word confidence` with times in seconds; mend it")
        if len(row) > 6 and row[6].lower() != "lex":
            others += 1
            continue
        found.append(TimedWord(row[0], row[1], begin, duration, row[4]))
    return found, others


def _text(words: Sequence[str], where: str) -> str:
    """Return words as text, without marks of pronunciations (`the(2)`)."""
    line = " ".join(words)
    if re.search(r"\{[^{}]*/[^{}]*\}", line):
        _fail(where, "holds alternatives `{ a / b }`, which only sclite scores; write one of them")
    if (optional := next((word for word in words if re.fullmatch(r"\(.+\)", word)), None)) is not None:
        _fail(
            where,
            f"holds {optional!r}, which sclite lets a recogniser leave out; write the word without parentheses, or "
            "drop it from reference and hypothesis",
        )
    return " ".join(_PRONUNCIATION.sub("", word) for word in words)


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _sure(text: str) -> bool:
    """Return whether a column can be a confidence."""
    return text.upper() == "NA" or _seconds(text.lstrip("-")) is not None


def _fail(where: str, what: str) -> NoReturn:
    raise DataError(f"{where}: {what}.")
