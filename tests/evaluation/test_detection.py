"""Errors of detection: areas and equal rates of known scores."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from asr_transfer.errors import DataError
from asr_transfer.evaluation.detection import area_under_curve, equal_error


def test_the_area_is_the_chance_of_a_higher_score_ties_counting_half() -> None:
    assert area_under_curve([2, 3], [0, 1]) == 1
    assert area_under_curve([0, 1], [2, 3]) == 0
    assert area_under_curve([1, 1], [1]) == 0.5
    random = np.random.default_rng(0)
    meant, others = random.normal(0.5, 1, 50).round(1), random.normal(0, 1, 70).round(1)
    expected = roc_auc_score(np.r_[np.ones(50), np.zeros(70)], np.r_[meant, others])
    assert area_under_curve(meant, others) == pytest.approx(expected)


def test_at_the_threshold_of_equal_errors_both_rates_are_alike() -> None:
    assert equal_error([0.8, 0.9], [0.1, 0.2]) == (pytest.approx(0.5), 0)
    assert equal_error([1, 2, 3, 4], [0, 1.5, -1, -2]) == (pytest.approx(1.25), pytest.approx(0.25))
    random = np.random.default_rng(0)
    meant, others = random.normal(1, 1, 400), random.normal(-1, 1, 300)
    found = equal_error(meant, others)
    assert (meant < found.threshold).mean() == pytest.approx((others >= found.threshold).mean(), abs=0.005)


def test_nothing_to_detect_is_refused() -> None:
    with pytest.raises(DataError, match="one of them is empty"):
        area_under_curve([], [1])
