"""Measures how well scores tell what is meant from what is not: area under the curve, and rate of equal errors.

Both are over all thresholds, so that they say nothing of how a threshold is chosen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from asr_transfer.errors import DataError


class EqualError(NamedTuple):
    """The threshold where as large a share is missed as is taken wrongly.

    Attributes:
        threshold: score from which an item is taken.
        rate: mean of the two shares, which differ by at most what one item makes.
    """

    threshold: float
    rate: float


def area_under_curve(meant: ArrayLike, others: ArrayLike) -> float:
    """Return the chance that an item that is meant scores higher than one of the others; ties count half.

    Args:
        meant: (items,) scores of what is meant.
        others: (items,) scores of what is not.

    Raises:
        DataError: one of the two is empty.
    """
    first, second = _scores(meant, others)
    ranks = stats.rankdata(np.concatenate([first, second]))[: len(first)]
    return float((ranks.sum() - len(first) * (len(first) + 1) / 2) / (len(first) * len(second)))


def equal_error(meant: ArrayLike, others: ArrayLike) -> EqualError:
    """Return the threshold of equal error rates; see `area_under_curve` for the arguments.

    It stands in the middle between two scores, and of several that are as good it is the middle one.

    Raises:
        DataError: one of the two is empty.
    """
    first, second = _scores(meant, others)
    every = np.unique(np.concatenate([first, second]))
    thresholds = np.concatenate([[every[0]], (every[1:] + every[:-1]) / 2, [np.nextafter(every[-1], np.inf)]])
    missed = np.searchsorted(np.sort(first), thresholds) / len(first)
    taken = 1 - np.searchsorted(np.sort(second), thresholds) / len(second)
    apart = np.abs(missed - taken)
    best = np.flatnonzero(apart <= apart.min() + 1e-12)
    middle = best[len(best) // 2]
    return EqualError(float(thresholds[middle]), float((missed[middle] + taken[middle]) / 2))


def _scores(meant: ArrayLike, others: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = (np.asarray(values, np.float64).reshape(-1) for values in (meant, others))
    if not len(first) or not len(second):
        raise DataError("errors of detection need scores of what is meant and of what is not; one of them is empty.")
    return first, second
