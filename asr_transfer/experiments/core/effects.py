"""Turns counts by seed into rates, and into what one system gains on another, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

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
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.evaluation.scoring import Alignments, Counts

Figures = tuple[float | None, float | None, float | None]
"""A value with its interval, as rows keep it; all None where there is nothing to compare with."""


def reduction(before: Sequence[Alignments], after: Sequence[Alignments]) -> Estimate:
    """Return the share of errors that a system makes less than another one, run with the same seeds.

    All seeds share the utterances, so that chance comes in twice: by which seeds were run, and by which utterances, or
    speakers where there are at least four, were tested on. There is no interval below four seeds, which say too little
    of the next one; p is then the exact sign test's over them.

    Args:
        before: Results of the other system by seed.
        after: Results of the system, in the same order.

    Raises:
        DataError: There is no seed, or the utterances differ.
    """
    return reduction_over(*_shared([*before, *after], [before, after], ["errors", "errors"]))


@overload
def figures(found: Estimate) -> tuple[float, float | None, float | None]: ...


@overload
def figures(found: Estimate | None) -> Figures: ...


def figures(found: Estimate | None) -> Figures:
    """Return a value with its interval."""
    return (None, None, None) if found is None else (found.value, found.low, found.high)


def share_with_interval(found: Estimate) -> str:
    """Return a share in per cent, with its interval where there is one, for a cell of a table."""
    ends = "" if found.low is None or found.high is None else f" ({span(found.low, found.high, 1)})"
    return f"{percent(found.value)} %{ends}"


def points_with_interval(found: Estimate) -> str:
    """Return a change of a rate in points, with its interval where there is one, for a cell of a table."""
    ends = "" if found.low is None or found.high is None else f" ({span(found.low, found.high, 1, '+')})"
    return f"{percent(found.value, 1, '+')}{ends}"


def pooled_rate(seeds: Sequence[Alignments]) -> float:
    """Return a system's error rate over all seeds; 0 where there is no reference."""
    total = sum((one.counts() for one in seeds), Counts())
    return total.rate if total.reference else 0.0


def spread_over_seeds(seeds: Sequence[Alignments]) -> float:
    """Return the standard deviation of a system's error rate over seeds; 0 of one."""
    rates = [pooled_rate([one]) for one in seeds]
    return float(np.std(rates, ddof=1)) if len(rates) > 1 else 0.0


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
    if not seeds or len({len(side) for side in sides}) > 1:
        counts = " and ".join(str(len(side)) for side in sides)
        raise DataError(f"{counts} seeds cannot be compared; run both with the same ones.")
    first = seeds[0]
    if any(one.ids != first.ids or one.references != first.references for one in seeds):
        raise DataError("the systems were scored on different utterances; compare them on the same ones.")
    # (seeds, utterances) each
    tables = [
        np.array([getattr(one, name) for one in side], np.float64) for side, name in zip(sides, quantities, strict=True)
    ]
    together = list(first.speakers) if len(set(first.speakers)) >= FEWEST else None
    ways = [[table.sum(1) for table in tables], summed([table.sum(0) for table in tables], together)]
    return ways, [np.concatenate(summed(list(table), together)) for table in tables]
