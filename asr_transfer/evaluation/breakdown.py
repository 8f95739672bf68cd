"""Breaks an error rate down: tables per speaker and language, confusions, and how listed words are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from asr_transfer import textfiles
from asr_transfer.errors import DataError
from asr_transfer.evaluation.normalisation import tokens
from asr_transfer.evaluation.scoring import OPERATIONS, Alignments, Counts, number_or_none
from asr_transfer.plain import to_plain

_EQUAL = OPERATIONS.index("equal")
_COUNTED: dict[str, str] = {"substitute": "substitutions", "delete": "deletions", "insert": "insertions"}


@dataclass(frozen=True)
class Group:
    """The scores of some utterances.

    Attributes:
        name: name of the speaker or language.
        utterances: those with a reference.
        counts: over them.
        empty_references: those without.
    """

    name: str
    utterances: int
    counts: Counts
    empty_references: int

    def to_plain(self) -> dict[str, Any]:
        """Return name, rate and counts for a table or record."""
        return {
            "name": self.name,
            "rate": number_or_none(self.counts.rate),
            "utterances": self.utterances,
            "empty_references": self.empty_references,
            **self.counts.to_plain(),
        }


def grouped(alignments: Alignments, labels: Sequence[str]) -> list[Group]:
    """Return the scores of each label, in the labels' order; `labels` has one for each utterance."""
    if not labels:
        return []
    names, inverse = np.unique(np.asarray(labels), return_inverse=True)
    parts = (alignments.reference, alignments.substitutions, alignments.deletions, alignments.insertions)
    scored = alignments.scored
    sums = [np.bincount(inverse, np.where(scored, part, 0), len(names)).astype(int).tolist() for part in parts]
    utterances = np.bincount(inverse, scored, len(names)).astype(int).tolist()
    everything = np.bincount(inverse, minlength=len(names)).tolist()
    return [
        Group(str(name), utterances[n], Counts(*(part[n] for part in sums)), everything[n] - utterances[n])
        for n, name in enumerate(names)
    ]


def per_speaker(alignments: Alignments) -> list[Group]:
    """Return the scores of each speaker, by name."""
    return grouped(alignments, alignments.speakers)


def per_language(alignments: Alignments) -> list[Group]:
    """Return the scores of each language, by name."""
    return grouped(alignments, alignments.languages)


@dataclass(frozen=True)
class Confusion:
    """What was recognised for what, and how often; None stands for nothing (a deletion or insertion)."""

    reference: str | None
    hypothesis: str | None
    count: int


def confusions(alignments: Alignments, most: int | None = None) -> list[Confusion]:
    """Return the errors of utterances with a reference, most frequent first, `most` of them (None: all)."""
    found: Counter[tuple[str | None, str | None]] = Counter()
    scored = alignments.scored
    for row, operation, r0, r1, h0, h1 in alignments.chunks[alignments.chunks[:, 1] != _EQUAL].tolist():
        if not scored[row]:
            continue
        name = OPERATIONS[operation]
        first: list[str] = alignments.references[row][r0:r1]
        second: list[str] = alignments.hypotheses[row][h0:h1]
        if name == "substitute":
            found.update(zip(first, second, strict=True))
        elif name == "delete":
            found.update((word, None) for word in first)
        else:
            found.update((None, word) for word in second)
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0][0] or "", item[0][1] or ""))
    return [Confusion(first, second, count) for (first, second), count in ordered[:most]]


