"""Sums up what each step of the path gained and what it cost the others, as the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.evaluation.foreign import read_hypotheses
from asr_transfer.evaluation.normalisation import Unit
from asr_transfer.evaluation.percentages import NONE, percent, span
from asr_transfer.evaluation.scoring import Alignments, align
from asr_transfer.experiments.core.effects import (
    Figures,
    difference_over_seeds,
    figures,
    rate_over_seeds,
    reduction,
)
from asr_transfer.experiments.core.ledger import read_finished
from asr_transfer.experiments.core.tables import Column, Table
from asr_transfer.experiments.languages.points import error_unit
from asr_transfer.experiments.own_language.config import OwnLanguageConfig
from asr_transfer.experiments.own_language.jobs import WAYS, Point, ways_beside

NAMES = {"scratch": "scratch", "learn": "learn", "adapt": "+ adapt", "words": "+ words"}
"""Names of rows where they are not the way's."""


NOTHING: Figures = (None, None, None)


@dataclass(frozen=True)
class PathRow:
    """A step of the path, over all seeds.

    Attributes:
        language, minutes, way: language that is learnt, amount of its speech, and step.
        seeds: number of seeds.
        heard, new: error rate of voices that are trained on and of the speaker who is not, each with its interval.
        heard_gain, new_gain: share of the errors of `scratch` that are not made any more, with its interval.
        step_gain: share of the errors of `learn` that are not made any more with the new speaker, with its interval.
        step_cost: rise of the error rate of `learn` with the voices that are trained on, with its interval.
        found: share of short recordings that are recognised as a whole, with its interval.
        others: rise of the error rate of the source model's languages, with its interval.
        steps, cpu_seconds: means over seeds; of `learn` those of all ways that it tries.
        taken: ways or methods that were chosen, by seed.
    """

    language: str
    minutes: float
    way: str
    seeds: int
    heard: Figures
    heard_gain: Figures
    new: Figures
    new_gain: Figures
    step_gain: Figures
    step_cost: Figures
    found: Figures
    others: Figures
    steps: float
    cpu_seconds: float
    taken: tuple[str, ...] = ()


def summarise(config: OwnLanguageConfig, folder: Path, points: Sequence[Point]) -> list[PathRow]:
    """Return the rows of each language and amount."""
    groups: dict[tuple[str, float], list[Point]] = {}
    for point in points:
        groups.setdefault((point.target.name, point.minutes), []).append(point)
    return [row for own in groups.values() for row in _rows(folder, own)]


def path_table(config: OwnLanguageConfig, rows: Sequence[PathRow]) -> Table:
    """Return the table of all rows."""
    columns: list[Column[PathRow]] = [
        ("language", lambda row: row.language),
        ("minutes", lambda row: f"{row.minutes:g}"),
        ("way", lambda row: row.way),
        ("heard voices, errors %", lambda row: _rate(row.heard)),
        ("fewer than scratch %", lambda row: _gain(row.heard_gain)),
        ("than learn, points", lambda row: _points(row.step_cost)),
        ("new speaker, errors %", lambda row: _rate(row.new)),
        ("fewer than scratch %", lambda row: _gain(row.new_gain)),
        ("fewer than learn %", lambda row: _gain(row.step_gain)),
        ("words found %", lambda row: _rate(row.found)),
        ("other languages, points", lambda row: _points(row.others)),
        ("steps", lambda row: f"{row.steps:.0f}" if row.steps else NONE),
        ("CPU-s", lambda row: f"{row.cpu_seconds:.0f}" if row.cpu_seconds else NONE),
        ("taken", lambda row: ", ".join(dict.fromkeys(row.taken))),
    ]
    plural = "s" * (len(config.seeds) > 1)
    scratch = sorted({config.scratch_steps(minutes) for one in config.languages for minutes in one.amounts})
    budgets = "–".join(str(steps) for steps in dict.fromkeys((scratch[0], scratch[-1])))
    note = (
        f"{len(config.seeds)} seed{plural}, one source model of {config.source.trainer.steps} steps. `scratch` may "
        "read as much speech as the source's training and the learning together "
        f"({budgets} steps), and ends where the same development speech shows no more gain. `learn` is "
        "what `asr-transfer learn` takes by itself; its steps and CPU-seconds are those of all ways that it tries. "
        f"`+ adapt` takes {config.sentences} sentences of the new speaker, `+ words` a lexicon of {config.lexicon} "
        "words. Words found are whole short recordings, spelled freely but for `+ words`. Intervals (95 %) are over "
        "seeds and recordings, from four of both on; below that there are none."
    )
    return Table.of(rows, columns, note=note)


