"""Computes word, character and phone error rates over a corpus, and what stands behind them, through jiwer.

Rates are corpus errors divided by corpus reference units (characters with their spaces); they may exceed 1. Utterances
with an empty reference are counted apart: their insertions are reported and never divided by nothing. Texts are
compared under a named profile of `evaluation.normalisation`; `none` only merges runs of spaces.

`score` sums a corpus up. `align` keeps the alignment: counts per utterance as arrays, from one call of jiwer, out of
which `evaluation.breakdown` makes tables and `evaluation.significance` tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal, NoReturn

import jiwer
import numpy as np
from numpy.typing import NDArray

from asr_transfer import textfiles
from asr_transfer.errors import DataError
from asr_transfer.evaluation.normalisation import DEFAULT, Unit, find_profile, tokens
from asr_transfer.plain import to_json, to_plain

Integers = NDArray[np.int64]
Operation = Literal["equal", "substitute", "delete", "insert"]
OPERATIONS: tuple[Operation, ...] = ("equal", "substitute", "delete", "insert")
_CODES: dict[str, int] = {name: code for code, name in enumerate(OPERATIONS)}


@dataclass(frozen=True)
class Counts:
    """Alignment counts over some utterances, which add up: the rate of several sets is that of the sum of their counts.

    Rates are never averaged, for a set of ten words would weigh as much as one of ten thousand.

    Attributes:
        reference: reference units (words, characters or phones).
        substitutions, deletions, insertions: errors.

    Raises:
        DataError: a count is negative or no whole number, or more units are wrong than there are.

    >>> parts = [Counts(10, substitutions=1), Counts(90, deletions=4)]
    >>> sum(parts, Counts()).rate
    0.05
    """

    reference: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise DataError(f"`{one.name}` of counts must be a whole number of at least 0, got {value!r}.")
        if self.substitutions + self.deletions > self.reference:
            raise DataError(
                f"{self.substitutions} substitutions and {self.deletions} deletions are more than the {self.reference} "
                "units of the reference; count them again."
            )

    def __add__(self, other: Counts) -> Counts:
        if not isinstance(other, Counts):
            return NotImplemented
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __truediv__(self, number: object) -> NoReturn:
        raise TypeError("Counts are not averaged; add them up and take the `rate` of the sum.")

    @property
    def errors(self) -> int:
        """All errors."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit; NaN when there is no reference."""
        return self.errors / self.reference if self.reference else float("nan")

    def to_plain(self) -> dict[str, int]:
        """Return the counts and their sum for a run record."""
        return {**to_plain(self), "errors": self.errors}


@dataclass(frozen=True)
class Score:
    """Scores of a set of utterances.

    Attributes:
        words, characters: counts over utterances with a reference.
        utterances: their number.
        empty_references: utterances without a reference, left out of the rates.
        empty_reference_insertions: words recognised in those.
        profile: normalisation under which texts were compared.
    """

    words: Counts
    characters: Counts
    utterances: int
    empty_references: int
    empty_reference_insertions: int
    profile: str = DEFAULT

    @property
    def wer(self) -> float:
        """Word error rate; NaN when there is no reference."""
        return self.words.rate

    @property
    def cer(self) -> float:
        """Character error rate; NaN when there is no reference."""
        return self.characters.rate

    def to_plain(self) -> dict[str, object]:
        """Return rates and counts for a run record; a rate of nothing is None, for JSON knows no NaN."""
        return {
            "wer": number_or_none(self.wer),
            "cer": number_or_none(self.cer),
            "utterances": self.utterances,
            "words": self.words.to_plain(),
            "characters": self.characters.to_plain(),
            "empty_references": self.empty_references,
            "empty_reference_insertions": self.empty_reference_insertions,
            "profile": self.profile,
        }

    def __str__(self) -> str:
        w = self.words
        line = (
            f"WER {100 * self.wer:.2f} % ({w.errors} errors in {w.reference} words: {w.substitutions} substitutions, "
            f"{w.deletions} deletions, {w.insertions} insertions), CER {100 * self.cer:.2f} %, "
            f"{self.utterances} utterances"
        )
        if self.empty_references:
            inserted = self.empty_reference_insertions
            line += f"; {self.empty_references} empty references with {inserted} inserted words left out"
        return line if self.profile == DEFAULT else f"{line}; normalisation '{self.profile}'"


