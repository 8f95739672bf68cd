"""Tests whether a difference between two systems is more than the luck of the test set.

Intervals and p are over speakers where there are at least four, since errors of one speaker go together, and over
utterances otherwise, which says nothing of other speakers (see `clusters`). MAPSSWE (matched pairs sentence-segment
word error): Gillick and Cox, "Some statistical issues in the comparison of speech recognition algorithms" (1989). Many
methods against one baseline: Holm, "A simple sequentially rejective multiple test procedure" (1979). Differences are
system minus baseline: below zero is better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr_transfer.distributions import normal_above
from asr_transfer.errors import DataError
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.clusters import FEWEST, Estimate
from asr_transfer.evaluation.scoring import OPERATIONS, Alignments, Integers

Over = Literal["speakers", "utterances"]


@dataclass(frozen=True)
class Change:
    """The change of an error rate from one system to another.

    Attributes:
        baseline, rate: the two error rates on the test set; None where it has no reference.
        difference: `rate - baseline`.
        low, high: interval of the difference at `clusters.LEVEL`; None below four clusters.
        improvement: probability that the system is better, by the distribution of the interval and p; 0.5 for
            identical systems.
        p: two-sided p; 1 for identical systems.
        over: clusters, `speakers` or `utterances`; several draws of one utterance are one cluster.
        clusters: number of them.
        speakers, utterances: their numbers.
        differing: utterances with more or fewer errors than under the baseline.
        note: sentence that a reader must know; empty where there is nothing.
    """

    baseline: float | None
    rate: float | None
    difference: float | None
    low: float | None
    high: float | None
    improvement: float
    p: float
    over: Over
    clusters: int
    speakers: int
    utterances: int
    differing: int
    note: str = ""


@dataclass(frozen=True)
class Mapsswe:
    """A matched-pairs test.

    Attributes:
        segments: number of segments in which at least one system errs; the test's sample size.
        mean: errors per segment, system minus baseline.
        z: the statistic, below zero where the system is better; None where all segments differ alike.
        p: two-sided, from the normal distribution; 1 for identical systems.
        note: sentence that a reader must know; empty where there is nothing.
    """

    segments: int
    mean: float
    z: float | None
    p: float
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """A system against the baseline, by both tests.

    Attributes:
        change, mapsswe: tests of the pair alone.
        p_change, p_mapsswe: their p after Holm's correction for all systems that met the baseline.
    """

    change: Change
    mapsswe: Mapsswe
    p_change: float
    p_mapsswe: float


def compare(baseline: Alignments, systems: Sequence[Alignments]) -> list[Comparison]:
    """Compare systems with a baseline on the same utterances.

    Raises:
        DataError: utterances, references, units or profiles differ.
    """
    for system in systems:
        _same_task(baseline, system)
    kept = baseline.scored
    ids, speakers = (np.asarray(names)[kept].tolist() for names in (baseline.ids, baseline.speakers))
    first, units = baseline.errors[kept], baseline.reference[kept]
    changes = [change(first, system.errors[kept], units, speakers, ids) for system in systems]
    tests = [mapsswe(baseline, system) for system in systems]
    corrected = zip(holm([own.p for own in changes]), holm([t.p for t in tests]), strict=True)
    return [Comparison(own, t, *both) for own, t, both in zip(changes, tests, corrected, strict=True)]


def change(
    baseline: ArrayLike,
    system: ArrayLike,
    reference: ArrayLike,
    speakers: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
) -> Change:
    """Test the difference of two systems' error rates.

    Args:
        baseline, system: errors per utterance, (n,).
        reference: reference units per utterance, (n,).
        speakers: names by utterance, (n,); None where they are not known.
        ids: utterances' names, (n,), which end in `#DRAW` where there are several draws; None for one of each.

    Raises:
        DataError: lengths differ.
    """
    rows = [np.asarray(own).astype(np.int64) for own in (baseline, system, reference)]
    names, recordings = (list(own) if own is not None else [""] * len(rows[0]) for own in (speakers, ids))
    clusters.summed([*rows, np.zeros(len(names)), np.zeros(len(recordings))])  # refuses unequal lengths
    kept = np.logical_or.reduce([row > 0 for row in rows])  # others hold nothing that could have gone wrong
    first, second, units = (row[kept] for row in rows)
    names, recordings = (np.array(own, object)[kept].tolist() for own in (names, recordings))
    over, together = independent(names, recordings if ids is not None else None)
    known, total = len(set(names)), int(units.sum())
    found = clusters.difference(first, second, units, together) if total else Estimate(0.0, None, None, 1.0, 0)
    return Change(
        int(first.sum()) / total if total else None,
        int(second.sum()) / total if total else None,
        found.value if total else None,
        found.low,
        found.high,
        1 - found.p / 2 if found.value < 0 else found.p / 2,
        found.p,
        over,
        found.clusters,
        known,
        len(rows[0]),
        int((first != second).sum()),
        "" if over == "speakers" else few_speakers(names),
    )


def error_rate(aligned: Alignments) -> Estimate | None:
    """Return a system's error rate with its interval over what `independent` says; None where it has no reference."""
    kept = aligned.scored
    if not aligned.reference[kept].sum():
        return None
    ids, speakers = (np.asarray(names)[kept].tolist() for names in (aligned.ids, aligned.speakers))
    return clusters.rate(aligned.errors[kept], aligned.reference[kept], independent(speakers, ids)[1])


