"""Computes error against the amount of target data, how much data a method saves, and whom adaptation harms.

Intervals are over speakers, each with all his seeds (draws of adaptation data), where there are at least four; of one
speaker they are over at least four seeds, and say nothing of other speakers (see `clusters`). Amounts are compared at
equal error: with how much data does one method reach the error that the other reaches with so much? Between
measured amounts, error is taken as linear in the amount's logarithm; nothing is claimed outside of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from asr_transfer.errors import DataError
from asr_transfer.evaluation.breakdown import per_speaker
from asr_transfer.evaluation.clusters import FEWEST, Floats, figure_over, rate, summed
from asr_transfer.evaluation.scoring import Alignments
from asr_transfer.evaluation.significance import Change, compare

HARM_DECILE = 0.1


@dataclass(frozen=True)
class Observation:
    """Errors of one speaker with one seed at one amount of target data.

    Attributes:
        amount: quantity of target data, in utterances, seconds or what the experiment counts; 0 is the source model.
        seed: name of the seed or draw.
        speaker: name of the speaker.
        errors, reference: counts on the speaker's test utterances.
    """

    amount: float
    seed: str
    speaker: str
    errors: int
    reference: int


@dataclass(frozen=True)
class Point:
    """The error at one amount.

    Attributes:
        amount: quantity of target data.
        rate: errors over reference units of all observations.
        low, high: its interval at `LEVEL`; None where there are too few of what it could be over.
        spread: standard deviation of the rate over seeds; None with one seed.
        seeds, speakers: their numbers.
        over: observations that the interval is over: `speakers`, `seeds` of one speaker, or nothing.
    """

    amount: float
    rate: float
    low: float | None
    high: float | None
    spread: float | None
    seeds: int
    speakers: int
    over: Literal["speakers", "seeds", "nothing"]


@dataclass(frozen=True)
class DataFactor:
    """How many times the data of one method another needs for the same error.

    Attributes:
        error: the error at which they are compared.
        baseline, amount: amounts that the baseline and the method need for it; None outside the measured amounts.
        factor: `baseline / amount`, above 1 where the method needs less; a bound where it is censored, None where
            nothing is known.
        censored: `at least` or `at most`: the true factor lies beyond the measured amounts; `unknown`: both lie beyond
            them, or on the same side.
        low, high: its interval at `LEVEL`; None where there are too few clusters, or where the factor is censored with
            all of them or without one.
        clusters: number of independent observations that the interval is over.
    """

    error: float
    baseline: float | None
    amount: float | None
    factor: float | None
    censored: Literal["", "at least", "at most", "unknown"]
    low: float | None
    high: float | None
    clusters: int

    def __str__(self) -> str:
        if self.factor is None:
            return "unknown: the curves do not meet this error"
        head = f"{self.censored} {self.factor:.2g}".strip()
        return head if self.low is None else f"{head} [{self.low:.2g}, {self.high:.2g}], n = {self.clusters}"


@dataclass(frozen=True)
class Harm:
    """Whom adaptation harms.

    Attributes:
        share: part of the speakers with a higher error rate than before; None without speakers.
        speakers: their names, the most harmed first.
        worst: error rate of the tenth of speakers (at least one) with the highest error after adaptation.
        worst_before: error rate of the tenth with the highest error before.
    """

    share: float | None
    speakers: tuple[str, ...]
    worst: float | None
    worst_before: float | None


def observe(alignments: Alignments, amount: float, seed: str = "") -> list[Observation]:
    """Return a system's observations: one for each speaker and draw.

    Args:
        alignments: alignments whose ids end in `#DRAW` where there are several draws.
        amount: quantity of target data.
        seed: name of the seed of ids without a draw.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    for name, speaker, errors, units in zip(
        alignments.ids, alignments.speakers, alignments.errors.tolist(), alignments.reference.tolist(), strict=True
    ):
        if units:
            cell = sums.setdefault((name.rpartition("#")[2] if "#" in name else seed, speaker), [0, 0])
            cell[0] += errors
            cell[1] += units
    return [Observation(amount, draw, speaker, *cell) for (draw, speaker), cell in sums.items()]


def curve(observations: Iterable[Observation]) -> list[Point]:
    """Return the error at each amount, amounts rising.

    Raises:
        DataError: an amount is negative, an observation occurs twice, or an amount has no reference units.
    """
    return [_point(amount, cells) for amount, cells in sorted(_by_amount(observations).items())]


