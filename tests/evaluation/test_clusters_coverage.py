"""What is called a 95 % interval holds the truth in 95 of 100 simulated experiments, of as few clusters as four."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from asr_transfer.evaluation.clusters import (
    Estimate,
    Floats,
    difference,
    difference_over,
    rate,
    rate_over,
    reduction,
    reduction_over,
)

TIMES = 1000
NOMINAL, TOLERANCE = 0.95, 0.03
RATE, RATE_SPREAD = 0.2, 0.4
"""Speakers' error rates: their median, and the standard deviation of their logarithms."""
EFFECT, EFFECT_SPREAD = -0.5, 0.3
"""Logarithms of what a system makes of a speaker's errors: their mean and standard deviation."""
MEAN_RATE, MEAN_EFFECT = RATE * np.exp(RATE_SPREAD**2 / 2), np.exp(EFFECT + EFFECT_SPREAD**2 / 2)

Experiment = tuple[Floats, Floats, Floats]
"""Errors before, errors after and units."""


def _speakers(random: np.random.Generator, count: int, effect: float = EFFECT) -> Experiment:
    """Return an experiment with so many speakers of 75 to 300 words."""
    units = random.integers(75, 300, count)
    hard = units * RATE * np.exp(random.normal(0, RATE_SPREAD, count))
    changed = hard * np.exp(random.normal(effect, EFFECT_SPREAD, count))
    return random.poisson(hard).astype(float), random.poisson(changed).astype(float), units.astype(float)


def _crossed(random: np.random.Generator, seeds: int, utterances: int = 60) -> Experiment:
    """Return an experiment whose seeds share their utterances of ten words, (seeds, utterances) each."""
    lucky = random.normal(0, 0.1, (2, seeds, 1))
    hard, changed = random.normal(0, 0.8, utterances), random.normal(EFFECT, EFFECT_SPREAD, utterances)
    errors = [random.poisson(10 * RATE * np.exp(own)) for own in (lucky[0] + hard, lucky[1] + hard + changed)]
    return errors[0].astype(float), errors[1].astype(float), np.full((seeds, utterances), 10.0)


def _ways(*tables: Floats) -> tuple[list[list[Floats]], list[Floats]]:
    by_seed, by_utterance = [own.sum(1) for own in tables], [own.sum(0) for own in tables]
    return [by_seed, by_utterance], [own.ravel() for own in tables]


FIGURES: dict[str, tuple[Callable[[Experiment], Estimate], float]] = {
    "rate": (lambda made: rate(made[0], made[2]), MEAN_RATE),
    "reduction": (lambda made: reduction(made[0], made[1]), 1 - MEAN_EFFECT),
    "difference": (lambda made: difference(*made), MEAN_RATE * (MEAN_EFFECT - 1)),
}
CROSSED_RATE = RATE * np.exp(0.8**2 / 2 + 0.1**2 / 2)
OVER_SEEDS: dict[str, tuple[Callable[[Experiment], Estimate], float]] = {
    "rate": (lambda made: rate_over(*_ways(made[0], made[2])), CROSSED_RATE),
    "reduction": (lambda made: reduction_over(*_ways(made[0], made[1])), 1 - MEAN_EFFECT),
    "difference": (lambda made: difference_over(*_ways(*made)), CROSSED_RATE * (MEAN_EFFECT - 1)),
}


def _coverage(found: list[tuple[float | None, float | None]], truth: float) -> float:
    return float(np.mean([low is not None and high is not None and low <= truth <= high for low, high in found]))


@pytest.mark.parametrize("count", [4, 6, 10, 84])
def test_intervals_over_speakers_hold_the_truth(count: int) -> None:
    random = np.random.default_rng(count)
    made = [_speakers(random, count) for _ in range(TIMES)]
    for name, (figure, truth) in FIGURES.items():
        found = [figure(one) for one in made]
        assert _coverage([(own.low, own.high) for own in found], truth) == pytest.approx(NOMINAL, abs=TOLERANCE), name


@pytest.mark.parametrize("seeds", [4, 5, 6])
def test_intervals_over_seeds_that_share_utterances_hold_the_truth(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    made = [_crossed(random, seeds) for _ in range(TIMES)]
    for name, (figure, truth) in OVER_SEEDS.items():
        found = [figure(one) for one in made]
        assert _coverage([(own.low, own.high) for own in found], truth) == pytest.approx(NOMINAL, abs=TOLERANCE), name


def test_percentiles_of_a_bootstrap_do_not() -> None:
    random = np.random.default_rng(4)
    found = []
    for _ in range(400):
        before, after, _ = _speakers(random, 4)
        drawn = random.integers(4, size=(500, 4))
        low, high = np.quantile(1 - after[drawn].sum(1) / before[drawn].sum(1), [0.025, 0.975])
        found.append((float(low), float(high)))
    assert _coverage(found, 1 - MEAN_EFFECT) < 0.88


@pytest.mark.parametrize("count", [6, 10])
def test_what_does_nothing_is_rarely_taken_for_a_change(count: int) -> None:
    random = np.random.default_rng(count)
    made = [_speakers(random, count, -(EFFECT_SPREAD**2) / 2) for _ in range(TIMES)]
    for name in ("reduction", "difference"):
        chance = [FIGURES[name][0](one).p < 0.05 for one in made]
        assert 0.01 < np.mean(chance) < 0.05 + 0.02, name


@pytest.mark.parametrize("count", [1, 2, 3])
def test_below_four_there_is_no_interval_and_no_finding(count: int) -> None:
    before, after, units = np.full(count, 90.0), np.full(count, 3.0), np.full(count, 100.0)
    for figure, _ in FIGURES.values():
        found = figure((before, after, units))
        assert (found.low, found.high, found.clusters) == (None, None, count)
        assert found.p >= 0.25, "three that agree are as likely as three coins"
    table = tuple(np.tile(own[:, None] / 10, (1, 10)) for own in (before, after, units))
    for figure, _ in OVER_SEEDS.values():
        found = figure(table)  # type: ignore[arg-type]
        assert (found.low, found.high) == (None, None) and found.p >= 0.25
