"""Computes how much target speech a system saves, at the errors that a start from scratch has with so much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.evaluation.clusters import FEWEST
from asr_transfer.evaluation.curves import Observation, data_factor, observe
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.scoring import Alignments
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.languages.points import Point, load_point
from asr_transfer.experiments.languages.systems import FROM_SCRATCH


@dataclass(frozen=True)
class Saving:
    """How many times the target speech of a system its baseline needs for the same error.

    Attributes:
        test, system, baseline: names of the test set and the two systems.
        minutes: amount of the baseline, whose error with them is the one at which the two are compared.
        error: error rate with that amount.
        needed: minutes with which the system reaches it; None outside the amounts it was run with.
        factor, low, high: `minutes / needed` with its 95 % interval over seeds and utterances, or speakers where there
            are at least four; a bound without an interval where `needed` is None, None where nothing bounds it. There
            is no interval below four seeds.
        told: factor and interval for a table.
    """

    test: str
    system: str
    baseline: str
    minutes: float
    error: float
    needed: float | None
    factor: float | None
    low: float | None
    high: float | None
    told: str


def savings(folder: Path, points: Sequence[Point], test: str) -> list[Saving]:
    """Return what each system with help from elsewhere saves of each start from scratch, at each of its amounts.

    Args:
        folder: run folder of the experiment, whose points are finished.
        points: all of it.
        test: name of the test set.
    """
    observed: dict[str, list[Observation]] = {}
    for point in points:
        found = _observed(load_point(folder, point, test), point)
        observed.setdefault(point.system, []).extend(found)
    made = []
    for baseline in (name for name in FROM_SCRATCH if name in observed):
        for system in (name for name in observed if name not in FROM_SCRATCH):
            # Seeds that were run at some amounts only would make curves of unlike points.
            seeds = _whole(observed[baseline]) & _whole(observed[system])
            base, own = ([o for o in observed[name] if o.seed in seeds] for name in (baseline, system))
            amounts = sorted({o.amount for o in base})
            if len(amounts) > 1 and len({o.amount for o in own}) > 1:
                made += [_saving(test, system, baseline, base, own, at) for at in amounts]
    return made


def savings_table(saved: Sequence[Saving]) -> Table:
    """Return how much target speech each system saves."""
    return Table.of(
        saved,
        [
            ("system", lambda one: one.system),
            ("instead of", lambda one: one.baseline),
            ("with minutes", lambda one: f"{one.minutes:g}"),
            ("error %", lambda one: percent(one.error)),
            ("minutes needed", lambda one: "–" if one.needed is None else f"{one.needed:.1f}"),
            ("times the data (95 %)", lambda one: one.told),
        ],
    )


def _observed(aligned: Alignments, point: Point) -> list[Observation]:
    """Return what goes together: speakers, or utterances where there are too few of them."""
    if len(set(aligned.speakers)) >= FEWEST:
        return observe(aligned, point.minutes, str(point.seed))
    return [
        Observation(point.minutes, str(point.seed), name, errors, units)
        for name, errors, units in zip(aligned.ids, aligned.errors.tolist(), aligned.reference.tolist(), strict=True)
    ]


def _whole(observations: Sequence[Observation]) -> set[str]:
    """Return the seeds that were run at every amount."""
    amounts = {o.amount for o in observations}
    run = {(o.amount, o.seed) for o in observations}
    return {o.seed for o in observations if all((amount, o.seed) in run for amount in amounts)}


def _saving(
    test: str, system: str, baseline: str, base: Sequence[Observation], own: Sequence[Observation], at: float
) -> Saving:
    found = data_factor(base, own, at=at, shared_seeds=True)
    return Saving(
        test, system, baseline, at, found.error, found.amount, found.factor, found.low, found.high, str(found)
    )
