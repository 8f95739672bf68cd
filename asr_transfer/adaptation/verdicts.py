"""Says what held-out utterances tell of a candidate so far, and whether further ones could still change the choice.

Adapting once more for every fold is nearly all that a choice costs. So a candidate that is unlikely to be chosen in the
end is not run on (stochastic curtailment; Lan, Simon and Halperin 1982), and when only the usual one is left and it is
clear whether it helps, none is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr_transfer.adaptation.answers import Floats
from asr_transfer.adaptation.ladder import Rung
from asr_transfer.distributions import t_above

DOUBT = 8.0
"""Times the squared standard error by which an option must be better than the usual one: if an option's true gain over
the usual is spread around a small loss, its expected value given what was seen is positive from a gain that grows with
the square of the error. On digits of two development speakers, 6 to 10 chose best from 5 and 10 recordings."""
HOPELESS = 0.1
"""Chance of being chosen in the end below which a candidate is not run on."""
SETTLED = 0.9
"""Chance, of helping in the end or of not doing so, from which the only candidate left is not run on."""


SPREAD, COUNTED = 0.6, 3
"""Usual deviation among a speaker's utterances of what they add to a difference, times their number, and the number of
utterances that this counts as. Two or three utterances may agree by luck, which would make any difference sure."""

GREATEST = 2.0
"""Greatest part of a difference that one utterance decides, times their number. A ruined model's losses have no bound,
and by one of them alone it would seem merely uncertain."""


@dataclass(frozen=True)
class Expectation:
    """What is known of a candidate's gain before the speaker is heard.

    Attributes:
        mean: mean over speakers of the criterion's fall, at full strength.
        deviation: deviation of speakers around it.
    """

    mean: float
    deviation: float

    def least(self, error: float, strength: float) -> float:
        """Return from which gain on a candidate is expected to help: its posterior mean is then above 0.

        Args:
            error: standard error of the gain.
            strength: strength of the candidate.
        """
        return -self.mean * strength * (error / self.deviation) ** 2


KNOWN = Expectation(0.3, 0.3)
"""Of the candidates of `auto` on models that are trained here. On two and three digits of two development speakers
(22 draws) deciding with it left 36 % fewer errors, where 25 had been without, and others no worse."""


def difference(one: Sequence[float] | Floats, other: Sequence[float] | Floats) -> tuple[float, float]:
    """Return how much smaller the criterion of `other` is, and the standard error of that.

    Args:
        one, other: (n,) contributions of the same utterances to the criterion; of one utterance the error is infinite.
    """
    count = len(one)
    differences = np.clip(np.asarray(one) - np.asarray(other), -GREATEST / count, GREATEST / count)
    if count < 2:
        return float(differences.sum()), float("inf")
    usual = COUNTED * (SPREAD / count) ** 2
    variance = (usual + (count - 1) * differences.var(ddof=1)) / (COUNTED + count - 1)
    return float(differences.sum()), float(np.sqrt(count * variance))


def is_worse(rung: Rung, before: Floats, expected: Expectation | None = None) -> bool:
    """Return whether a candidate makes the speaker worse, by what held-out utterances show and what was known before.

    Args:
        rung: the candidate.
        before: contributions of the held-out utterances to the source model's criterion.
        expected: knowledge from other speakers; None for none, then no more errors and no loss beyond chance are
            demanded.
    """
    loss, error = difference(rung.shares, before)
    if expected is None:
        return rung.errors > rung.source_errors or loss > error
    return loss >= -expected.least(error, rung.strength)


def is_sure(gain: float, error: float) -> bool:
    """Return whether an option is better than the usual one by more than chance."""
    return gain > DOUBT * error**2


def usual_of(
    rungs: Sequence[Rung], strength: float, before: Floats, expected: Expectation | None = None
) -> Rung | None:
    """Return a candidate at the strength nearest to its usual one, of those that make nothing worse; else None."""
    safe = [rung for rung in rungs if not is_worse(rung, before, expected)]
    return min(safe, key=lambda rung: abs(rung.strength - strength), default=None)


def chance(gain: float, error: float, count: int, seen: float, bar: float) -> float:
    """Return the chance that a gain is above a bar when all utterances that are to be held out were.

    The gain at the end is spread around that of now by Student's t: what is not known of the true one, and what the
    utterances to come add to that.

    Args:
        gain: gain of now.
        error: standard error of that.
        count: number of utterances that it was seen on.
        seen: share that these are of all, above 0 to 1.
        bar: least gain at the end.
    """
    if not math.isfinite(error):
        return 0.5
    spread = error * math.sqrt(1 - seen)
    if spread == 0:
        return float(gain >= bar)
    return t_above((bar - gain) / spread, count - 1)


def chance_of_help(rung: Rung, before: Floats, seen: float, expected: Expectation | None = None) -> float:
    """Return the chance that a candidate is not found to make the speaker worse in the end; see `chance`."""
    gain, error = difference(before, rung.shares)
    end = error * math.sqrt(seen)
    bar = expected.least(end, rung.strength) if expected and math.isfinite(end) else -end
    return chance(gain, error, len(rung.shares), seen, bar)


def is_hopeless(
    options: Sequence[Rung],
    usual: Rung | None,
    rivals: Sequence[Rung],
    before: Floats,
    seen: float,
    expected: Expectation | None = None,
    doubt: float = DOUBT,
) -> bool:
    """Return whether a candidate is unlikely to be chosen, at whichever strength.

    It is chosen where it makes nothing worse, is better than the usual one by more than chance, and the best of those.

    Args:
        options: the candidate at the strengths that may be chosen.
        usual: the usual one, where there is one that makes nothing worse.
        rivals: other candidates at their best strengths.
        before: contributions of the held-out utterances to the source model's criterion.
        seen: share of the utterances that are to be held out in all.
        expected: knowledge of the candidates from other speakers.
        doubt: times the squared error by which it must be better than the usual one.
    """

    def against(rung: Rung, other: Rung, times: float) -> float:
        gain, error = difference(other.shares, rung.shares)
        # The squared error at the end will be as much smaller as there are more utterances.
        bar = times * error**2 * seen if times else 0.0
        return chance(gain, error, len(rung.shares), seen, bar)

    def chosen(rung: Rung) -> float:
        chances = [chance_of_help(rung, before, seen, expected), *(against(rung, rival, 0.0) for rival in rivals)]
        return min([*chances, against(rung, usual, doubt)] if usual else chances)

    return max((chosen(rung) for rung in options), default=0.0) < HOPELESS


def is_settled(usual: Rung, before: Floats, seen: float, expected: Expectation | None = None) -> bool:
    """Return whether it is clear that the only candidate left helps, or that it does not."""
    helps = chance_of_help(usual, before, seen, expected)
    return 1 - helps > SETTLED or (helps > SETTLED and usual.errors <= usual.source_errors)
