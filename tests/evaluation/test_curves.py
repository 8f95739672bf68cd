"""Curves of error against data, data factors at equal error, forgetting and harm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from asr_transfer.errors import DataError
from asr_transfer.evaluation.curves import (
    Observation,
    amount_at,
    curve,
    data_factor,
    forgetting,
    harm,
    observe,
    worst_decile,
)
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.plain import to_plain


def _observed(errors: dict[float, list[int]], speakers: int = 6, seeds: int = 3) -> list[Observation]:
    """One observation per speaker and seed; errors vary with the speaker as the list says."""
    return [
        Observation(amount, str(seed), f"s{n}", own[n % len(own)] + seed, 1000)
        for amount, own in errors.items()
        for n in range(speakers)
        for seed in range(seeds)
    ]


def test_a_systems_observations_are_its_speakers_and_draws() -> None:
    rows = [
        Hypothesis("a#0", "ann", "en", "x y", "x"),
        Hypothesis("b#0", "ann", "en", "x", "x"),
        Hypothesis("a#1", "ann", "en", "x y", "x y"),
        Hypothesis("c#1", "bob", "en", "", "x"),
        Hypothesis("d", "bob", "en", "x", "y"),
    ]
    assert observe(align(rows), 5, "7") == [
        Observation(5, "0", "ann", 1, 3),
        Observation(5, "1", "ann", 0, 2),
        Observation(5, "7", "bob", 1, 1),
    ]


def test_a_curve_has_corpus_rates_and_intervals_around_them() -> None:
    points = curve(_observed({10: [100, 60], 0: [300, 200], 5: [200, 100]}))
    assert [p.amount for p in points] == [0, 5, 10]
    assert points[1].rate == pytest.approx(0.151)
    for p in points:
        assert p.low is not None and p.high is not None and p.low < p.rate < p.high
        assert (p.over, p.speakers, p.seeds) == ("speakers", 6, 3)
        assert p.spread == pytest.approx(0.001)


def test_with_one_speaker_the_interval_is_over_seeds() -> None:
    errors = [10, 14, 18, 14, 12]
    (point,) = curve([Observation(5, str(n), "s", own, 1000) for n, own in enumerate(errors)])
    assert (point.rate, point.over) == (pytest.approx(0.0136), "seeds")
    # Student's interval of the mean over the same seeds, on a scale of its own.
    reach = stats.t.ppf(0.975, 4) * np.std(errors, ddof=1) / math.sqrt(5) / 1000
    assert point.low is not None and point.high is not None
    assert math.sqrt(point.low * point.high) == pytest.approx(0.0136, rel=0.01)
    assert (point.high - point.low) / 2 == pytest.approx(reach, rel=0.05)


@pytest.mark.parametrize(("speakers", "seeds"), [(1, 1), (1, 3), (3, 1), (3, 8)])
def test_of_fewer_than_four_speakers_or_seeds_there_is_no_interval(speakers: int, seeds: int) -> None:
    (point,) = curve(_observed({5: [100, 60]}, speakers, seeds))
    assert point.rate > 0 and (point.low, point.high, point.over) == (None, None, "nothing")
    curves = {10: [400, 410], 40: [200, 220]}
    found = data_factor(_observed(curves, speakers, seeds), _observed(curves, speakers, seeds), error=0.3)
    assert found.factor == pytest.approx(1) and (found.low, found.high) == (None, None) and str(found) == "1"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([Observation(-1, "0", "s", 1, 2)], "must not be negative"),
        ([Observation(1, "0", "s", 1, 2)] * 2, "speaker 's' with seed '0' occurs twice at amount 1"),
        ([Observation(1, "0", "s", 1, 0)], "amount 1 has no reference units"),
    ],
)
def test_wrong_observations_are_refused(cells: list[Observation], message: str) -> None:
    with pytest.raises(DataError, match=message):
        curve(cells)


def test_the_amount_at_an_error_is_interpolated_in_logarithms() -> None:
    amounts, rates = [5.0, 20.0, 80.0], [0.4, 0.2, 0.1]
    assert amount_at(0.3, amounts, rates) == pytest.approx(10)
    assert amount_at(0.15, amounts, rates) == pytest.approx(40)
    assert amount_at(0.4, amounts, rates) == pytest.approx(5) and amount_at(0.1, amounts, rates) == pytest.approx(80)
    assert amount_at(0.41, amounts, rates) is None and amount_at(0.05, amounts, rates) is None
    # The first time it is reached counts, wherever the curve goes from there.
    assert amount_at(0.3, [5, 20, 80], [0.4, 0.2, 0.35]) == pytest.approx(10)
    for wrong in ([0.0, 1.0], [2.0, 1.0], []):
        with pytest.raises(DataError, match="above 0 and rising"):
            amount_at(0.1, wrong, [0.1] * len(wrong))
    with pytest.raises(DataError, match="2 amounts but 1 error rates"):
        amount_at(0.1, [1, 2], [0.1])


def test_a_method_that_needs_half_the_data_has_factor_two() -> None:
    rates = {a: [1000 - int(200 * math.log2(a))] for a in (2, 4, 8, 16)}
    baseline = _observed(rates, seeds=1)
    method = _observed({a: [1000 - int(200 * math.log2(2 * a))] for a in (2, 4, 8)}, seeds=1)
    found = data_factor(baseline, method, error=0.4)
    assert (found.baseline, found.amount, found.factor) == (pytest.approx(8), pytest.approx(4), pytest.approx(2))
    assert (found.censored, found.low, found.high) == ("", pytest.approx(2), pytest.approx(2))
    assert data_factor(baseline, baseline, error=0.5).factor == pytest.approx(1)
    swapped = data_factor(method, baseline, error=0.4)
    assert swapped.factor == pytest.approx(0.5)
    assert data_factor(baseline, method).error == pytest.approx(0.2)
    assert data_factor(baseline, method, at=8).error == pytest.approx(0.4)
    with pytest.raises(DataError, match="was not run with the amount 7; take one of"):
        data_factor(baseline, method, at=7)


def test_outside_of_a_curve_a_factor_is_a_bound() -> None:
    baseline = _observed({10: [400], 40: [200]}, seeds=1)
    better = _observed({10: [100], 40: [50]}, seeds=1)
    worse = _observed({10: [600], 40: [500]}, seeds=1)
    least = data_factor(baseline, better)
    assert (least.factor, least.censored, least.amount, least.high) == (pytest.approx(4), "at least", None, None)
    assert least.low is None and str(least) == "at least 4"
    most = data_factor(baseline, worse)
    assert (most.factor, most.censored, most.low, most.high) == (pytest.approx(1), "at most", None, None)
    unknown = data_factor(worse, worse, error=0.1)
    assert (unknown.factor, unknown.censored) == (None, "unknown") and "unknown" in str(unknown)


def test_a_factors_interval_covers_speakers_that_differ() -> None:
    random = np.random.default_rng(0)
    gain = random.normal(1, 0.4, 12)
    baseline, method = (
        [
            Observation(a, "0", f"s{n}", round(500 - 80 * (math.log2(a) + shift * gain[n])), 1000)
            for a in (2, 4, 8, 16)
            for n in range(12)
        ]
        for shift in (0, 1)
    )
    found = data_factor(baseline, method, error=0.3)
    assert found.factor == pytest.approx(2 ** gain.mean(), rel=0.02) and found.censored == ""
    assert found.low is not None and found.high is not None and found.low < found.factor < found.high
    # Half the width of Student's interval of the mean of gains, in doublings.
    reach = stats.t.ppf(0.975, 11) * gain.std(ddof=1) / math.sqrt(12)
    assert math.log2(found.high / found.low) / 2 == pytest.approx(reach, rel=0.1)
    assert found.clusters == 12 and str(found).endswith("], n = 12")


def test_a_factor_that_hangs_on_one_speaker_has_no_interval() -> None:
    baseline = _observed({10: [400], 40: [200]}, 5, 1)
    # With all speakers the method comes down to the error, without the last one it does not.
    method = [
        Observation(amount, "0", f"s{n}", errors if n < 4 else 60, 1000)
        for amount, errors in ((10, 500), (40, 230))
        for n in range(5)
    ]
    found = data_factor(baseline, method)
    assert found.censored == "" and found.factor is not None and (found.low, found.high) == (None, None)


def test_seeds_that_all_speakers_share_widen_a_factors_interval() -> None:
    random = np.random.default_rng(1)
    gain, luck = random.normal(1, 0.2, 12), random.normal(0, 0.3, 5)
    baseline, method = (
        [
            Observation(a, str(k), f"s{n}", round(500 - 80 * (math.log2(a) + shift * (gain[n] + luck[k]))), 1000)
            for a in (2, 4, 8, 16)
            for n in range(12)
            for k in range(5)
        ]
        for shift in (0, 1)
    )
    own = data_factor(baseline, method, error=0.3)
    shared = data_factor(baseline, method, error=0.3, shared_seeds=True)
    assert own.factor == shared.factor and (own.clusters, shared.clusters) == (12, 5)
    assert own.low is not None and own.high is not None and shared.low is not None and shared.high is not None
    assert math.log(shared.high / shared.low) > 2 * math.log(own.high / own.low)


def test_a_factor_of_unlike_experiments_is_refused() -> None:
    baseline = _observed({10: [400], 40: [200]})
    with pytest.raises(DataError, match="amount 10 was not run with the speakers and seeds"):
        data_factor(baseline, _observed({10: [400]}, seeds=2))
    with pytest.raises(DataError, match="amounts above 0"):
        data_factor(baseline, _observed({0: [400]}))


def _corpus(errors: dict[str, int]) -> list[Hypothesis]:
    return [
        Hypothesis(f"{name}{n}", name, "en", "a", "b" if n < wrong else "a")
        for name, wrong in errors.items()
        for n in range(10)
    ]


def test_harm_and_the_worst_tenth() -> None:
    before = align(_corpus({f"s{n:02}": n % 3 + 1 for n in range(20)}))
    after = align(_corpus({f"s{n:02}": {3: 9, 4: 5}.get(n, n % 3) for n in range(20)}))
    found = harm(before, after)
    assert (found.share, found.speakers) == (0.1, ("s03", "s04"))
    assert (found.worst, found.worst_before) == (0.7, 0.3) and worst_decile(after) == 0.7
    assert to_plain(found)["share"] == 0.1
    assert harm(before, before).share == 0 and harm(align([]), align([])).share is None
    with pytest.raises(DataError, match="speakers before and after adaptation differ"):
        harm(before, align(_corpus({"s00": 1})))


def test_forgetting_is_the_change_on_the_source_domain() -> None:
    before, after = (align(_corpus({f"s{n}": wrong for n in range(8)})) for wrong in (1, 4))
    found = forgetting(before, after)
    assert found.difference == pytest.approx(0.3) and found.low is not None and found.low > 0.15
    assert forgetting(before, before).p == 1
