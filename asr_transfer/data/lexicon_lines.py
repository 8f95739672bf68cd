"""Takes lines of lexica apart: our own, and those of CMUdict, Kaldi and the Montreal Forced Aligner (MFA).

Our own line is `word<TAB>phones`, with a weight behind another tab where there is one. The others:

    turn(2)  T AH1 N # comment      CMUdict: the second pronunciation of `turn`, no tab; `;;;` begins a comment
    turn T ER N                     Kaldi's lexicon.txt
    turn 0.99 T ER N                Kaldi's lexiconp.txt: the pronunciation's probability; a tab may stand behind it
    turn<TAB>0.99<TAB>T ER N        MFA: one column of probability, or with those of silence four
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from asr_transfer.data.notations import ARPABET, FINALS, INITIALS
from asr_transfer.data.subwords import MARK
from asr_transfer.data.tokens import without_tone
from asr_transfer.errors import DataError
from asr_transfer.orthography import JOINERS, listed_word
from asr_transfer.whitespace import words_of

FORMAT = "`word<TAB>phones separated by spaces`, optionally with <TAB>weight"
LONGEST_LINE = 10_000
"""Characters. A longer line is no pronunciation but a file of another kind."""

ENOUGH = 2_000
"""Lines by which a file is told to be a lexicon."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# A single digit may be a phone of SAMPA (German `9 f n @ n`).
_NO_PHONE = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d\d+|\d(?=[eE]))([eE][+-]?\d+)?|[+-]\d")
_VARIANT = re.compile(r"(?<=[^\s(])\(\d+\)$")
_COMMENT = re.compile(r"[ \t]#[ \t]+[^ \t].*$")
_NOISE_WORD = re.compile(r"<.*>|\[.*\]|\{.*\}|!\w+")
_NOISE_PHONE = re.compile(r"(sil|spn|nsn|sp|noi|nse|lau)(_[a-z])?", re.IGNORECASE)
_POSITION = re.compile(r"[^\W_]\d?_[BIES]$")
"""Kaldi's mark of a phone's position in its word."""
_COLUMNS = (1, 4)
"""How many columns of probabilities a lexicon has: the pronunciation's, or with it those of silence around it."""


class Line(NamedTuple):
    """A line taken apart.

    Attributes:
        word: word as it is written, without a variant's number.
        phones: phones, at least one.
        weight: text of our own third column; None where there is none.
        log_probability: natural logarithm of the pronunciation's probability; 0 where none is given.
        silence: whether probabilities of silence were given too.
        numbered: whether the word had a variant's number.
    """

    word: str
    phones: tuple[str, ...]
    weight: str | None = None
    log_probability: float = 0.0
    silence: bool = False
    numbered: bool = False

    @property
    def noise(self) -> bool:
        """Whether it is no word that could be said, but Kaldi's or MFA's name for a noise, silence or unknown word."""
        return bool(_NOISE_WORD.fullmatch(self.word)) and all(_NOISE_PHONE.fullmatch(phone) for phone in self.phones)


def is_skipped(line: str) -> bool:
    """Return whether a line is blank or a comment; joiners before it join nothing."""
    start = line.lstrip().lstrip(f"\u200b{JOINERS}").lstrip()
    return not start or start[0] == "#" or start.startswith(";;;")


def numbers_behind_word(lines: Iterable[str], tabbed: bool) -> int:
    """Return how many numbers stand between every line's word and its phones with no tab before them.

    That is where Kaldi writes probabilities, whether or not a tab stands behind them.

    Args:
        lines: lines of a file, without comments.
        tabbed: argument of `take_apart`.
    """
    fewest = 9
    for line in lines:
        word, *parts = words_of(line.partition("\t")[0]) or [""]
        run = list(itertools.takewhile(_NUMBER.fullmatch, parts))
        # Behind them must stand phones; and before a tab nothing else, for a word may be a phrase.
        if (tabbed and len(run) < len(parts)) or (not tabbed and len(run) == len(parts)):
            return 0
        if not run or (tabbed and not all(map(_NO_PHONE.fullmatch, run))) or _is_spelled(word, parts):
            return 0
        fewest = min(fewest, len(run))
    return max(count for count in (0, *_COLUMNS) if count <= fewest) if fewest < 9 else 0


def take_apart(line: str, where: str, tabbed: bool = True, behind_word: int = 0) -> Line:
    """Take a line apart that is no comment.

    Args:
        line: line without its end.
        where: its place, for messages.
        tabbed: whether tabs divide the file's words from their phones; otherwise the first word of a line is the word.
        behind_word: count of numbers that stand there in all of the file, as of `numbers_behind_word`.

    Raises:
        DataError: the line has no phones or no word, too many columns, a wrong probability, or a number for a phone.
    """
    if "#" in line:
        line = _COMMENT.sub("", line)
    columns = line.split("\t")
    if (not tabbed and len(words_of(line)) > 1) or behind_word:
        word, *rest = words_of(columns[0])
        columns = [word, *rest[:behind_word], *([" ".join(rest[behind_word:])] if not tabbed else columns[1:])]
    numbers: list[str] = []
    # Behind them must come phones: a number and a weight are our own form of a word that is spelled in digits.
    while len(columns) > 2 and _is_number(columns[1]) and _holds_phones(columns[-1]):
        numbers.append(columns.pop(1).strip())
    if not 2 <= len(columns) <= 3:
        raise DataError(f"{where}: {shown(line)} has {len(columns)} column{'s' * (len(columns) > 1)}; write {FORMAT}.")
    word = columns[0] if columns[0].isascii() and columns[0].isalnum() else listed_word(columns[0])
    phones = words_of(columns[1])
    if not word:
        raise DataError(f"{where}: the word is empty; write {FORMAT}.")
    if not phones:
        raise DataError(
            f"{where}: the word {shown(word)} has an empty pronunciation; write its phones or remove the line."
        )
    written, word = word, _VARIANT.sub("", word) if word[-1] == ")" else word
    if any(phone[0] in "0123456789.+-" for phone in phones) and not _is_spelled(word, phones):
        while len(phones) > 1 and _NO_PHONE.fullmatch(phones[0]):
            numbers.append(phones.pop(0))
        if (wrong := next(filter(_NO_PHONE.fullmatch, phones), None)) is not None:
            raise DataError(
                f"{where}: {shown(wrong)} in the pronunciation of {shown(word)} is a number, not a phone; write a "
                "weight behind another tab, and probabilities between word and phones."
            )
    weight = columns[2] if len(columns) == 3 else None
    probability = _log_probability(numbers, word, where) if numbers else 0.0
    return Line(word, tuple(phones), weight, probability, len(numbers) > 1, word != written)


