"""What held-out utterances tell so far: chances against simulated ends, and candidates that need no further folds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from asr_transfer.adaptation.candidates import Rung
from asr_transfer.adaptation.verdicts import (
    chance,
    chance_of_help,
    difference,
    is_hopeless,
    is_settled,
    is_worse,
    usual_of,
)

BEFORE = np.full(4, 0.25)


def _rung(shares: list[float], strength: float = 1.0, errors: int = 3) -> Rung:
    return Rung("full", 1e-3, strength, 2, errors, 50, 10, sum(shares), None, "", tuple(shares))


@pytest.mark.parametrize(
    ("gain", "bar", "seen"), [(0.1, 0.0, 0.5), (-0.1, 0.0, 0.5), (0.1, 0.2, 0.25), (0.3, 0.1, 0.8)]
)
def test_the_chance_is_how_often_simulated_ends_are_above_the_bar(gain: float, bar: float, seen: float) -> None:
    """Draws what the true gain may be, then what the utterances to come show, and joins both."""
    random, error, count = np.random.default_rng(0), 0.2, 400_000
    true = random.normal(gain, error, count)
    to_come = random.normal(true, error * np.sqrt(seen / (1 - seen)))
    end = seen * gain + (1 - seen) * to_come
    assert chance(gain, error, 10_000, seen, bar) == pytest.approx(float((end >= bar).mean()), abs=0.005)


def test_few_utterances_leave_more_open() -> None:
    assert chance(-0.3, 0.2, 3, 0.5, 0.0) > 2 * chance(-0.3, 0.2, 30, 0.5, 0.0)
    # Of a single utterance nobody knows, and when all are seen nothing is open.
    assert chance(-0.3, float("inf"), 1, 0.5, 0.0) == 0.5
    assert (chance(0.1, 0.2, 9, 1.0, 0.1), chance(0.1, 0.2, 9, 1.0, 0.11)) == (1.0, 0.0)


def test_the_difference_is_a_sum_with_its_standard_error() -> None:
    one, other = [0.3, 0.1, 0.2, 0.4], [0.1, 0.1, 0.3, 0.1]
    value, error = difference(one, other)
    assert value == pytest.approx(0.4)
    assert error == pytest.approx(4 * stats.sem(np.array(one) - other))
    assert difference([0.5], [0.2])[1] == float("inf")


def test_what_is_worse_is_no_help() -> None:
    better, worse = _rung([0.1, 0.12, 0.11, 0.1]), _rung([0.3, 0.31, 0.29, 0.3])
    assert not is_worse(better, BEFORE) and chance_of_help(better, BEFORE, 0.5) > 0.99
    assert is_worse(worse, BEFORE) and chance_of_help(worse, BEFORE, 0.5) < 0.05
    assert is_worse(_rung([0.1] * 4, errors=11), BEFORE), "errors count, whatever the loss"
    assert usual_of([_rung([0.3, 0.31, 0.29, 0.3], 0.5), better], 0.5, BEFORE) is better
    assert usual_of([worse], 0.5, BEFORE) is None


def test_a_candidate_is_hopeless_where_it_will_hardly_be_chosen() -> None:
    usual = _rung([0.1, 0.12, 0.11, 0.1])
    behind, ahead = _rung([0.2, 0.21, 0.2, 0.22]), _rung([0.05, 0.07, 0.06, 0.05])
    doubtful = _rung([0.08, 0.13, 0.09, 0.13])
    assert is_hopeless([behind], usual, [], BEFORE, 0.5)
    assert not is_hopeless([ahead], usual, [], BEFORE, 0.5)
    assert not is_hopeless([doubtful], usual, [], BEFORE, 0.5)
    # One strength of several is enough; and none that may be chosen is none.
    assert not is_hopeless([behind, ahead], usual, [], BEFORE, 0.5) and is_hopeless([], usual, [], BEFORE, 0.5)
    # Where the usual one makes things worse, to help is enough, unless a rival does so better.
    assert not is_hopeless([behind], None, [], BEFORE, 0.5)
    assert is_hopeless([behind], None, [ahead], BEFORE, 0.5)
    assert is_hopeless([_rung([0.4, 0.41, 0.4, 0.42])], None, [], BEFORE, 0.5)


def test_as_good_as_the_usual_one_is_not_good_enough_where_it_varies() -> None:
    """What replaces the usual one must be better by more than the error at the end will explain."""
    usual = _rung([0.1, 0.4, 0.1, 0.4])
    alike, calmer = _rung([0.4, 0.1, 0.4, 0.1]), _rung([0.11, 0.39, 0.1, 0.4])
    assert difference(usual.shares, alike.shares)[0] == pytest.approx(0)
    assert is_hopeless([alike], usual, [], np.full(4, 0.5), 0.9)
    assert not is_hopeless([calmer], usual, [], np.full(4, 0.5), 0.9)


def test_it_is_settled_when_the_last_one_surely_helps_or_surely_does_not() -> None:
    assert is_settled(_rung([0.1, 0.12, 0.11, 0.1]), BEFORE, 0.5)
    assert is_settled(_rung([0.4, 0.42, 0.41, 0.4], errors=11), BEFORE, 0.5)
    assert not is_settled(_rung([0.05, 0.45, 0.1, 0.5]), BEFORE, 0.5)
    assert not is_settled(_rung([0.1, 0.12, 0.11, 0.1], errors=11), BEFORE, 0.5), "errors speak against it"