def amount_at(error: float, amounts: Sequence[float], rates: Sequence[float]) -> float | None:
    """Return the amount of data at which a curve first reaches `error`, None where it does not within its amounts.

    Between two amounts the error is linear in the amount's logarithm. A curve that begins at or below `error` reaches
    it at its first amount only where it begins exactly there.

    Raises:
        DataError: amounts are not above 0 and rising, or differ in number from the rates.
    """
    found = float(_crossing(np.array([error]), _logarithms(amounts), np.array([rates], float))[0])
    return math.exp(found) if math.isfinite(found) else None


def data_factor(
    baseline: Iterable[Observation],
    method: Iterable[Observation],
    error: float | None = None,
    at: float | None = None,
    shared_seeds: bool = False,
) -> DataFactor:
    """Compare how much data two methods need for the same error.

    Args:
        baseline, method: their observations; amount 0 is left out, it has no logarithm.
        error: rate at which; None takes what the baseline reaches with the amount `at`.
        at: amount of the baseline's; None takes the largest.
        shared_seeds: whether seeds are of models that all speakers were tested with, so that both vary; otherwise they
            are each speaker's own.

    Raises:
        DataError: a method has no amount above 0, the two were not observed with the same speakers and seeds, or the
            baseline was not observed with the amount `at`.
    """
    sides = [{a: c for a, c in _by_amount(found).items() if a > 0} for found in (baseline, method)]
    if not all(sides):
        raise DataError("a data factor needs both methods at amounts above 0; run them on some target data.")
    amounts = sorted(sides[0])
    if at is not None and at not in amounts:
        raise DataError(f"the baseline was not run with the amount {at:g}; take one of {amounts}.")
    cells = sorted({(o.speaker, o.seed) for o in next(iter(sides[0].values()))})
    values: list[list[int]] = []
    for side in sides:
        for amount, found in sorted(side.items()):
            table = {(o.speaker, o.seed): o for o in found}
            if sorted(table) != cells:
                raise DataError(
                    f"amount {amount:g} was not run with the speakers and seeds of the other amounts; a data factor "
                    "needs the same ones everywhere."
                )
            values += [[table[cell].errors for cell in cells], [table[cell].reference for cell in cells]]
    first, second = (_logarithms(sorted(side)) for side in sides)
    place = -1 if at is None else amounts.index(at)

    def needs(*sums: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the error, and the logarithms of amounts with which the two reach it, for sums (n,) each."""
        both = np.stack(sums)
        rates = (both[0::2] / np.maximum(both[1::2], 1)).T
        base, own = rates[:, : len(first)], rates[:, len(first) :]
        target = base[:, place] if error is None else np.full(len(base), error)
        return target, _crossing(target, first, base), _crossing(target, second, own)

    def factor(*sums: Floats) -> Floats:
        """Return its logarithm, infinite where it is censored."""
        _, one, other = needs(*sums)
        known = np.isfinite(one) & np.isfinite(other)
        return np.where(known, np.where(known, one, 0) - np.where(known, other, 0), np.inf)

    target, needed, own = needs(*(np.array([sum(row)], float) for row in values))
    low, high = _bounds(needed, first), _bounds(own, second)
    # The logarithm of the factor lies between these, infinite where nothing bounds it.
    least, most = float((low[0] - high[1])[0]), float((low[1] - high[0])[0])
    censored: Literal["", "at least", "at most", "unknown"] = ""
    if least != most:
        censored = "at least" if math.isfinite(least) else "at most" if math.isfinite(most) else "unknown"
    speakers, seeds = (list(names) for names in zip(*cells, strict=True))
    over = [speakers] if len(set(speakers)) > 1 else []
    over += [seeds] if shared_seeds or not over else []
    ways = [summed(values, names) for names in over]
    both = summed(values) if len(ways) > 1 else None  # by speaker and seed
    # A cluster weighs as much as it has errors, with both methods and all amounts.
    ends = figure_over(ways, factor, lambda way: np.sum(way[0::2], axis=0), both) if not censored else None
    return DataFactor(
        float(target[0]),
        _positive(float(needed[0])),
        _positive(float(own[0])),
        _positive(most if censored == "at most" else least),
        censored,
        math.exp(ends[0]) if ends else None,
        math.exp(ends[1]) if ends else None,
        min(len(set(names)) for names in over),
    )


def forgetting(before: Alignments, after: Alignments) -> Change:
    """Return the change of error on the source domain: above 0, adaptation forgot.

    Raises:
        DataError: the two were not scored on the same utterances.
    """
    return compare(before, [after])[0].change


def harm(before: Alignments, after: Alignments) -> Harm:
    """Return which speakers adaptation harms, and the error of those worst off.

    Raises:
        DataError: the two have different speakers.
    """
    pairs = []
    for side in (before, after):
        pairs.append({g.name: g.counts.rate for g in per_speaker(side) if g.counts.reference})
    if pairs[0].keys() != pairs[1].keys():
        raise DataError("the speakers before and after adaptation differ; score both on the same utterances.")
    rise = {name: pairs[1][name] - rate for name, rate in pairs[0].items()}
    harmed = sorted((name for name in rise if rise[name] > 0), key=lambda name: (-rise[name], name))
    return Harm(
        len(harmed) / len(rise) if rise else None, tuple(harmed), worst_decile(after), worst_decile(before)
    )  # fmt: skip


def worst_decile(alignments: Alignments) -> float | None:
    """Return the error rate of the tenth of speakers, at least one, with the highest; None without any."""
    groups = [g.counts for g in per_speaker(alignments) if g.counts.reference]
    groups.sort(key=lambda counts: -counts.rate)
    worst = groups[: math.ceil(HARM_DECILE * len(groups))]
    return sum(c.errors for c in worst) / sum(c.reference for c in worst) if worst else None


def _by_amount(observations: Iterable[Observation]) -> dict[float, list[Observation]]:
    groups: dict[float, list[Observation]] = {}
    seen: set[tuple[float, str, str]] = set()
    for o in observations:
        if not 0 <= o.amount < math.inf:
            raise DataError(f"the amount of target data must not be negative, got {o.amount}.")
        if (o.amount, o.seed, o.speaker) in seen:
            raise DataError(f"speaker '{o.speaker}' with seed '{o.seed}' occurs twice at amount {o.amount:g}.")
        seen.add((o.amount, o.seed, o.speaker))
        groups.setdefault(o.amount, []).append(o)
    return groups


def _point(amount: float, cells: list[Observation]) -> Point:
    errors, units = np.array([o.errors for o in cells]), np.array([o.reference for o in cells])
    if not units.sum():
        raise DataError(f"amount {amount:g} has no reference units; there is no error rate.")
    speakers, seeds = sorted({o.speaker for o in cells}), sorted({o.seed for o in cells})
    rates = []
    for name in seeds:
        own = np.array([o.seed == name for o in cells])
        if units[own].sum():
            rates.append(float(errors[own].sum() / units[own].sum()))
    over: Literal["speakers", "seeds", "nothing"] = "nothing"
    if len(speakers) >= FEWEST:
        over = "speakers"
    elif len(speakers) == 1 and len(seeds) >= FEWEST:
        over = "seeds"
    found = rate(errors, units, [o.seed if over == "seeds" else o.speaker for o in cells])
    spread = float(np.std(rates, ddof=1)) if len(rates) > 1 else None
    return Point(amount, found.value, found.low, found.high, spread, len(seeds), len(speakers), over)


def _logarithms(amounts: Sequence[float]) -> Floats:
    values = np.asarray(amounts, float)
    if not len(values) or values.min() <= 0 or (np.diff(values) <= 0).any():
        raise DataError(f"amounts of data must be above 0 and rising, got {list(amounts)}.")
    result: Floats = np.log(values)
    return result


def _crossing(error: Floats, amounts: Floats, rates: Floats) -> Floats:
    """Return where curves first come down to `error`, vectorised.

    Args:
        error: (b,).
        amounts: logarithms, (a,).
        rates: (b, a).

    Returns:
        Logarithms of amounts, (b,): −∞ where a curve begins below the error, +∞ where it never comes down to it.

    Raises:
        DataError: there are not as many rates as amounts.
    """
    if rates.shape[1] != len(amounts):
        raise DataError(f"{len(amounts)} amounts but {rates.shape[1]} error rates; give one for each.")
    reached = rates <= error[:, None]
    first = reached.argmax(1)
    rows = np.arange(len(rates))
    before = np.maximum(first - 1, 0)
    high, low = rates[rows, before], rates[rows, first]
    share = np.where(first > 0, (high - error) / np.where(high > low, high - low, 1), 0.0)
    found = amounts[before] + share * (amounts[first] - amounts[before])
    found = np.where((first == 0) & (rates[:, 0] < error), -np.inf, found)
    result: Floats = np.where(reached.any(1), found, np.inf)
    return result


def _bounds(found: Floats, amounts: Floats) -> tuple[Floats, Floats]:
    """Return between which logarithms of amounts a crossing lies: outside a curve only one end is known."""
    low: Floats = np.where(np.isposinf(found), amounts[-1], found)
    high: Floats = np.where(np.isneginf(found), amounts[0], found)
    return low, high


def _positive(logarithm: float) -> float | None:
    return math.exp(logarithm) if math.isfinite(logarithm) else None
