"""Forecasts the error with more recordings of a speaker, from the folds on which a method was tried.

Errors fall with the number n of recordings that are adapted to by a power law,

    error(n) = error(0) · (1 + n / knee) ** -exponent,

which a finite error at n = 0 distinguishes from the laws of learning curves (Hestness et al. 2017). The folds show two
points of a speaker's curve on the same recordings: the source model's error at n = 0, and the adapted one's at the
recordings of all folds but one. The latter is half counted and half follows from the CTC loss, as in the choice of a
method. Both logarithms, with the covariance that single recordings give them, are joined with what is known of other
speakers: a Gaussian for the exponent and one for the first error. All of it is Gaussian, so that what is known
afterwards, and of any further n, is too.

The constants and where they come from stand in `KINDS`; they are printed with each forecast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from asr_transfer.adaptation.answers import SURE, Floats
from asr_transfer.adaptation.choice import NONE, Choice
from asr_transfer.adaptation.ladder import Judgement
from asr_transfer.adaptation.methods import CHOSEN, find_methods
from asr_transfer.adaptation.record_next import RecordNext, record_next
from asr_transfer.data.manifest import Utterance
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.distributions import normal_below, normal_quantile
from asr_transfer.errors import ConfigError
from asr_transfer.plain import from_plain, to_plain

LEVEL = 0.8
"""Chance with which the error shall lie within the interval."""

MORE = (10, 50)
"""Further recordings that are forecast."""

WORTH = 0.1
"""Share of the errors that more recordings must be expected to take away to be worth it."""

HALF = 0.5
"""Error that is added to counts, of which none has no logarithm."""

FEW = 4.0
"""Recordings that the usual spread of errors and losses counts as, beside the speaker's own."""

FEW_NUMBERS = ("nothing", *CHOSEN, "test-time")
"""Roles of methods that learn so little that one recording nearly suffices."""

Kind = Literal["words", "sentences"]


@dataclass(frozen=True)
class Constants:
    """What is known of speakers whose recordings are of one kind.

    Attributes:
        title: name of the kind.
        knee: recordings from which on the error falls as a power of their number.
        exponent, exponent_spread: mean of the speakers' exponents, and their standard deviation.
        level, level_spread: mean and standard deviation of the logarithm of the source model's error.
        extra: standard deviation of the logarithm of an error from the law, by which recordings were adapted to.
        clump: variance of the errors in a text over their mean: errors in one recording come together.
        noise: standard deviation of what one recording tells of the logarithm of the ratio of two errors.
        origin: speakers on whom the constants were chosen.
    """

    title: str
    knee: float
    exponent: float
    exponent_spread: float
    level: float
    level_spread: float
    extra: float
    clump: float
    noise: float
    origin: str