def _rows(folder: Path, points: Sequence[Point]) -> list[PathRow]:
    first = points[0]
    beside = ways_beside(sum(u.duration for u in first.target.taught(first.minutes, first.seed)) / 60)
    adapted = first.target.language.is_adapted(first.minutes)
    steps = {"scratch": "scratch"}
    steps |= {way: way if way in beside else "learn" for way in WAYS}
    steps["learn"] = "learn"
    if adapted:
        steps["adapt"] = "adapt"
    found = [_row(folder, points, way, step) for way, step in steps.items()]
    words = _found(folder, points, "adapt" if adapted else "learn", "lexicon")
    gap = NOTHING
    name, count = NAMES["words"], len(points)
    last = PathRow(first.target.name, first.minutes, name, count, gap, gap, gap, gap, gap, gap, words, gap, 0, 0)
    return [*found, last]


def _row(folder: Path, points: Sequence[Point], way: str, step: str) -> PathRow:
    first = points[0]
    unit = error_unit(first.target.units)
    rates: dict[str, Figures] = {}
    gains: dict[tuple[str, str], Figures] = {}
    cost: Figures = NOTHING
    for test in ("heard", "new"):
        own = _heard(folder, points, step, way, test, unit)
        rates[test] = figures(rate_over_seeds(own)) if own else NOTHING
        for base in ("scratch", "learn"):
            compared = own and way != base and (base == "scratch" or way == "adapt")
            before = _heard(folder, points, base, base, test, unit) if compared else []
            gains[test, base] = figures(reduction(before, own) if before else None)
        if own and way == "adapt" and test == "heard":
            cost = figures(difference_over_seeds(_heard(folder, points, "learn", "learn", test, unit), own))
    others = _heard(folder, points, step, way, "others", "character")
    before = _heard(folder, points, "learn", "source", "others", "character")
    records = [read_finished(point.folder(folder, step)) for point in points]
    spent: list[dict[str, Any]] = [one["training"].get(way, one["training"]) for one in records]
    taken = [one.get("learning", one.get("adaptation", {})) for one in records] if way in ("learn", "adapt") else []
    return PathRow(
        first.target.name,
        first.minutes,
        NAMES.get(way, way),
        len(points),
        rates["heard"],
        gains["heard", "scratch"],
        rates["new"],
        gains["new", "scratch"],
        gains["new", "learn"],
        cost,
        _found(folder, points, way, "free") if way in ("learn", "adapt") else NOTHING,
        figures(difference_over_seeds(before, others)) if others else NOTHING,
        fmean(one["steps"] for one in spent),
        fmean(one["cpu_seconds"] for one in spent),
        tuple(one.get("way", one.get("method", "")) for one in taken),
    )


def _heard(folder: Path, points: Sequence[Point], step: str, row: str, test: str, unit: Unit) -> list[Alignments]:
    """Return what a row heard by seed; none where there are no such recordings."""
    files = [point.folder(folder, step) / "heard" / row / test / "hypotheses.jsonl" for point in points]
    return [align(read_hypotheses(file).utterances, unit) for file in files if file.is_file()]


def _found(folder: Path, points: Sequence[Point], step: str, how: str) -> Figures:
    """Return the share of recordings that are found, from those that are not."""
    missed = rate_over_seeds(_heard(folder, points, "words", step, how, "word"))
    return figures(_complement(missed))


def _complement(missed: Estimate) -> Estimate:
    low, high = (None if end is None else 1 - end for end in (missed.high, missed.low))
    return Estimate(1 - missed.value, low, high, missed.p, missed.clusters)


def _rate(found: Figures) -> str:
    return _shown(percent(found[0]), span(found[1], found[2], 1))


def _gain(found: Figures) -> str:
    return _shown(percent(found[0], 0), span(found[1], found[2]))


def _points(found: Figures) -> str:
    return _shown(percent(found[0], 1, "+"), span(found[1], found[2], 1, "+"))


def _shown(value: str, interval: str) -> str:
    return value if interval == NONE else f"{value} ({interval})"
