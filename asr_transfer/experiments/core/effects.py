"""Computes the share of errors that one system makes less than another, over all seeds, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr_transfer.errors import DataError
from asr_transfer.evaluation.clusters import (
    FEWEST,
    Estimate,
    Floats,
    difference_over,
    rate_over,
    reduction_over,
    summed,
)
from asr_transfer.evaluation.scoring import Alignments


@dataclass(frozen=True)
class Reduction:
    """A system against another one.

    Attributes:
        share: part of the other's errors that it makes less; negative where it makes more.
        low, high: its 95 % interval over seeds and utterances; None with fewer than four seeds, which say too little of
            the next one.
        p: two-sided, that the two err alike; with fewer than four seeds the exact sign test's over them.
        seeds: number of seeds.
    """

    share: float
    low: float | None
    high: float | None
    p: float
    seeds: int


def reduction(before: Sequence[Alignments], after: Sequence[Alignments]) -> Reduction:
    """Compare two systems, run with the same seeds on the same utterances.

    All seeds share the utterances, so that chance comes in twice: by which seeds were run, and by which utterances, or
    speakers where there are at least four, were tested on.

    Args:
        before: the other system's results by seed.
        after: the system's, in the same order.

    Raises:
        DataError: there is no seed, or the utterances differ.
    """
    if not before or len(before) != len(after):
        raise DataError(f"{len(before)} and {len(after)} seeds cannot be compared; run both with the same ones.")
    first = before[0]
    for one in (*before, *after):
        if one.ids != first.ids or one.references != first.references:
            raise DataError("the systems were scored on different utterances; compare them on the same ones.")
    found = reduction_over(*_shared([*before, *after], [before, after], ["errors", "errors"]))
    return Reduction(found.value, found.low, found.high, found.p, len(before))


def pooled_rate(seeds: Sequence[Alignments]) -> float:
    """Return a system's error rate over all seeds."""
    return sum(int(a.errors.sum()) for a in seeds) / max(1, sum(int(a.reference.sum()) for a in seeds))


def rate_over_seeds(seeds: Sequence[Alignments]) -> Estimate:
    """Return a system's error rate over seeds that share their utterances, with its interval.

    Chance comes in as in `reduction`; there is no interval below four seeds.

    Args:
        seeds: the system's results by seed.

    Raises:
        DataError: there are no reference units, or the seeds were tested on different utterances.
    """
    return rate_over(*_shared(seeds, [seeds, seeds], ["errors", "reference"]))


def difference_over_seeds(before: Sequence[Alignments], after: Sequence[Alignments]) -> Estimate:
    """Return the change of an error rate between two systems, run with the same seeds on the same utterances.

    Args:
        before: the other system's results by seed.
        after: the system's, in the same order.

    Raises:
        DataError: there are no reference units, or the seeds were tested on different utterances.
    """
    sides = [before, after, before]
    return difference_over(*_shared([*before, *after], sides, ["errors", "errors", "reference"]))


def _shared(
    seeds: Sequence[Alignments], sides: Sequence[Sequence[Alignments]], quantities: Sequence[str]
) -> tuple[list[list[Floats]], list[Floats]]:
    """Return quantities by seed, by utterance or speaker, and by both, as of `reduction_over`.

    Args:
        seeds: all that must have the same utterances.
        sides: results by seed, for each quantity.
        quantities: names of what is summed up, `errors` or `reference`.
    """
    first = seeds[0]
    if any(one.ids != first.ids for one in seeds):
        raise DataError("the seeds were scored on different utterances; score all on the same ones.")
    # (seeds, utterances) each
    tables = [
        np.array([getattr(one, name) for one in side], np.float64) for side, name in zip(sides, quantities, strict=True)
    ]
    together = list(first.speakers) if len(set(first.speakers)) >= FEWEST else None
    ways = [[table.sum(1) for table in tables], summed([table.sum(0) for table in tables], together)]
    return ways, [np.concatenate(summed(list(table), together)) for table in tables]