def independent(speakers: Sequence[str], ids: Sequence[str] | None = None) -> tuple[Over, list[str]]:
    """Return what observations are taken as independent of each other, and which go together, (n,).

    That is speakers, where there are at least four. Of fewer it is utterances, all draws (`ID#DRAW`) of one together.

    Args:
        speakers: names by observation, (n,); empty where they are not known.
        ids: utterances' names, (n,); None for different ones.
    """
    if len(set(speakers)) >= FEWEST:
        return "speakers", list(speakers)
    names = list(ids) if ids is not None else [str(n) for n in range(len(speakers))]
    drawn = [re.sub(r"#\d+$", "", name) for name in names]
    return "utterances", drawn if len(set(drawn)) >= FEWEST else names


def few_speakers(speakers: Sequence[str]) -> str:
    """Return what intervals over utterances do not say."""
    known = set(speakers) - {""}
    if not known:
        return "speakers are not known: utterances were taken as if all were independent"
    number = "one speaker" if len(known) == 1 else f"{len(known)} speakers"
    return f"{number} only: the intervals are over utterances, and say nothing of other speakers"


def mapsswe(baseline: Alignments, system: Alignments) -> Mapsswe:
    """Test whether errors differ over segments that are bounded by two words both systems have right.

    Such segments may be taken as independent of each other, which words are not.

    Raises:
        DataError: utterances, references, units or profiles differ.
    """
    _same_task(baseline, system)
    starts = np.concatenate([[0], np.cumsum(2 * baseline.reference + 1)])
    first, second = _slots(baseline, starts), _slots(system, starts)
    right = (first == 0) & (second == 0)
    # Slots of an utterance: gap, word, gap, word, …, gap. Two words right with nothing inserted between: w-gap-w.
    word = np.ones(len(right), bool)
    word[starts[:-1]] = False
    offset = np.arange(len(right)) - np.repeat(starts[:-1], np.diff(starts))
    word &= offset % 2 == 1
    middle = np.zeros(len(right), bool)
    middle[1:-1] = right[:-2] & right[1:-1] & right[2:] & word[:-2] & word[2:]
    cut = middle.copy()
    cut[starts[:-1]] = True  # an utterance's end is a bound as well
    segment = np.cumsum(cut)
    count = int(segment[-1]) + 1 if len(segment) else 0
    one, two = np.bincount(segment, first, count), np.bincount(segment, second, count)
    changes = (two - one)[(one > 0) | (two > 0)]
    return _matched_pairs(changes)


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, so that the chance of any false finding stays bounded."""
    order = sorted(range(len(values)), key=lambda n: values[n])
    result, largest = [0.0] * len(values), 0.0
    for rank, n in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[n]))
        result[n] = largest
    return result


def _slots(alignments: Alignments, starts: Integers) -> Integers:
    """Return errors per slot: for each utterance insertions before, errors at and after each reference word."""
    chunks = alignments.chunks[alignments.chunks[:, 1] != OPERATIONS.index("equal")]
    chunks = chunks[alignments.scored[chunks[:, 0]]]
    inserted = chunks[:, 1] == OPERATIONS.index("insert")
    gaps, others = chunks[inserted], chunks[~inserted]
    total = int(starts[-1])
    result = np.bincount(starts[gaps[:, 0]] + 2 * gaps[:, 2], gaps[:, 5] - gaps[:, 4], total)
    lengths = others[:, 3] - others[:, 2]
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    words = np.repeat(starts[others[:, 0]] + 2 * others[:, 2] + 1, lengths) + 2 * within
    return (result + np.bincount(words, minlength=total)).astype(np.int64)


def _matched_pairs(changes: NDArray[Any]) -> Mapsswe:
    count = len(changes)
    if not count or not changes.any():
        return Mapsswe(count, 0.0, 0.0, 1.0, "the systems err alike" if count else "neither system errs")
    mean = float(changes.mean())
    spread = float(changes.std(ddof=1)) if count > 1 else 0.0
    if spread == 0:
        return Mapsswe(count, mean, None, 2.0 ** (1 - count), "all segments differ alike: p is the sign test's")
    z = mean / (spread / math.sqrt(count))
    note = "" if count >= 30 else f"{count} segments only: p is approximate"
    return Mapsswe(count, mean, z, 2 * normal_above(abs(z)), note)


def _same_task(first: Alignments, second: Alignments) -> None:
    if first.profile != second.profile:
        raise DataError(
            f"error rates under the normalisations '{first.profile}' and '{second.profile}' are different quantities; "
            "score both under one."
        )
    if first.unit != second.unit:
        raise DataError(f"one system is scored by {first.unit}, the other by {second.unit}; score both alike.")
    if first.ids != second.ids:
        raise DataError("the systems were scored on different utterances, or in another order; compare the same ones.")
    for name, one, two in zip(first.ids, first.references, second.references, strict=True):
        if one != two:
            raise DataError(f"utterance '{name}': the systems were scored against different references; use the same.")
