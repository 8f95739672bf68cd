"""Finds references that a recogniser cannot write: capitals for a model of small letters, digits, marks.

Each such character is an error that says nothing of the recogniser. Nothing is taken out of the score; it is said which
characters they are, and under which normalisation both sides can write the same.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from asr_transfer.evaluation.normalisation import DEFAULT, normalise
from asr_transfer.evaluation.scoring import Hypothesis
from asr_transfer.plain import to_plain

Writes = Literal["characters", "phones", "words"]
"""What a recogniser writes: texts letter by letter, pronunciations, or words of a lexicon."""

FAIR = ("lower", "basic", "mandarin")
"""The normalisations to look for a fair one among, the mildest first."""

_NAMED = 8
# Neighbours that a character is tried between: marks stay within words, and a sigma changes at their ends.
_PLACES = (("", ""), ("l", "l"), ("א", "א"), ("α", ""))


@dataclass(frozen=True)
class Unwritable:
    """What of some references a recogniser cannot write.

    Attributes:
        references: number of references looked at.
        affected: number of those that hold what cannot be written.
        symbols: number of references by character, or by phone, that cannot be written, the most frequent first.
        fair: mildest normalisation under which all of them can be written; None where there is none.
        left: characters that cannot be written under `basic` either, where none is fair.
        writes: kind of what the recogniser writes; no normalisation touches phones.
    """

    references: int
    affected: int
    symbols: Mapping[str, int]
    fair: str | None = None
    left: Sequence[str] = ()
    writes: Writes = "characters"

    def to_plain(self) -> dict[str, Any]:
        """Return the figures for a run record."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @property
    def told(self) -> str:
        """What cannot be written, without advice."""
        kind = "phones" if self.writes == "phones" else "characters"
        shown = ", ".join(f"{_shown(symbol)} ({count})" for symbol, count in list(self.symbols.items())[:_NAMED])
        more = f" and {len(self.symbols) - _NAMED} more" if len(self.symbols) > _NAMED else ""
        return (
            f"{self.affected} of {self.references} references hold {kind} that the model cannot write, and each counts "
            f"as an error: {shown}{more}"
        )

    def sentence(self, run: str | None = None) -> str:
        """Return what a user must know of it.

        Args:
            run: run folder that `compare` reads; None where the hypotheses are in none.
        """
        line = self.told
        if self.writes == "phones":
            return f"{line}; write the pronunciations in the model's phones"
        compare = f"`asr-transfer compare {run} --normalisation" if run else "the normalisation `"
        if self.fair is not None:
            return f"{line}; {compare}{' ' * bool(run)}{self.fair}` compares what both can write"
        left = ", ".join(map(_shown, self.left[:_NAMED])) + (" …" if len(self.left) > _NAMED else "")
        line = f"{line}; no normalisation helps with {left}: rewrite these, or take a model that writes them"
        if set(self.symbols) <= set(self.left):
            return line
        return f"{line}; {compare}{' ' * bool(run)}basic` compares the rest fairly"


def find_unwritable(
    rows: Sequence[Hypothesis],
    written: Mapping[str, Sequence[str]],
    writes: Writes = "characters",
    profile: str = DEFAULT,
) -> Unwritable | None:
    """Return what of the references a recogniser cannot write, None where it can write all.

    Forms that Unicode calls equivalent (é as one character or as two) count as one. Of a recogniser of words, words
    that it does not know are its errors; looked at are those that it knows in another case or without their marks.

    Args:
        rows: the references with their languages.
        written: symbols that the recogniser's texts are made of, such as its tokens, by language; of languages that it
            does not name, those of "".
        writes: kind of what it writes, which the references are in.
        profile: normalisation that they are scored under.
    """
    known: dict[tuple[str, str], set[str]] = {}
    if writes == "words":
        rows = _known_otherwise(rows, written, profile)

    def lacking(row: Hypothesis, under: str) -> list[str]:
        if writes == "phones":
            return [phone for phone in dict.fromkeys(row.reference.split()) if phone not in alphabet(row, under)]
        text = normalise(row.reference, under, row.language)
        return [c for c in dict.fromkeys(text) if not set(unicodedata.normalize("NFD", c)) <= alphabet(row, under)]

    def alphabet(row: Hypothesis, under: str) -> set[str]:
        key = (row.language, under)
        if key not in known:
            own = _of(written, row.language)
            known[key] = set(own) if writes == "phones" else _alphabet(own, under, row.language)
        return known[key]

    found = [(row, lacking(row, profile)) for row in rows]
    counts = Counter(symbol for _, symbols in found for symbol in symbols)
    if not counts:
        return None
    affected = [row for row, symbols in found if symbols]
    result = Unwritable(len(rows), len(affected), dict(counts.most_common()), writes=writes)
    if writes == "phones":
        return result
    left: list[str] = []
    for name in FAIR:
        unwritten = Counter(symbol for row in affected for symbol in lacking(row, name))
        if not unwritten:
            return replace(result, fair=name)
        if name == "basic":
            left = [symbol for symbol, _ in unwritten.most_common()]
    return replace(result, left=left)


def _of(written: Mapping[str, Sequence[str]], language: str) -> Sequence[str]:
    return written.get(language, written.get("", ()))


def _known_otherwise(
    rows: Sequence[Hypothesis], written: Mapping[str, Sequence[str]], profile: str
) -> list[Hypothesis]:
    """Return the rows with those words of their references alone that are known in another case or without marks."""
    words: dict[str, set[str]] = {}
    plain: dict[str, set[str]] = {}
    result = []
    for row in rows:
        if (language := row.language) not in words:
            parts = {part for word in _of(written, language) for part in word.split()}
            words[language] = {normalise(part, profile, language) for part in parts}
            plain[language] = {normalise(part, "basic", language) for part in parts} - {""}
        strange = [word for word in normalise(row.reference, profile, language).split() if word not in words[language]]
        other = [word for word in strange if normalise(word, "basic", language) in plain[language]]
        result.append(replace(row, reference=" ".join(other)))
    return result


def _alphabet(written: Iterable[str], profile: str, language: str) -> set[str]:
    """Return what can be written under a normalisation, in parts: letters without their marks, and the marks."""
    result: set[str] = set()
    for character in set("".join(written)):
        for before, after in _PLACES:
            text = normalise(f"{before}{character}{after}", profile, language)
            result.update(unicodedata.normalize("NFD", text[len(before) : len(text) - len(after)]))
    return result


def _shown(symbol: str) -> str:
    """Return a symbol for a message, by its number where it cannot be seen."""
    seen = symbol.isprintable() and symbol != " " and not unicodedata.combining(symbol[0])
    return f"'{symbol}'" if seen else " ".join(f"U+{ord(c):04X}" for c in symbol)