def is_held(word: str, phones: Sequence[str]) -> bool:
    """Return whether a line of our own form can hold a word and its phones, so that they are read as they are."""
    numbers = not _is_spelled(word, phones) and any(map(_NO_PHONE.fullmatch, phones))
    return not (numbers or word.startswith(";;;") or _VARIANT.search(word) or "#" in phones[:-1])


def seems_lexicon(lines: Sequence[str], comments: Sequence[str] = ()) -> bool:
    """Return whether lines without tabs are words with phones, rather than phrases.

    Args:
        lines: lines of a file, without comments.
        comments: the file's comments.
    """
    if any(len(words_of(line)) < 2 for line in lines):
        return False
    lines = [line for line in lines if not _NOISE_WORD.fullmatch(words_of(line)[0])][:ENOUGH]
    rows = [words_of(_COMMENT.sub("", line)) for line in lines]
    if not rows or not all(len(row) > 1 for row in rows):
        return False
    probabilities = all(_NUMBER.fullmatch(row[1]) and len(row) > 2 for row in rows)
    probabilities = probabilities and any("." in row[1] for row in rows)
    marked = any(_VARIANT.search(row[0]) for row in rows) or any(c.lstrip().startswith(";;;") for c in comments)
    wide = all(line.strip().startswith(f"{row[0]}  ") for line, row in zip(lines, rows, strict=True))
    if probabilities or marked or wide or all(_is_spelled(row[0], row[1:]) for row in rows):
        return True
    if all(_POSITION.search(phone) for row in rows for phone in row[1:]):
        return True
    phones, letters = [phone for row in rows for phone in row[1:]], sum(len(row[0]) for row in rows)
    if len(phones) * 2 < letters:  # `plan b`: fewer phones than a pronunciation has
        return False
    for table in (ARPABET, INITIALS | FINALS):
        if sum(without_tone(phone.lower()) in table for phone in phones) >= 0.9 * len(phones):
            return True
    words, other = "".join(row[0] for row in rows), "".join(phones)
    if (words.islower() and other.isupper()) or (words.isupper() and other.islower()):
        return True
    return len(other) <= 1.5 * len(phones) and len(phones) <= 1.7 * letters


def shown(text: str) -> str:
    """Return text for a message, quoted and not too long."""
    return repr(text if len(text) <= 40 else text[:40] + "…")


def as_arpabet(phones: Iterable[str], symbols: Iterable[str]) -> Mapping[str, str]:
    """Return what ARPAbet of another case, or with marks of stress, is called among a model's symbols.

    Args:
        phones: phones of a lexicon.
        symbols: symbols that the model can emit.

    Returns:
        A symbol for each phone that is not one but has one; empty where phones or symbols are not ARPAbet.
    """
    own, given = set(symbols), set(phones)
    plain = {without_tone(phone.lower()) for phone in own | given}
    if not plain <= ARPABET.keys():
        return {}
    ways: dict[str, str] = {}
    for symbol in sorted(own, reverse=True):
        ways[symbol.lower()] = symbol
    found: dict[str, str] = {}
    for phone in given - own:
        if (way := ways.get(phone.lower()) or ways.get(without_tone(phone.lower()))) is not None:
            found[phone] = way
    return found


def _is_spelled(word: str, phones: Sequence[str]) -> bool:
    return "".join(phones).replace(MARK, "") == word.replace(" ", "")


def _is_number(column: str) -> bool:
    return column[:1] in "0123456789.+- " and bool(_NUMBER.fullmatch(column.strip()))


def _holds_phones(column: str) -> bool:
    parts = words_of(column)
    return len(parts) > 1 or not all(_NUMBER.fullmatch(part) or part.endswith("?") for part in parts)


def _log_probability(numbers: Sequence[str], word: str, where: str) -> float:
    if len(numbers) not in _COLUMNS:
        raise DataError(
            f"{where}: {shown(word)} has {len(numbers)} numbers before its phones; write its probability alone, or "
            "with the three of silence behind it."
        )
    values = [float(number) for number in numbers]
    if not 0 < values[0] <= 1:
        raise DataError(
            f"{where}: {shown(numbers[0])} before the phones of {shown(word)} is no probability above 0 and up to 1; "
            "write one, or a logarithmic weight behind the phones and another tab."
        )
    if not all(0 <= value < math.inf for value in values):
        raise DataError(
            f"{where}: a probability of silence of {shown(word)} is negative or infinite; mend the columns."
        )
    return math.log(values[0])
