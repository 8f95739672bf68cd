"""What held-out utterances tell so far: chances against simulated ends, and candidates that need no further folds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from asr_transfer.adaptation.ladder import Rung
from asr_transfer.adaptation.verdicts import (
    COUNTED,
    GREATEST,
    KNOWN,
    SPREAD,
    Expectation,
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
    # The variance is that of three more utterances that differ as much as is usual.
    own = np.var(np.array(one) - other, ddof=1)
    assert error == pytest.approx(np.sqrt(4 * (3 * own + COUNTED * (SPREAD / 4) ** 2) / (3 + COUNTED)))
    assert difference([0.5], [0.2])[1] == float("inf")


def test_of_many_utterances_the_error_is_their_own() -> None:
    random = np.random.default_rng(0)
    one, other = random.uniform(0, 0.01, (2, 200))
    assert difference(one, other)[1] == pytest.approx(200 * stats.sem(one - other), rel=0.02)
    assert difference([0.3, 0.3], [0.1, 0.1])[1] > 0.2, "two that agree are no certainty"


def test_no_single_utterance_decides() -> None:
    ruined = _rung([9.0, 0.1, 0.1, 0.1])
    loss, error = difference(ruined.shares, BEFORE)
    assert loss == pytest.approx(GREATEST / 4 - 3 * 0.15) and error < 1
    assert is_worse(_rung([9.0, 40.0, 3.0, 0.9]), BEFORE, KNOWN) and is_worse(_rung([9.0, 40.0, 3.0, 0.9]), BEFORE)


def test_what_was_known_before_is_weighed_with_what_is_seen() -> None:
    """The posterior mean of a Gaussian: it is above 0 from `least` on."""
    expected = Expectation(0.2, 0.5)
    for error, strength in ((0.1, 1.0), (0.4, 0.5)):
        least = expected.least(error, strength)
        weights = np.array([error**-2, expected.deviation**-2])
        assert weights @ [least, expected.mean * strength] == pytest.approx(0)
    little = _rung([0.26, 0.255, 0.245, 0.26])
    assert not is_worse(little, BEFORE, expected) and is_worse(_rung([0.4] * 4), BEFORE, expected)
    assert is_worse(little, BEFORE, Expectation(0.0, 0.5))
    assert not is_worse(_rung([0.1] * 4, errors=11), BEFORE, expected), "errors are a part of the criterion"
    assert usual_of([little], 1.0, BEFORE, expected) is little
    assert usual_of([little], 1.0, BEFORE, Expectation(0, 1)) is None
    helps = [chance_of_help(little, BEFORE, 0.5, known) for known in (Expectation(0, 0.5), expected)]
    assert helps[0] < helps[1] and not is_settled(little, BEFORE, 0.2, expected)


def test_what_is_worse_is_no_help() -> None:
    better, worse = _rung([0.1, 0.12, 0.11, 0.1]), _rung([0.3, 0.31, 0.29, 0.3])
    assert not is_worse(better, BEFORE) and chance_of_help(better, BEFORE, 0.5) > 0.99
    assert chance_of_help(worse, BEFORE, 0.5) < chance_of_help(_rung([0.25] * 4), BEFORE, 0.5) < 0.9
    assert is_worse(_rung([0.4, 0.41, 0.39, 0.4]), BEFORE)
    assert is_worse(_rung([0.1] * 4, errors=11), BEFORE), "errors count, whatever the loss"
    assert usual_of([_rung([0.4, 0.41, 0.39, 0.4], 0.5), better], 0.5, BEFORE) is better
    assert usual_of([_rung([0.4, 0.41, 0.39, 0.4])], 0.5, BEFORE) is None


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
    usual = _rung([0.01, 0.04] * 20)
    alike, calmer = _rung([0.04, 0.01] * 20), _rung([0.011, 0.039] * 20)
    assert difference(usual.shares, alike.shares)[0] == pytest.approx(0)
    assert is_hopeless([alike], usual, [], np.full(40, 0.05), 0.9)
    assert not is_hopeless([calmer], usual, [], np.full(40, 0.05), 0.9)
    # Four utterances are too few to replace it by anything that is no more than alike.
    few = [_rung(list(rung.shares[:4])) for rung in (usual, calmer)]
    assert is_hopeless([few[1]], few[0], [], np.full(4, 0.05), 0.9)
    assert not is_hopeless([few[1]], few[0], [], np.full(4, 0.05), 0.9, doubt=0.0), "where the best is taken"


def test_it_is_settled_when_the_last_one_surely_helps_or_surely_does_not() -> None:
    assert is_settled(_rung([0.1, 0.12, 0.11, 0.1]), BEFORE, 0.5)
    assert is_settled(_rung([0.4, 0.42, 0.41, 0.4], errors=11), BEFORE, 0.5)
    assert not is_settled(_rung([0.05, 0.45, 0.1, 0.5]), BEFORE, 0.5)
    assert not is_settled(_rung([0.1, 0.12, 0.11, 0.1], errors=11), BEFORE, 0.5), "errors speak against it"
