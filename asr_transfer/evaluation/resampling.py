"""Tests error rates of many independent items by drawing them anew, where there are as many as images, not speakers.

Intervals are percentiles of a bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
With fewer than some twenty parts these are too narrow, and `clusters` is the place to look: of seeds, or of speakers.

p is that of exchanging the two systems' outcomes at random, part by part, exactly (Fisher, "The Design of Experiments",
1935). Where a part is one item that is right or wrong it is McNemar's exact test (1947).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr_transfer.distributions import fair_coin
from asr_transfer.errors import DataError
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.clusters import FEWEST, LEVEL, Estimate, Floats

DRAWS = 10_000
"""Times that the parts are drawn anew."""
FEW = 20
"""Parts below which percentiles of a bootstrap are too narrow."""
_AT_ONCE = 1_000


def rate(errors: ArrayLike, units: ArrayLike, together: Sequence[str] | None = None) -> Estimate:
    """Return an error rate, `errors` over `units`, with its bootstrap interval.

    Args:
        errors: errors of each item, (n,).
        units: number of outcomes of each item, (n,).
        together: names of what goes together, (n,); None for none.

    Raises:
        DataError: there are no units, or lengths differ.
    """
    wrong, whole = clusters.summed([errors, units], together)
    if len(wrong) < FEWEST or not wrong.any() or (wrong == whole).all():
        return clusters.rate(wrong, whole)  # nothing varies: an exact bound, where there are enough
    low, high = interval(np.stack([wrong, whole], 1), lambda sums: sums[:, 0] / sums[:, 1])
    return Estimate(float(wrong.sum() / whole.sum()), low, high, 1.0, len(wrong))


def change(before: ArrayLike, after: ArrayLike, units: ArrayLike, together: Sequence[str] | None = None) -> Estimate:
    """Return the change of an error rate on the same items, after less before, with its bootstrap interval and p.

    Args:
        before: errors of each item, (n,).
        after: errors of the same items, (n,).
        units: number of outcomes of each item, (n,).
        together: names of what goes together, (n,); None for none.

    Raises:
        DataError: there are no units, or lengths differ.
    """
    first, second, whole = clusters.summed([before, after, units], together)
    if not whole.sum():
        raise DataError("a difference of error rates needs at least one item.")
    changes = second - first
    value, p = float(changes.sum() / whole.sum()), exchanged(changes)
    if len(changes) < FEWEST:
        return Estimate(value, None, None, p, len(changes))
    # Turned one way, so that exchanging the systems exactly turns the interval around.
    sign = -1.0 if value < 0 else 1.0
    ends = interval(np.stack([sign * changes, whole], 1), lambda sums: sums[:, 0] / sums[:, 1])
    low, high = sorted(sign * end for end in ends)
    return Estimate(value, low, high, p, len(changes))


def interval(
    parts: Floats, figure: Callable[[Floats], Floats], counts: Sequence[int] | None = None, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile interval at `clusters.LEVEL` of a figure of sums over parts that are drawn anew.

    Args:
        parts: (parts, quantities) quantities of each part.
        figure: function of sums, (draws, quantities), that returns (draws,).
        counts: number of equal parts that each row stands for, (parts,); None where each is one.
        seed: random seed.
    """
    times = np.asarray(counts if counts is not None else [], np.int64)
    if counts is None:  # equal parts as one row, which is the same and takes no memory
        parts, times = np.unique(parts, axis=0, return_counts=True)
    total, chance = int(times.sum()), np.random.default_rng(seed)
    found = []
    for first in range(0, DRAWS, _AT_ONCE):
        drawn = chance.multinomial(total, times / total, min(_AT_ONCE, DRAWS - first))
        found.append(figure(drawn.astype(np.float64) @ parts))
    low, high = np.percentile(np.concatenate(found), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def exchanged(changes: ArrayLike) -> float:
    """Return the exact two-sided p of whole changes, (n,), when each is as likely to have the other sign.

    >>> exchanged([1, 1, -1, 0, 1, 1, 1])
    0.21875
    """
    values = np.abs(np.rint(np.asarray(changes, np.float64))).astype(np.int64)
    observed = abs(round(float(np.sum(changes))))
    chances: NDArray[np.float64] = np.ones(1)
    for size, count in zip(*np.unique(values[values > 0], return_counts=True), strict=True):
        own = np.zeros(2 * size * count + 1)
        own[:: 2 * size] = fair_coin(count)
        chances = np.convolve(chances, own)
    sums = np.abs(np.arange(len(chances)) - len(chances) // 2)
    return min(1.0, float(chances[sums >= observed].sum()))
