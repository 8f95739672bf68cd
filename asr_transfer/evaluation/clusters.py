"""Computes intervals of error rates over what goes together: speakers, words, seeds.

Errors of one speaker are alike, so that a test set is worth as many observations as it has speakers. Percentiles of a
bootstrap over so few are too narrow: what is called 95 % covers 80 % with four clusters and 88 % with ten. Here each
cluster is left out in turn (the jackknife; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 11),
on a scale where the estimate is nearly symmetric, and the interval is Student's t. Its degrees of freedom are the
number of *equally large* clusters that would weigh as unevenly as these (Kish, "Survey Sampling", 1965), less one, so
that one speaker who makes most of the errors does not pass for ten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr_transfer.distributions import as_uneven, t_above, t_quantile
from asr_transfer.errors import DataError

LEVEL = 0.95
FEWEST = 4
"""Clusters below which no interval is given: three of them say next to nothing about the fourth."""

ALIKE = 1e-12
"""A variance below which all clusters are the same by chance; the figure is then as uncertain as its count of errors,
or of errors that came or went."""

NO_SHARE = "no errors before: a share cannot be given"
"""Reason where errors came up that none were before, so that they have risen by no share that is a number."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with what is known of its chance.

    Attributes:
        value: figure itself; minus infinity for the share of no errors, which a record keeps as null.
        low, high: its interval at `LEVEL`; None below `FEWEST` clusters.
        p: two-sided p that nothing changed; 1 where a rate is no change, never less than a sign test of as many
            clusters could reach.
        clusters: number of independent observations.
    """

    value: float
    low: float | None
    high: float | None
    p: float
    clusters: int

    @property
    def reason(self) -> str:
        """Return in words why there is no figure, which then is infinite; empty where there is one."""
        return "" if math.isfinite(self.value) else NO_SHARE


def rate(errors: ArrayLike, units: ArrayLike, clusters: Sequence[str] | NDArray[Any] | None = None) -> Estimate:
    """Return an error rate, `errors` over `units`, with its interval.

    Args:
        errors: errors of each observation, (n,).
        units: units of each observation's reference, (n,).
        clusters: names of what goes together, (n,); None for none.

    Raises:
        DataError: there are no units, or lengths differ.
    """
    return rate_over([summed([errors, units], clusters)])


def rate_over(ways: Sequence[Sequence[Floats]], cells: Sequence[Floats] | None = None) -> Estimate:
    """Return an error rate that is uncertain in several ways at once.

    Args:
        ways: errors and units, as of `reduction_over`.
        cells: the same by both, as of `reduction_over`.

    Raises:
        DataError: there are no units.
    """
    (wrong, whole), count = ways[0], min(len(way[0]) for way in ways)
    if not whole.sum():
        raise DataError("an error rate needs at least one unit of reference.")
    value = float(wrong.sum() / whole.sum())
    if count < FEWEST:
        return Estimate(value, None, None, 1.0, count)
    share = all(bool((way[0] <= way[1]).all()) for way in ways)
    if not wrong.any() or (share and (wrong == whole).all()):
        # Nothing varies; the exact bound of clusters that were all alike (Clopper and Pearson 1934).
        edge = 1 - ((1 - LEVEL) / 2) ** (1 / count)
        return Estimate(value, 0.0 if not value else 1 - edge, edge if not value else 1.0, 1.0, count)

    def scaled(part: Floats, total: Floats) -> Floats:
        return np.log((part + 0.5) / ((total - part if share else total) + 0.5))

    variance, freedom = _spread(ways, scaled, lambda way: way[1], cells)
    if variance < ALIKE:
        right = (whole - wrong).sum() if share else math.inf
        variance = float(1 / wrong.sum() + 1 / right)
    ends = [math.exp(end) for end in _ends(scaled(wrong.sum(), whole.sum()), variance, freedom)]
    low, high = [end / (1 + end) for end in ends] if share else ends
    return Estimate(value, min(low, value), max(high, value), 1.0, count)


def reduction(before: ArrayLike, after: ArrayLike, clusters: Sequence[str] | NDArray[Any] | None = None) -> Estimate:
    """Return the share of the errors `before` that are not made `after`, with its interval.

    Args:
        before: errors of each observation, (n,).
        after: errors of the same observations, (n,).
        clusters: names of what goes together, (n,); None for none.

    Raises:
        DataError: lengths differ.
    """
    return reduction_over([summed([before, after], clusters)])


def reduction_over(ways: Sequence[Sequence[Floats]], cells: Sequence[Floats] | None = None) -> Estimate:
    """Return the share of errors that are no longer made, uncertain in several ways at once.

    Args:
        ways: divisions of the same errors into independent parts, such as by seed and by utterance: errors before and
            after by part, (2, parts) each. The variances add up, and the degrees of freedom follow (Satterthwaite
            1946).
        cells: errors by seed *and* utterance, (2, seeds × utterances), whose variance both ways contain, so that it is
            taken off once (Cameron, Gelbach and Miller, "Robust inference with multiway clustering", 2011). Without
            them the interval is rather too wide.
    """
    (before, after), fewest = ways[0], min(len(way[0]) for way in ways)
    total = float(before.sum()), float(after.sum())
    value = 1 - total[1] / total[0] if total[0] else 0.0 if not total[1] else -math.inf
    if not math.isfinite(value):
        return Estimate(value, None, None, 1.0, fewest)
    if fewest < FEWEST:
        return _of_few(value, after - before, fewest)

    def scaled(first: Floats, second: Floats) -> Floats:
        return np.log((second + 0.5) / (first + 0.5))

    variance, freedom = _spread(ways, scaled, lambda way: way[0] + way[1], cells)
    if not total[1] and total[0]:
        variance = max(variance, 1.0)  # no errors are left to vary: as uncertain as a count of one
    elif variance < ALIKE:
        variance = 4 * abs(total[1] - total[0]) / (total[0] + total[1]) ** 2 if any(total) else 0.0
    centre = scaled(*(np.array(own) for own in total))
    low, high = _ends(centre, variance, freedom)
    p = _p(float(centre), variance, freedom, fewest)
    return Estimate(value, min(value, 1 - math.exp(high)), max(value, 1 - math.exp(low)), p, fewest)


def difference(
    before: ArrayLike,
    after: ArrayLike,
    units: ArrayLike,
    clusters: Sequence[str] | NDArray[Any] | None = None,
) -> Estimate:
    """Return the change of an error rate, after less before, with its interval.

    Args:
        before: errors of each observation, (n,).
        after: errors of the same observations, (n,).
        units: units of each observation's reference, (n,).
        clusters: names of what goes together, (n,); None for none.

    Raises:
        DataError: there are no units, or lengths differ.
    """
    return difference_over([summed([before, after, units], clusters)])


def difference_over(ways: Sequence[Sequence[Floats]], cells: Sequence[Floats] | None = None) -> Estimate:
    """Return the change of an error rate that is uncertain in several ways at once.

    Args:
        ways: errors before, errors after and units, as of `reduction_over`.
        cells: the same by both, as of `reduction_over`.

    Raises:
        DataError: there are no units.
    """
    (first, second, whole), count = ways[0], min(len(way[0]) for way in ways)
    if not whole.sum():
        raise DataError("a difference of error rates needs at least one unit of reference.")
    value = float((second.sum() - first.sum()) / whole.sum())
    if count < FEWEST:
        return _of_few(value, second - first, count)

    def scaled(one: Floats, other: Floats, total: Floats) -> Floats:
        changes: Floats = (other - one) / np.maximum(total, 1)
        return changes

    variance, freedom = _spread(ways, scaled, lambda way: way[2], cells)
    if variance < ALIKE:
        variance = abs(value) / float(whole.sum())
    low, high = _ends(value, variance, freedom)
    if (first <= whole).all() and (second <= whole).all():
        low, high = max(-1.0, low), min(1.0, high)  # a share cannot change by more than all of it
    return Estimate(value, low, high, _p(value, variance, freedom, count), count)


def figure_over(
    ways: Sequence[Sequence[Floats]],
    figure: Callable[..., Floats],
    weight: Callable[[Sequence[Floats]], Floats],
    cells: Sequence[Floats] | None = None,
) -> tuple[float, float] | None:
    """Return the interval of any figure of sums, on a scale where it is nearly symmetric.

    Args:
        ways: quantities that the figure is computed from, as of `reduction_over`.
        figure: function of sums, (n,) each; it is (n,), and infinite where it is not known.
        weight: weight of each part, (parts,), made from a way's quantities.
        cells: the same by both, as of `reduction_over`.

    Returns:
        Its ends; None below `FEWEST` parts, or where the figure is not known without one of them.
    """
    centre = float(figure(*(own.sum(keepdims=True) for own in ways[0]))[0])
    if min(len(way[0]) for way in ways) < FEWEST or not math.isfinite(centre):
        return None
    variance, freedom = _spread(ways, figure, weight, cells)
    return _ends(centre, variance, freedom) if math.isfinite(variance) else None


def sign_test(changes: Sequence[float]) -> float:
    """Return the exact two-sided p of so many rises and falls; changes of nothing do not count (Dixon and Mood 1946).

    >>> sign_test([1.0, 2.0, 0.5])
    0.25
    """
    rises, falls = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    return as_uneven(rises, falls)


def reachable(count: int) -> float:
    """Return the smallest p that a two-sided sign test of so many observations can give."""
    return min(1.0, 2.0 ** (1 - count))


def summed(values: Sequence[ArrayLike], clusters: Sequence[str] | NDArray[Any] | None = None) -> list[Floats]:
    """Return each quantity summed up by cluster, (clusters,) each; without clusters as it is.

    Raises:
        DataError: lengths differ.
    """
    rows = [np.asarray(own, np.float64) for own in values]
    lengths = {len(row) for row in rows} | ({len(clusters)} if clusters is not None else set())
    if len(lengths) != 1:
        raise DataError(f"quantities of {sorted(lengths)} observations cannot be compared; give one value for each.")
    if clusters is None:
        return rows
    numbers = np.unique(np.asarray(clusters), return_inverse=True)[1]
    return [np.bincount(numbers, row).astype(np.float64) for row in rows]


def _of_few(value: float, changes: Floats, fewest: int) -> Estimate:
    """Return a change of too few parts for an interval, with the p of those changes, no surer than the fewest are."""
    return Estimate(value, None, None, max(reachable(fewest), sign_test(changes.tolist())), fewest)


def _spread(
    ways: Sequence[Sequence[Floats]],
    figure: Callable[..., Floats],
    weight: Callable[[Sequence[Floats]], Floats],
    cells: Sequence[Floats] | None = None,
) -> tuple[float, float]:
    """Return the variance of a figure, in all ways together, and its degrees of freedom."""
    parts = [_jackknife(way, figure, weight(way)) for way in ways]
    shared = _jackknife(cells, figure, weight(cells)) if cells is not None else (0.0, 1.0)
    if not all(math.isfinite(own) for own, _ in (*parts, shared)):
        return math.inf, 1.0
    variance = max(sum(own for own, _ in parts) - shared[0], *(own for own, _ in parts))
    if not variance:
        return 0.0, min(len(way[0]) for way in ways) - 1.0
    return variance, max(1.0, variance**2 / sum(own**2 / freedom for own, freedom in (*parts, shared)))


def _jackknife(sums: Sequence[Floats], figure: Callable[..., Floats], weights: Floats) -> tuple[float, float]:
    """Return the variance of a figure that is computed from sums over clusters, and its degrees of freedom."""
    count = len(weights)
    without = figure(*(own.sum() - own for own in sums))
    if not np.isfinite(without).all():
        return math.inf, 1.0
    variance = float(((without - without.mean()) ** 2).sum() * (count - 1) / count)
    squares = float((weights**2).sum())
    alike = float(weights.sum()) ** 2 / squares if squares else float(count)
    return variance, max(1.0, alike - 1)


def _ends(centre: float | Floats, variance: float, freedom: float) -> tuple[float, float]:
    half = t_quantile((1 + LEVEL) / 2, freedom) * math.sqrt(variance)
    return float(centre) - half, float(centre) + half


def _p(centre: float, variance: float, freedom: float, count: int) -> float:
    if not variance:
        return 1.0 if not centre else reachable(count)
    return max(reachable(count), 2 * t_above(abs(centre) / math.sqrt(variance), freedom))
