"""Measures what a lexicon or a list of hot words changes at its own words, and at all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_transfer.evaluation.scoring import Alignments, Hypothesis
from asr_transfer.evaluation.significance import change

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class System:
    """What a search makes of the test sentences.

    Attributes:
        name: name of the search.
        hypotheses: texts recognised in the test sentences.
        words: their alignment.
    """

    name: str
    hypotheses: Sequence[Hypothesis]
    words: Alignments


@dataclass(frozen=True)
class Effect:
    """What a lexicon or list of words changes (95 % intervals, two-sided p).

    Attributes:
        system, baseline: names of the searches with the words and without.
        listed, occurrences: the words, and how often the test sentences hold them.
        recall_before, recall: share of the occurrences that were found in their place.
        recall_low, recall_high, recall_p: interval and p of the difference; no interval below four sentences.
        others: number of the other reference words.
        wer_before, wer: their errors, all insertions included, per word.
        wer_low, wer_high, wer_p: interval and p of the difference; below 0 is better.
        over, clusters: observations that are taken as independent, `speakers` or `utterances`, and the numbers of these
            with an occurrence and with another word. Older records lack them.
    """

    system: str
    baseline: str
    listed: int
    occurrences: int
    recall_before: float
    recall: float
    recall_low: float | None
    recall_high: float | None
    recall_p: float
    others: int
    wer_before: float
    wer: float
    wer_low: float | None
    wer_high: float | None
    wer_p: float
    over: str = ""
    clusters: tuple[int, ...] = ()


def outside(words: Alignments, listed: Iterable[str]) -> tuple[Integers, Integers]:
    """Return, of each utterance, the errors at reference words that are not listed, and the number of these words.

    Insertions count as errors: a listed word put where nothing, or something else, was said is what a list costs.
    """
    chosen = frozenset(listed)
    return _counted(words, lambda reference: reference not in chosen)


def missed(words: Alignments, listed: Iterable[str]) -> tuple[Integers, Integers]:
    """Return, of each utterance, the listed reference words that were not found in their place, and their number."""
    return _counted(words, frozenset[str | None](listed).__contains__)


def _counted(words: Alignments, counts: Callable[[str | None], bool]) -> tuple[Integers, Integers]:
    """Return the errors and the number of reference words of each utterance where `counts`, of None for insertions."""
    errors, units = (np.zeros(len(words.ids), np.int64) for _ in range(2))
    for n in range(len(words.ids)):
        for operation, reference, _ in words.pairs(n):
            if counts(reference):
                errors[n] += operation != "equal"
                units[n] += reference is not None
    return errors, units


def effect(system: System, baseline: System, listed: Sequence[str]) -> Effect:
    """Compare a search that knows some words with one that does not, at these words and at all others."""
    (before, units), (after, _) = (missed(one.words, listed) for one in (baseline, system))
    (wrong, others), (cost, _) = (outside(one.words, listed) for one in (baseline, system))
    speakers = system.words.speakers
    ids = system.words.ids
    found = change(before, after, units, speakers, ids)
    harm = change(wrong, cost, others, speakers, ids)
    return Effect(
        system.name,
        baseline.name,
        len(set(listed)),
        int(units.sum()),
        1 - (found.baseline or 0.0),
        1 - (found.rate or 0.0),
        None if found.high is None else 0.0 - found.high,
        None if found.low is None else 0.0 - found.low,
        found.p,
        int(others.sum()),
        harm.baseline or 0.0,
        harm.rate or 0.0,
        harm.low,
        harm.high,
        harm.p,
        harm.over,
        (found.clusters, harm.clusters),
    )