@dataclass(frozen=True)
class Hypothesis:
    """What was recognised in an utterance."""

    id: str
    speaker: str
    language: str
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class Alignments:
    """References aligned with hypotheses: n utterances, and counts of each.

    Attributes:
        unit, profile: unit that is counted, and its normalisation.
        ids, speakers, languages: names of the utterances, their speakers and languages.
        references, hypotheses: their units.
        chunks: jiwer's alignment, (c, 6): utterance, operation (index into `OPERATIONS`), first and end index in the
            reference, first and end index in the hypothesis; in order.
        reference, substitutions, deletions, insertions: counts per utterance, (n,).
    """

    unit: Unit
    profile: str
    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    references: list[list[str]]
    hypotheses: list[list[str]]
    chunks: Integers
    reference: Integers
    substitutions: Integers
    deletions: Integers
    insertions: Integers

    @cached_property
    def errors(self) -> Integers:
        """Errors per utterance, (n,)."""
        return self.substitutions + self.deletions + self.insertions

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """Which utterances have a reference, (n,); the others are in no rate."""
        return self.reference > 0

    def counts(self, where: NDArray[np.bool_] | None = None) -> Counts:
        """Return the sum over utterances with a reference, of those `where` is true."""
        chosen = self.scored if where is None else self.scored & where
        parts = (self.reference, self.substitutions, self.deletions, self.insertions)
        return Counts(*(int(part[chosen].sum()) for part in parts))

    def by_character(self) -> Alignments:
        """Return the texts, which are aligned by word, aligned by character: as `align` does that."""
        if not find_profile(self.profile).spaced:
            return self  # whose words are characters
        pairs = list(zip(self.references, self.hypotheses, strict=True))
        first = [list(" ".join(words)) for words in self.references]
        second = [
            units if words == heard else list(" ".join(heard))
            for units, (words, heard) in zip(first, pairs, strict=True)
        ]
        return _aligned(first, second, "character", self.profile, (self.ids, self.speakers, self.languages))

    @cached_property
    def _bounds(self) -> list[int]:
        """Where each utterance's chunks begin, and the end of the last."""
        bounds: list[int] = np.searchsorted(self.chunks[:, 0], np.arange(len(self.ids) + 1)).tolist()
        return bounds

    def pairs(self, index: int) -> list[tuple[Operation, str | None, str | None]]:
        """Return an utterance's alignment by unit: (operation, of the reference, of the hypothesis), None for a gap."""
        reference, hypothesis = self.references[index], self.hypotheses[index]
        result: list[tuple[Operation, str | None, str | None]] = []
        for _, code, r0, r1, h0, h1 in self.chunks[self._bounds[index] : self._bounds[index + 1]].tolist():
            r, h = reference[r0:r1], hypothesis[h0:h1]
            operation = OPERATIONS[code]
            if operation in ("equal", "substitute"):
                result += [(operation, a, b) for a, b in zip(r, h, strict=True)]
            elif operation == "delete":
                result += [(operation, a, None) for a in r]
            else:
                result += [(operation, None, b) for b in h]
        return result

    def text(self) -> str:
        """Return jiwer's readable alignment of every utterance that has a reference."""
        kept = np.flatnonzero(self.scored).tolist()
        if not kept:
            return "no utterance has a reference\n"
        counts = self.counts()
        hits = counts.reference - counts.substitutions - counts.deletions
        recognised = hits + counts.substitutions + counts.insertions
        preserved = hits / counts.reference * hits / recognised if recognised else 0
        output = jiwer.WordOutput(
            [self.references[i] for i in kept],
            [self.hypotheses[i] for i in kept],
            [
                [jiwer.AlignmentChunk(OPERATIONS[code], *ends) for _, code, *ends in chunks.tolist()]
                for chunks in (self.chunks[self._bounds[i] : self._bounds[i + 1]] for i in kept)
            ],
            counts.rate, counts.errors / (hits + counts.errors), 1 - preserved, preserved,
            hits, counts.substitutions, counts.insertions, counts.deletions,
        )  # fmt: skip
        return str(jiwer.visualize_alignment(output))


