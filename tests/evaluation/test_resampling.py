"""Bootstrap and exchange are those of scipy and of loops over all signs; drawing equal items as one changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from asr_transfer.errors import DataError
from asr_transfer.evaluation.resampling import change, exchanged, interval, rate


def outcomes(count: int, share: float, seed: int) -> np.ndarray:
    """Return seeded outcomes, 1 for wrong."""
    return (np.random.default_rng(seed).random(count) < share).astype(float)


def test_the_exchange_is_that_of_all_signs() -> None:
    for changes in ([3, -1, 2, 0, 2, 1, -2, 4], [1, 1, 1], [5, -5], [2, 2, -1, 1, 1, 1, 3, 3, -1, 2, 1]):
        observed = abs(sum(changes))
        signs = list(itertools.product((-1, 1), repeat=len(changes)))
        as_far = sum(abs(sum(s * c for s, c in zip(own, changes, strict=True))) >= observed for own in signs)
        assert exchanged(changes) == pytest.approx(as_far / len(signs), rel=1e-12)


def test_the_exchange_of_single_items_is_mcnemars_exact_test() -> None:
    changes = [1] * 31 + [-1] * 14 + [0] * 955
    assert exchanged(changes) == pytest.approx(stats.binomtest(14, 45).pvalue, rel=1e-9)
    assert exchanged([0, 0, 0]) == 1.0 and exchanged([]) == 1.0
    assert 0 <= exchanged([1] * 10_000) < 1e-300


def test_the_interval_of_a_rate_is_scipys_bootstrap() -> None:
    wrong = outcomes(300, 0.2, 0)
    found = rate(wrong, np.ones(300))
    theirs = stats.bootstrap(
        (wrong,), np.mean, n_resamples=20_000, method="percentile", batch=500, random_state=np.random.default_rng(1)
    ).confidence_interval
    assert found.value == wrong.mean() and found.clusters == 300
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.0051)  # one or two items of 300


def test_the_interval_of_a_change_is_scipys_paired_bootstrap_over_what_goes_together() -> None:
    first, second = outcomes(400, 0.3, 1), outcomes(400, 0.2, 2)
    names = [f"episode {n // 10}" for n in range(400)]
    found = change(first, second, np.ones(400), names)
    sums = (second - first).reshape(40, 10).mean(1)
    theirs = stats.bootstrap(
        (sums,), np.mean, n_resamples=20_000, method="percentile", batch=500, random_state=np.random.default_rng(1)
    ).confidence_interval
    assert found.clusters == 40 and found.value == pytest.approx((second - first).mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert found.p == exchanged((second - first).reshape(40, 10).sum(1))


def test_equal_parts_may_be_given_as_a_number_of_one() -> None:
    rows = np.array([[0.0, 1.0]] * 30 + [[1.0, 1.0]] * 10)
    one = interval(rows, lambda sums: sums[:, 0] / sums[:, 1])
    assert one == interval(rows[[0, -1]], lambda sums: sums[:, 0] / sums[:, 1], [30, 10])
    assert one[0] < 0.25 < one[1]


def test_exchanging_the_systems_turns_the_interval_around() -> None:
    first, second = outcomes(200, 0.3, 1), outcomes(200, 0.2, 2)
    forth, back = change(first, second, np.ones(200)), change(second, first, np.ones(200))
    assert forth.low is not None and forth.high is not None
    assert (back.low, back.high, back.p, back.value) == (-forth.high, -forth.low, forth.p, -forth.value)


def test_intervals_cover_as_often_as_they_say() -> None:
    chance, covered = np.random.default_rng(0), 0
    for _ in range(200):
        found = rate((chance.random(150) < 0.3).astype(float), np.ones(150))
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.3 <= found.high
    assert 180 <= covered <= 199  # 190 expected


def test_where_nothing_varies_there_is_an_exact_bound_and_of_three_there_is_none() -> None:
    none = rate(np.zeros(100), np.ones(100))
    assert none.low == 0 and none.high == pytest.approx(stats.binomtest(0, 100).proportion_ci().high)
    few = rate([0, 1, 0], [1, 1, 1])
    assert few.low is None and few.high is None
    moved = change([1, 1, 0], [0, 0, 0], [1, 1, 1])
    assert moved.low is None and moved.p == 0.5
    with pytest.raises(DataError, match="at least one item"):
        change([], [], [])
