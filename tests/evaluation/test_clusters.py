"""Intervals over clusters, against classical ones and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from asr_transfer.errors import DataError
from asr_transfer.evaluation.clusters import (
    Floats,
    difference,
    difference_over,
    figure_over,
    rate,
    reachable,
    reduction,
    reduction_over,
    sign_test,
    summed,
)


def _width(found: object) -> float:
    low, high = (getattr(found, end) for end in ("low", "high"))
    return float(high - low)


def test_the_interval_of_a_mean_is_students() -> None:
    random = np.random.default_rng(0)
    before, after = random.integers(20, 40, 12), random.integers(15, 38, 12)
    found = difference(before, after, np.full(12, 100))
    classical = stats.ttest_1samp((after - before) / 100, 0)
    ends = classical.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    assert found.p == pytest.approx(classical.pvalue) and found.clusters == 12
    assert found.value == pytest.approx(((after - before) / 100).mean())


def test_the_interval_of_a_ratio_is_nearly_the_delta_methods() -> None:
    random = np.random.default_rng(1)
    units = random.integers(400, 600, 200)
    errors = random.binomial(units, np.clip(random.normal(0.2, 0.05, 200), 0.01, 1))
    found = rate(errors, units)
    rest = errors - found.value * units
    assert _width(found) == pytest.approx(2 * 1.97 * math.sqrt((rest**2).sum()) / units.sum(), rel=0.03)


@pytest.mark.parametrize("count", [4, 10, 300])
def test_without_any_error_the_bound_is_clopper_and_pearsons(count: int) -> None:
    exact = stats.binomtest(0, count).proportion_ci(0.95, method="exact")
    none, every = (rate(np.full(count, errors), np.full(count, 7)) for errors in (0, 7))
    assert (none.value, none.low) == (0, 0) and none.high == pytest.approx(exact.high)
    assert (every.value, every.high) == (1, 1) and every.low == pytest.approx(1 - exact.high)


def test_a_rate_may_be_above_one() -> None:
    found = rate([12, 9, 15, 11, 13], [10] * 5)
    assert (
        found.value == 1.2 and found.low is not None and found.high is not None and 0.9 < found.low < 1.2 < found.high
    )
    below = rate([9, 8, 10, 9, 9], [10] * 5)
    assert below.high is not None and 0.9 < below.high <= 1, "a share is at most 1"


def test_clusters_that_are_all_alike_are_as_uncertain_as_their_counts() -> None:
    six, many = (rate([6] * n, [10] * n) for n in (6, 600))
    assert _width(six) == pytest.approx(2 * stats.t.ppf(0.975, 5) * math.sqrt(0.24 / 60), rel=0.05)
    assert _width(many) == pytest.approx(_width(six) / 10 * 1.96 / stats.t.ppf(0.975, 5), rel=0.05)
    assert _width(difference([4] * 6, [2] * 6, [10] * 6)) == pytest.approx(
        2 * stats.t.ppf(0.975, 5) * math.sqrt(12) / 60
    )
    halved = reduction([4] * 6, [2] * 6)
    assert halved.low is not None and halved.high is not None and 0.1 < halved.low < 0.5 < halved.high < 0.8
    assert halved.p == reachable(6), "six that agree give no less"
    same = reduction([4] * 6, [4] * 6)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_one_cluster_that_makes_most_of_the_errors_does_not_pass_for_ten() -> None:
    random = np.random.default_rng(2)
    even = np.full(10, 100)
    uneven = np.array([910] + [10] * 9)
    widths = []
    for units in (even, uneven):
        own = [rate(random.binomial(units, 0.3), units) for _ in range(50)]
        widths.append(np.median([_width(one) for one in own]))
    assert widths[1] > 3 * widths[0], "units are as many, but one speaker's are nine tenths of them"


def test_no_p_is_below_what_a_sign_test_can_reach() -> None:
    for count in (4, 5, 6, 10):
        before, after = np.arange(count) + 50, np.arange(count) + 1
        found = reduction(before, after), difference(before, after, np.full(count, 100))
        assert all(own.p >= reachable(count) == sign_test([-1.0] * count) for own in found)
        assert (min(own.p for own in found) < 0.05) == (count >= 6)


@pytest.mark.parametrize("changes", [[1.0, -2.0, 3.0, 0.0], [1.0] * 7, [-1.0, 1.0], [0.0, 0.0], []])
def test_the_sign_test_is_the_binomials(changes: list[float]) -> None:
    signs = [change > 0 for change in changes if change]
    expected = stats.binomtest(sum(signs), len(signs), 0.5).pvalue if signs else 1.0
    assert sign_test(changes) == pytest.approx(expected)


def test_errors_that_all_vanish_leave_an_uncertain_share() -> None:
    found = reduction([5, 6, 4, 5, 7], [0] * 5)
    assert found.value == 1 and found.high == 1 and found.low is not None and 0 < found.low < 1
    nothing = reduction([0] * 5, [0] * 5)
    assert (nothing.value, nothing.low, nothing.high, nothing.p) == (0, 0, 0, 1)
    new = reduction([0] * 5, [1] * 5)
    assert (new.value, new.low, new.p) == (-math.inf, None, 1)


def test_what_seeds_and_utterances_share_is_counted_once() -> None:
    random = np.random.default_rng(3)
    once, twice = [], []
    for _ in range(60):
        tables = [random.poisson(2.0, (6, 40)).astype(float), random.poisson(1.5, (6, 40)).astype(float)]
        ways = [[own.sum(1) for own in tables], [own.sum(0) for own in tables]]
        once.append(_width(reduction_over(ways, [own.ravel() for own in tables])))
        twice.append(_width(reduction_over(ways)))
    assert np.median(once) < 0.95 * np.median(twice), "there is nothing but what they share"


def test_the_interval_of_any_figure_needs_it_without_each_part() -> None:
    def logarithm(part: Floats, whole: Floats) -> Floats:
        return np.log(part / whole)

    whole = np.full(5, 20.0)
    part = np.array([4.0, 5.0, 6.0, 5.0, 4.0])
    found = figure_over([[part, whole]], logarithm, lambda way: way[1])
    spread = part.std(ddof=1) / math.sqrt(5) / part.mean()
    assert found is not None and found[1] - found[0] == pytest.approx(2 * stats.t.ppf(0.975, 4) * spread, rel=0.01)
    with np.errstate(divide="ignore"):
        assert figure_over([[np.array([4.0, 0, 0, 0, 0]), whole]], logarithm, lambda way: way[1]) is None
    assert figure_over([[part[:3], whole[:3]]], logarithm, lambda way: way[1]) is None


def test_quantities_are_summed_by_cluster() -> None:
    errors, units = summed([[1, 2, 4], [10, 20, 40]], ["b", "a", "b"])
    assert (errors.tolist(), units.tolist()) == ([2, 5], [20, 50])
    assert rate([1, 2, 4, 1, 1], [9] * 5, list("aabcd")) == rate([3, 4, 1, 1], [18, 9, 9, 9])
    with pytest.raises(DataError, match=r"\[2, 3\] observations cannot be compared"):
        summed([[1, 2, 3], [1, 2]])
    for figure in (lambda: rate([0] * 4, [0] * 4), lambda: difference([0] * 4, [0] * 4, [0] * 4)):
        with pytest.raises(DataError, match="at least one unit of reference"):
            figure()


def test_many_seeds_are_no_surer_than_the_few_utterances_that_they_share() -> None:
    seeds, utterances = [np.full(6, 10.0), np.full(6, 5.0)], [np.full(2, 30.0), np.full(2, 15.0)]
    for found in (
        reduction_over([seeds, utterances]),
        difference_over([[*seeds, np.full(6, 50.0)], [*utterances, np.full(2, 150.0)]]),
    ):
        assert (found.low, found.high, found.p, found.clusters) == (None, None, 0.5, 2)
    assert reduction([10] * 3, [5] * 3).p == 0.25, "three that agree"