def align(hypotheses: Sequence[Hypothesis], unit: Unit = "word", profile: str = DEFAULT) -> Alignments:
    """Align hypotheses with their references in one call of jiwer, which finds a smallest number of errors.

    Args:
        hypotheses: the utterances; may be none.
        unit: unit that is counted. Phones are texts with a space between phones.
        profile: name of a profile of `evaluation.normalisation`.

    Raises:
        ConfigError: the profile is not known.
        DataError: an id occurs twice.
    """
    find_profile(profile)
    ids = tuple(h.id for h in hypotheses)
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"the utterance '{twice}' occurs twice; give every utterance its own id.")
    return _align(
        [h.reference for h in hypotheses],
        [h.hypothesis for h in hypotheses],
        unit,
        profile,
        _names(hypotheses),
    )


def score(
    references: Sequence[str],
    hypotheses: Sequence[str],
    profile: str = DEFAULT,
    languages: Sequence[str] | None = None,
) -> Score:
    """Score hypotheses against references of the same utterances.

    Args:
        references: texts of the utterances.
        hypotheses: texts recognised in them.
        profile: normalisation, of `evaluation.normalisation`.
        languages: languages of the utterances, which a normalisation to lower case asks for; None where unknown.

    Raises:
        ConfigError: the profile is not known.
        DataError: the three differ in length.
    """
    return _score(_align(references, hypotheses, "word", profile, _named(references, languages)))


def phone_counts(references: Sequence[str], hypotheses: Sequence[str]) -> Counts:
    """Count phone errors; texts are phones with spaces between them. `rate` of the result is the PER.

    Raises:
        DataError: the two differ in length.
    """
    return _align(references, hypotheses, "phone", DEFAULT).counts()


def alignment(references: Sequence[str], hypotheses: Sequence[str], profile: str = DEFAULT) -> str:
    """Return jiwer's readable alignment of every utterance that has a reference."""
    return _align(references, hypotheses, "word", profile).text()


def write_scores(folder: Path, hypotheses: Sequence[Hypothesis], profile: str = DEFAULT) -> Score:
    """Write `hypotheses.jsonl` and `scores.txt` (summary and alignments) into `folder`, and return the score.

    `hypotheses.jsonl` holds the texts as they are, `scores.txt` compares them under the profile and names it.
    """
    references, texts = [h.reference for h in hypotheses], [h.hypothesis for h in hypotheses]
    words = _align(references, texts, "word", profile, _names(hypotheses))
    total = _score(words)
    lines = [to_json(h) for h in hypotheses]
    textfiles.write_text(folder / "hypotheses.jsonl", "".join(f"{line}\n" for line in lines))
    head = f"{total}\nnormalisation: {profile} ({find_profile(profile).summary})\n"
    textfiles.write_text(folder / "scores.txt", f"{head}\n{words.text()}")
    return total


def number_or_none(value: float) -> float | None:
    """Return a finite number, and None for NaN and infinities, which JSON does not know."""
    return value if math.isfinite(value) else None