@dataclass(frozen=True)
class Recall:
    """How many occurrences of certain words were recognised.

    Attributes:
        occurrences: number of occurrences in the references.
        found: those recognised in their place.
        false_alarms: occurrences in the hypotheses that stand for something else.
        missed: number of times that each word was missed, most often first.
    """

    occurrences: int
    found: int
    false_alarms: int
    missed: Mapping[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """Found among occurrences; None when there is none."""
        return self.found / self.occurrences if self.occurrences else None

    def to_plain(self) -> dict[str, Any]:
        """Return rate and counts for a table or record."""
        return {"recall": self.rate, **to_plain(self)}


def hot_word_recall(alignments: Alignments, words: Iterable[str]) -> Recall:
    """Return how many occurrences of listed words or phrases were recognised in their place.

    Args:
        alignments: alignments of words.
        words: normalised under the alignments' profile; one of several words must be recognised as a whole.

    Raises:
        DataError: a listed word is empty after normalisation.
    """
    return _recall(alignments, _listed(alignments, words))


@dataclass(frozen=True)
class Biased:
    """Word errors at listed words and at all others: B-WER and U-WER (Le et al. 2021, "Contextualized streaming").

    A substitution or deletion belongs to the word of the reference, an insertion to the word that is inserted. Words of
    a listed phrase count where the phrase stands as a whole.

    Attributes:
        listed: counts at listed words.
        others: counts at all others.
    """

    listed: Counts
    others: Counts

    def to_plain(self) -> dict[str, Any]:
        """Return rates and counts for a run record; a rate of nothing is None."""
        return {
            "b_wer": number_or_none(self.listed.rate),
            "u_wer": number_or_none(self.others.rate),
            "listed": self.listed.to_plain(),
            "others": self.others.to_plain(),
        }

    def __str__(self) -> str:
        return (
            f"hot words: B-WER {_percent(self.listed)}, of all other words: U-WER {_percent(self.others)}"
            if self.listed.reference
            else f"hot words: none of them is in the references; of all other words: U-WER {_percent(self.others)}"
        )


def _percent(counts: Counts) -> str:
    rate = f"{100 * counts.rate:.2f} % " if counts.reference else ""
    return f"{rate}({counts.errors} errors in {counts.reference} words)"


def biased_rates(alignments: Alignments, words: Iterable[str]) -> Biased:
    """Return the word errors at listed words or phrases and at all others, over utterances with a reference.

    Args:
        alignments: alignments of words.
        words: hot words, as of `hot_word_recall`.

    Raises:
        DataError: a listed word is empty after normalisation.
    """
    entries = _listed(alignments, words)
    lengths = sorted({len(entry) for entry in entries})
    rows = np.flatnonzero(alignments.scored).tolist()
    inside = {
        row: [
            {at + n for at, length in _places(text[row], entries, lengths) for n in range(length)}
            for text in (alignments.references, alignments.hypotheses)
        ]
        for row in rows
    }
    listed: Counter[str] = Counter(reference=sum(len(reference) for reference, _ in inside.values()))
    for row, operation, r0, r1, h0, h1 in alignments.chunks[alignments.chunks[:, 1] != _EQUAL].tolist():
        if row in inside:
            name, (reference, hypothesis) = OPERATIONS[operation], inside[row]
            span, own = (range(h0, h1), hypothesis) if name == "insert" else (range(r0, r1), reference)
            listed[_COUNTED[name]] += sum(place in own for place in span)
    biased, every = Counts(**listed), alignments.counts()
    return Biased(biased, Counts(*(getattr(every, one.name) - getattr(biased, one.name) for one in fields(Counts))))


def oov_recall(alignments: Alignments, vocabulary: Iterable[str]) -> Recall:
    """Return how many occurrences of words outside `vocabulary`, such as the training words, were recognised."""
    known = {word for entry in _listed(alignments, vocabulary) for word in entry}
    unknown: set[tuple[str, ...]] = {
        (w,) for text in (*alignments.references, *alignments.hypotheses) for w in text if w not in known
    }
    return _recall(alignments, unknown)


def read_words(path: Path | str) -> list[str]:
    """Read a word list: one word or phrase per line, empty lines left out.

    Raises:
        DataError: the file is missing, not UTF-8 or empty.
    """
    lines = textfiles.read_lines(path, "give a file of one word per line")
    words = [" ".join(line.split()) for line in lines if line.strip()]
    if not words:
        raise DataError(f"{path}: holds no words; write one word per line.")
    return words


def _listed(alignments: Alignments, words: Iterable[str]) -> set[tuple[str, ...]]:
    # A list names no language, so each of its words is taken in every language of the utterances.
    languages = sorted(set(alignments.languages)) or [""]
    entries: set[tuple[str, ...]] = set()
    for word in words:
        found = {tuple(tokens(word, alignments.unit, alignments.profile, language)) for language in languages}
        if () in found:
            raise DataError(
                f"the word '{word}' is empty under the normalisation '{alignments.profile}'; remove it from the list."
            )
        entries |= found
    return entries


def _recall(alignments: Alignments, entries: set[tuple[str, ...]]) -> Recall:
    lengths = sorted({len(entry) for entry in entries})
    equal = alignments.chunks[alignments.chunks[:, 1] == _EQUAL]
    matched: dict[int, list[tuple[int, int, int]]] = {}
    for row, _, r0, r1, h0, _ in equal.tolist():
        matched.setdefault(row, []).append((r0, r1, h0))
    occurrences = found = alarms = 0
    missed: Counter[str] = Counter()
    for row in np.flatnonzero(alignments.scored).tolist():
        # Position in the hypothesis by position in the reference, where the two agree.
        partner = {r: h0 + r - r0 for r0, r1, h0 in matched.get(row, ()) for r in range(r0, r1)}
        right: set[tuple[int, int]] = set()
        for at, length in _places(alignments.references[row], entries, lengths):
            occurrences += 1
            places = [partner.get(p, -1) for p in range(at, at + length)]
            if places[0] >= 0 and places == list(range(places[0], places[0] + length)):
                found += 1
                right.add((places[0], length))
            else:
                missed[" ".join(alignments.references[row][at : at + length])] += 1
        alarms += sum(place not in right for place in _places(alignments.hypotheses[row], entries, lengths))
    return Recall(occurrences, found, alarms, dict(sorted(missed.items(), key=lambda item: (-item[1], item[0]))))


def _places(units: list[str], entries: set[tuple[str, ...]], lengths: list[int]) -> list[tuple[int, int]]:
    """Return where entries stand in a text: (first index, length)."""
    return [
        (at, length)
        for length in lengths
        for at in range(len(units) - length + 1)
        if tuple(units[at : at + length]) in entries
    ]
