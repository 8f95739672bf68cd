"""Reads a lexicon's file: its entries, what of it is left out, and whether it is written in our own form."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from sys import intern

from asr_transfer.data.lexicon_lines import (
    FORMAT,
    LONGEST_LINE,
    is_skipped,
    numbers_behind_word,
    shown,
    take_apart,
)
from asr_transfer.data.subwords import MARK
from asr_transfer.errors import DataError
from asr_transfer.orthography import without_ignored
from asr_transfer.remarks import remark
from asr_transfer.textfiles import lines_of, read_text

GUESSED = "?"
_BOM = "\ufeff"
CONTROL = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f{_BOM}]")
"""Characters that no lexicon holds."""


@dataclass(frozen=True)
class Entry:
    """A pronunciation of a word.

    Attributes:
        word: word as it is written; it may hold spaces.
        phones: phones, at least one.
        weight: natural logarithm, added to the score of this pronunciation.
        guessed: whether it was made by rule rather than taken from a dictionary.
        line: number of its line in its file; None when it came from elsewhere.
    """

    word: str
    phones: tuple[str, ...]
    weight: float = 0.0
    guessed: bool = False
    line: int | None = None

    @property
    def in_pieces(self) -> bool:
        """Whether the phones are pieces of words (`subwords.MARK`) that make up the word."""
        return "".join(self.phones) == MARK + self.word.replace(" ", MARK)


def is_tabbed(lines: Iterable[str]) -> bool:
    """Return whether tabs divide words from phones; at the ends of lines they divide nothing."""
    return any("\t" in line.rstrip() and not is_skipped(line) for line in lines)


def entries_of(lines: list[str], source: str) -> Iterator[Entry]:
    """Yield the entries of a file's lines, and say what of them was left out."""
    left_out: dict[str, None] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    silence = False
    tabbed = is_tabbed(lines)
    behind_word = numbers_behind_word((line for line in lines if not is_skipped(line)), tabbed)
    for number, text in enumerate(lines, start=1):
        where = f"{source} line {number}"
        if len(text) > LONGEST_LINE:
            raise DataError(
                f"{where}: is longer than {LONGEST_LINE:,} characters; "
                f"a lexicon has a pronunciation per line, {FORMAT}."
            )
        if is_skipped(text):
            continue
        line = take_apart(text, where, tabbed, behind_word)
        if line.noise:
            left_out[line.word] = None
            continue
        silence = silence or line.silence
        phones = tuple(map(intern, line.phones))
        known = len(seen)
        seen.add((line.word, phones))
        if len(seen) == known and (line.numbered or not tabbed):
            continue  # CMUdict itself has some twice
        weight, guessed = (0.0, False) if line.weight is None else _weight(line.weight, where)
        yield Entry(line.word, phones, weight + line.log_probability, guessed, number)
    if left_out:
        remark(f"{source}: left out is what names noises instead of words: {', '.join(left_out)}")
    if silence:
        remark(f"{source}: the three columns of silence behind each probability are left out, for no search uses them")


def _weight(column: str, where: str) -> tuple[float, bool]:
    stripped = column.strip()
    guessed = stripped.endswith(GUESSED)
    number = stripped.removesuffix(GUESSED).strip()
    try:
        weight = float(number) if number else 0.0
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise DataError(
            f"{where}: the weight {shown(column)} is no finite number; write a logarithm such as -0.7, `{GUESSED}` "
            "for a guessed pronunciation, or leave the column out."
        )
    return weight, guessed


def require_own_form(path: str | Path) -> None:
    """Make sure that lines of our own form can be written behind a lexicon's.

    Raises:
        DataError: the file is written as Kaldi or CMUdict write theirs, or cannot be read.
    """
    lines = read_lines(path)
    if not is_tabbed(lines) or numbers_behind_word((line for line in lines if not is_skipped(line)), True):
        raise DataError(
            f"{path}: is written as Kaldi or CMUdict write lexica, which are read but not added to; "
            f"write its lines {FORMAT} first."
        )


def read_lines(path: str | Path) -> list[str]:
    """Return a lexicon's lines, in Unicode's form NFC and without marks of direction and the like.

    Raises:
        DataError: the file is missing or not UTF-8 text, or holds control characters.
    """
    source = str(path)
    text = read_text(path, f"write a lexicon with lines {FORMAT}")
    # Byte order marks also stand in the middle where files were put together; marks of direction come with copying.
    text = "\n".join(lines_of(nfc(without_ignored(text))))
    if (control := CONTROL.search(text)) is not None:
        name = "NUL" if control.group() == "\0" else f"U+{ord(control.group()):04X}"
        line = text.count("\n", 0, control.start()) + 1
        raise DataError(f"{source} line {line}: holds the control character {name}; remove it.")
    return text.split("\n")


def nfc(text: str) -> str:
    """Return text in Unicode's form NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
