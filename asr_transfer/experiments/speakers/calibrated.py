"""Says how often intervals of forecasts hold what further recordings gave, in a table and a plot.

What was measured is uncertain too, for a test set is small: an interval is judged after the test set's own doubt was
added to it. Intervals hold too often where they are too wide, and too seldom where they are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asr_transfer.adaptation.forecast import HALF, KINDS, LEVEL, Constants, Curve, Kind, fit, observe
from asr_transfer.adaptation.ladder import Judgement
from asr_transfer.distributions import normal_below
from asr_transfer.evaluation.clusters import rate
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.evaluation.plots import Plot, Series, shares_of_levels
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.speakers.foretold import Foretold

LEVELS = (20, 40, 60, 80, 90)
"""Levels of intervals, in per cent, that are plotted against the shares that hold."""


@dataclass(frozen=True)
class Told:
    """A forecast and what came of it, as shares of the characters that are wrong.

    Attributes:
        speaker: name of the speaker.
        development: whether constants were chosen on that speaker.
        start, more: recordings that it was forecast from, and further ones.
        now: error that was thought to be that with the first recordings.
        rate, low, high: forecast, with its interval.
        measured: error in the test set.
        place: chance, by forecast and test set, of an error below what was measured.
    """

    speaker: str
    development: bool
    start: int
    more: int
    now: float
    rate: float
    low: float
    high: float
    measured: float
    place: float

    def holds(self, level: float = LEVEL) -> bool:
        """Return whether an interval of this level holds what was measured."""
        return abs(self.place - 0.5) <= level / 2


def curve_of(case: Foretold, kinds: Mapping[Kind, Constants] = KINDS) -> Curve:
    """Return what was known of a speaker's curve before it was measured, by these constants."""
    constants = kinds["words" if case.single else "sentences"]
    rows = zip(case.units, case.before, case.after, case.loss_before, case.loss_after, strict=True)
    held = [Judgement(number, *row, "") for number, row in enumerate(rows)]
    return fit(observe(held, case.start - len(held) / case.folds, constants), constants)


def judge(case: Foretold, kinds: Mapping[Kind, Constants] = KINDS) -> list[Told]:
    """Return the forecasts of a case beside what was measured, by these constants."""
    curve = curve_of(case, kinds)
    now, found = curve.expected(case.start, 0).rate, []
    for amount, measured in sorted(case.measured.items()):
        if amount <= case.start:
            continue
        told = curve.expected(case.start, amount - case.start)
        mean, variance = curve.log_error(amount)
        errors = measured.errors + HALF
        doubt = max((measured.deviation or 0.0) * measured.units / errors, 1 / math.sqrt(errors))
        score = (math.log(errors / measured.units) - mean) / math.hypot(math.sqrt(variance), doubt)
        found.append(
            Told(
                case.speaker, case.development, case.start, told.more, now, told.rate, told.low, told.high,
                measured.errors / measured.units, normal_below(score),
            )
        )  # fmt: skip
    return found


def calibration_table(corpora: Mapping[str, Sequence[Foretold]]) -> Table:
    """Return how many 80 % intervals held what was measured, for each corpus by its title."""
    rows = []
    for title, cases in corpora.items():
        every = [told for case in cases for told in judge(case)]
        groups = {(one.development, one.start, one.more): "" for one in every}
        for development in (False, True):
            keys = sorted(key for key in groups if key[0] == development)
            for key in keys:
                own = [one for one in every if (one.development, one.start, one.more) == key]
                rows.append(_row(title, str(key[1]), str(key[2]), own))
            if len(keys) > 1:
                rows.append(_row(title, "all", "", [one for one in every if one.development == development]))
    headings = (
        "corpus", "speakers", "recordings", "more", "forecasts", "error forecast %", "80 % interval", "measured %",
        "off by, points", "off by, if nothing fell", f"{100 * LEVEL:.0f} % intervals that hold, %", "95 %",
    )  # fmt: skip
    return Table(headings, tuple(rows))


def calibration_plot(corpora: Mapping[str, Sequence[Foretold]]) -> Plot:
    """Return the share of intervals that hold against their level, of speakers on whom nothing was chosen."""
    series = []
    for title, cases in corpora.items():
        told = [one for case in cases for one in judge(case) if not one.development]
        if told:
            names = [one.speaker for one in told]
            found = [rate([one.holds(level / 100) for one in told], np.ones(len(told)), names) for level in LEVELS]
            ends = [(one.value, one.value) if one.low is None else (one.low, one.high or one.value) for one in found]
            low, high = (tuple(100 * pair[side] for pair in ends) for side in (0, 1))
            series.append(Series(title, LEVELS, tuple(100 * one.value for one in found), low, high))
    caption = "Share of the forecasts' intervals that held what was measured, with 95 % intervals over speakers"
    return shares_of_levels(series, caption)


def _row(title: str, start: str, more: str, own: Sequence[Told]) -> tuple[str, ...]:
    names = [one.speaker for one in own]
    share = rate([one.holds() for one in own], np.ones(len(own)), names)
    who = f"{len(set(names))}{' (constants chosen on them)' * own[0].development}"

    def mean(values: Sequence[float]) -> str:
        return percent(float(np.mean(values)))

    return (
        title, who, start, more, str(len(own)), mean([one.rate for one in own]),
        f"{mean([one.low for one in own])} … {mean([one.high for one in own])}", mean([one.measured for one in own]),
        mean([abs(one.rate - one.measured) for one in own]), mean([abs(one.now - one.measured) for one in own]),
        percent(share.value, 0), span(share.low, share.high),
    )  # fmt: skip