KINDS: Mapping[Kind, Constants] = {
    # The exponent lies between 0.9, which the errors of six speakers together follow from 5 to 50 digits (the recipe's
    # table of FSDD), and the 1.4 of the two development speakers, who range from 0 to 2.7.
    "words": Constants(
        "single words", knee=10.0, exponent=1.0, exponent_spread=0.6, level=math.log(0.22), level_spread=0.6, extra=0.3,
        clump=3.0, noise=1.0,
        origin="digits of six speakers (FSDD), by their mean, and of its george and jackson with 5 and 10 recordings",
    ),
    # Characters of a game have 0.09 ± 0.05 with 70 recordings (four) and 0.05 ± 0.07 with 25 (seven); in the tables of
    # other sentences it is 0.09 to 0.15. AN4, with far fewer errors, widened the first error.
    "sentences": Constants(
        "sentences", knee=5.0, exponent=0.1, exponent_spread=0.1, level=math.log(0.1), level_spread=1.2, extra=0.15,
        clump=3.0, noise=1.0,
        origin="seven characters of a game with 25 and 70 recordings, a Czech voice and AN4 by the means of their "
        "tables, and five speakers of AN4 with 3 recordings",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Observed:
    """Two points of a speaker's curve, by the folds.

    Attributes:
        amount: recordings that were adapted to for the second point.
        logs: (2,) logarithms of the errors of the source model and of the adapted one.
        covariance: (2, 2) covariance of these.
    """

    amount: float
    logs: Floats
    covariance: Floats


@dataclass(frozen=True)
class Expected:
    """The error that is expected with some more recordings, with its interval at `LEVEL`.

    Attributes:
        more: further recordings.
        rate, low, high: share of the characters that is wrong.
    """

    more: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """What is known of a speaker's curve: a Gaussian.

    Attributes:
        mean: (2,) logarithm of the source model's error, and exponent.
        covariance: (2, 2) covariance of these.
        constants: constants that it is in part known by.
    """

    mean: Floats
    covariance: Floats
    constants: Constants

    def log_error(self, amount: float) -> tuple[float, float]:
        """Return mean and variance of the logarithm of the error with so many recordings."""
        row = np.array([1.0, -_steepness(amount, self.constants)])
        extra = self.constants.extra**2 if amount else 0.0
        return float(row @ self.mean), max(0.0, float(row @ self.covariance @ row)) + extra

    def expected(self, amount: float, more: int) -> Expected:
        """Return what is expected with `more` recordings than `amount`."""
        mean, variance = self.log_error(amount + more)
        reach = normal_quantile((1 + LEVEL) / 2) * math.sqrt(variance)
        return Expected(more, *(min(1.0, math.exp(value)) for value in (mean, mean - reach, mean + reach)))

    def chance(self) -> float:
        """Return the chance that more recordings help at all."""
        spread = math.sqrt(max(0.0, self.covariance[1, 1]))
        return normal_below(self.mean[1] / spread) if spread else float(self.mean[1] > 0)


def observe(held: Sequence[Judgement], amount: float, constants: Constants) -> Observed:
    """Return two points of a speaker's curve from held-out recordings.

    Args:
        held: held-out recordings, one at least.
        amount: recordings that were adapted to each time.
        constants: constants of the kind of recordings, for what so few tell of their own spread.
    """
    units, before, after, loss_before, loss_after = (
        np.array([getattr(one, name) for one in held], np.float64)
        for name in ("units", "before", "after", "loss_before", "loss_after")
    )
    count, errors = len(held), before.sum() + HALF
    counted = (after.sum() + HALF) / errors
    # What each recording adds to either logarithm, to the first order.
    level = (before - before.sum() / units.sum() * units) / errors
    ratio, fall, told = counted, (after - counted * before) / errors, 1.0
    if 0 < (losses := loss_before.sum()) < math.inf and math.isfinite(loss_after.sum()):
        followed = loss_after.sum() / losses
        ratio, fall = 0.5 * (counted + followed), 0.5 * (fall + (loss_after - followed * loss_before) / losses)
        told = 0.5 * counted / ratio
    fall = fall / ratio
    parts = np.stack([level, level + fall])
    own = count * np.cov(parts) if count > 1 else np.zeros((2, 2))
    # Errors that could have been made, though none were, are in no recording's part.
    first = constants.clump / errors
    both = told**2 * constants.clump / (after.sum() + HALF) + constants.noise**2 / count
    usual = np.array([[first, first], [first, first + both]])
    weights = np.array([count - 1, FEW])
    covariance = (weights[0] * own + weights[1] * usual) / weights.sum()
    logs = np.log([errors / units.sum(), errors / units.sum() * ratio])
    return Observed(amount, logs, covariance)


def fit(observed: Observed, constants: Constants) -> Curve:
    """Return what two points tell of a speaker's curve, joined with what is known of other speakers."""
    rows = np.array([[1.0, 0.0], [1.0, -_steepness(observed.amount, constants)]])
    noise = observed.covariance + np.diag([0.0, constants.extra**2])
    mean = np.array([constants.level, constants.exponent])
    prior = np.diag([constants.level_spread**2, constants.exponent_spread**2])
    # As a Kalman filter does it, so that neither of them need be invertible alone.
    gain = prior @ rows.T @ np.linalg.pinv(rows @ prior @ rows.T + noise)
    return Curve(mean + gain @ (observed.logs - rows @ mean), prior - gain @ rows @ prior, constants)


def _steepness(amount: float, constants: Constants) -> float:
    return math.log1p(amount / constants.knee)


@dataclass(frozen=True)
class Forecast:
    """What more recordings of a speaker would give.

    Attributes:
        reason: reason why nothing can be said; empty where something is.
        recordings: recordings that there are.
        now: error of the model that was handed out; None where nothing can be said.
        more: error with some more recordings.
        exponent, exponent_spread: exponent of the speaker's power law, and its standard deviation.
        verdict: worth of that, in words.
        constants: constants of the kind of recordings.
        record_next: words, letters or sounds to record next; None where nothing can be said.
    """

    reason: str = ""
    recordings: int = 0
    now: Expected | None = None
    more: tuple[Expected, ...] = ()
    exponent: float | None = None
    exponent_spread: float | None = None
    verdict: str = ""
    constants: Constants | None = None
    record_next: RecordNext | None = None

    def __str__(self) -> str:
        """Return it as a sentence."""
        if self.now is None or self.constants is None:
            return f"more recordings: no forecast, for {self.reason}"
        (first, *rest), law = self.more, self.constants
        line = f"{first.more} more recordings: {_percent(self.now.rate)} → {_interval(first)} of characters wrong"
        line += "".join(f"; {one.more} more: {_interval(one)}" for one in rest) + f"; {self.verdict}"
        if self.record_next is not None and str(self.record_next):
            line += f"; record next {self.record_next}"
        return (
            f"{line} ({100 * LEVEL:.0f} % intervals; n recordings leave (1 + n/{law.knee:g})^-{self.exponent:.2f} of "
            f"the errors, of {law.title} usually ^-{law.exponent:.2f} ± {law.exponent_spread:.2f})"
        )

    def to_plain(self) -> dict[str, Any]:
        """Return it for a run record, without what is not known."""
        return {name: value for name, value in to_plain(self).items() if value not in (None, "", [])}

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Forecast:
        """Return the forecast that a record keeps.

        Args:
            values: plain values; None of a run from before forecasts were kept.
            where: file and field, for messages.

        Raises:
            ConfigError: a value is none of a forecast.
        """
        if values is None:
            return cls("the run was made before forecasts were kept")
        return from_plain(cls, values, where)


def forecast(
    source: Recogniser, utterances: Sequence[Utterance], choice: Choice, more: Sequence[int] = MORE
) -> Forecast:
    """Return what more recordings of a speaker would give, or why that cannot be said.

    Args:
        source: model that was adapted.
        utterances: recordings that the choice was made on.
        choice: choice of a method, with what was tried on held-out recordings.
        more: numbers of further recordings.

    Raises:
        ConfigError: a number of further recordings is below one.
    """
    if not more or min(more) < 1:
        raise ConfigError(f"a forecast needs numbers of further recordings of at least 1, got {list(more)}.")
    tried, count = choice.tried, len(utterances)
    if reason := _nothing_to_go_by(source, utterances, choice):
        return Forecast(reason, count)
    assert tried is not None
    constants = KINDS["words" if all(len(u.text.split()) == 1 for u in utterances) else "sentences"]
    # Each fold was left out once, as far as folds were tried.
    amount = count - len(tried.held) / tried.folds
    curve = fit(observe(tried.held, amount, constants), constants)
    left_alone = choice.method == NONE
    now = curve.expected(0 if left_alone else count, 0)
    expected = tuple(curve.expected(count, own) for own in more)
    spread = math.sqrt(max(0.0, curve.covariance[1, 1]))
    return Forecast(
        "", count, now, expected, float(curve.mean[1]), spread, _verdict(curve, now, expected), constants,
        record_next(source, utterances, tried.held),
    )  # fmt: skip


def _nothing_to_go_by(source: Recogniser, utterances: Sequence[Utterance], choice: Choice) -> str:
    """Return why nothing can be forecast, empty where something can."""
    tried = choice.tried
    if len(utterances) < 2:
        return "one recording leaves none to hold out; record more"
    if source.can_run_away:
        return "how errors of a model that writes token after token fall was never measured"
    if choice.method != NONE and all(found.role in FEW_NUMBERS for found in find_methods(choice.method)):
        return f"how errors fall by `{choice.method}`, which learns next to nothing, was never measured"
    if tried is None or not tried.held:
        held = "nothing was tried on held-out recordings"
        return f"{held} that others could bear" if choice.method == NONE else f"{held}; leave --check on"
    if choice.method == NONE and tried.score >= 1:
        return "nothing that was tried gained on held-out recordings, so there is no trend to follow"
    return ""


def _verdict(curve: Curve, now: Expected, expected: Sequence[Expected]) -> str:
    """Return in words what more recordings are worth."""
    gains = [1 - one.rate / now.rate for one in expected]
    if gains[-1] <= 0:
        return "no gain to expect"
    if gains[-1] < WORTH:
        return "hardly worth it"
    doubt = "" if curve.chance() >= SURE else "perhaps "
    return f"{doubt}worth it" if gains[0] >= WORTH else f"{doubt}worth it for {expected[-1].more}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f}" if rate >= 0.0995 else f"{100 * rate:.1f}"


def _interval(expected: Expected) -> str:
    return f"{_percent(expected.rate)} % ({_percent(expected.low)} … {_percent(expected.high)})"