_Names = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Ids, speakers and languages of utterances."""


class _Given(jiwer.AbstractTransform):
    """Hands jiwer units that are split already."""

    def __init__(self, units: list[list[str]]) -> None:
        self.units = units

    def __call__(self, sentences: object) -> list[list[str]]:
        return self.units


def _align(
    references: Sequence[str],
    hypotheses: Sequence[str],
    unit: Unit,
    profile: str,
    names: _Names | None = None,
) -> Alignments:
    count = len(references)
    if count != len(hypotheses):
        raise DataError(f"{count} references but {len(hypotheses)} hypotheses; give one for each utterance.")
    ids, speakers, languages = names or _named(references)
    if len(languages) != count:
        raise DataError(f"{count} references but {len(languages)} languages; give one for each utterance.")
    first = [tokens(text, unit, profile, own) for text, own in zip(references, languages, strict=True)]
    second = [
        units if heard == said else tokens(heard, unit, profile, own)
        for units, said, heard, own in zip(first, references, hypotheses, languages, strict=True)
    ]
    return _aligned(first, second, unit, profile, (ids, speakers, languages))


def _aligned(
    references: list[list[str]], hypotheses: list[list[str]], unit: Unit, profile: str, names: _Names
) -> Alignments:
    count = len(references)
    chunks = _chunks(references, hypotheses)
    # The longer side of a chunk is its number of errors: deletions have no hypothesis, insertions no reference.
    sizes = np.maximum(chunks[:, 3] - chunks[:, 2], chunks[:, 5] - chunks[:, 4])
    # One bin per operation and utterance.
    table = np.bincount(chunks[:, 1] * count + chunks[:, 0], sizes, 4 * count).astype(np.int64).reshape(4, count)
    return Alignments(
        unit, profile, *names, references, hypotheses, chunks,
        reference=table[:3].sum(0), substitutions=table[1], deletions=table[2], insertions=table[3],
    )  # fmt: skip


def _chunks(references: list[list[str]], hypotheses: list[list[str]]) -> Integers:
    """Return jiwer's alignment as `Alignments.chunks`; what was recognised without error needs none."""
    pairs = list(zip(references, hypotheses, strict=True))
    wrong = [row for row, (units, heard) in enumerate(pairs) if units != heard]
    right = [row for row, (units, heard) in enumerate(pairs) if units and units == heard]
    blank = [""] * len(wrong)
    output = jiwer.process_words(
        blank, blank, _Given([references[row] for row in wrong]), _Given([hypotheses[row] for row in wrong])
    )
    values = (
        (row, _CODES[c.type], c.ref_start_idx, c.ref_end_idx, c.hyp_start_idx, c.hyp_end_idx)
        for row, chunks in zip(wrong, output.alignments, strict=True)
        for c in chunks
    )
    total = sum(map(len, output.alignments))
    differing = np.fromiter(chain.from_iterable(values), np.int64, 6 * total).reshape(total, 6)
    same = np.zeros((len(right), 6), np.int64)
    same[:, 0], same[:, 1] = right, _CODES["equal"]
    same[:, 3] = same[:, 5] = [len(references[row]) for row in right]
    chunks = np.concatenate([differing, same])
    return np.asarray(chunks[np.argsort(chunks[:, 0], kind="stable")])


def _names(hypotheses: Sequence[Hypothesis]) -> _Names:
    return tuple(h.id for h in hypotheses), tuple(h.speaker for h in hypotheses), tuple(h.language for h in hypotheses)


def _named(references: Sequence[str], languages: Sequence[str] | None = None) -> _Names:
    """Return numbers for ids, nobody for speakers, and the languages, empty where they are not known."""
    nobody = ("",) * len(references)
    return tuple(map(str, range(len(references)))), nobody, nobody if languages is None else tuple(languages)


def _score(words: Alignments) -> Score:
    scored = words.scored
    return Score(
        words.counts(),
        words.by_character().counts(),
        int(scored.sum()),
        int((~scored).sum()),
        int(words.insertions[~scored].sum()),
        words.profile,
    )
