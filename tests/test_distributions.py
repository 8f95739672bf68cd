"""Quantiles and probabilities are those of `scipy.stats`, which no command has to load for them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from asr_transfer import distributions


@pytest.mark.parametrize("freedom", [1, 2.5, 9, 400])
@pytest.mark.parametrize("value", [-40.0, -1.3, 0.0, 0.4, 7.0])
def test_students_t_is_that_of_scipy(freedom: float, value: float) -> None:
    assert distributions.t_below(value, freedom) == pytest.approx(stats.t.cdf(value, freedom), rel=1e-9)
    assert distributions.t_above(value, freedom) == pytest.approx(stats.t.sf(value, freedom), rel=1e-9)
    assert distributions.t_quantile(0.9, freedom) == pytest.approx(stats.t.ppf(0.9, freedom), rel=1e-9)


@pytest.mark.parametrize("value", [-30.0, -1.3, 0.0, 0.4, 9.0])
def test_the_normal_distribution_is_that_of_scipy(value: float) -> None:
    assert distributions.normal_below(value) == pytest.approx(stats.norm.cdf(value), rel=1e-12)
    assert distributions.normal_above(value) == pytest.approx(stats.norm.sf(value), rel=1e-12)
    assert distributions.normal_quantile(0.3) == pytest.approx(stats.norm.ppf(0.3), rel=1e-12)


@pytest.mark.parametrize("count", [0, 1, 7, 3000, 60_000])
def test_a_fair_coin_is_that_of_scipy(count: int) -> None:
    np.testing.assert_allclose(
        distributions.fair_coin(count), stats.binom.pmf(np.arange(count + 1), count, 0.5), rtol=1e-8, atol=1e-300
    )


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 0), (2, 2), (5, 6), (40, 11), (900, 1100)])
def test_the_sign_test_is_that_of_scipy(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue
    assert distributions.as_uneven(first, second) == pytest.approx(expected, rel=1e-9)
    assert distributions.as_uneven(second, first) == pytest.approx(expected, rel=1e-9)
    assert distributions.as_uneven(0, 0) == 1.0


LOADED = """
import sys
import asr_transfer.evaluation.compare, asr_transfer.evaluation.report
print(*[name for name in ("scipy.stats", "librosa.feature", "speechbrain", "torch") if name in sys.modules])
"""


def test_comparing_runs_loads_nothing_that_is_slow() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert not done.stdout.split()
