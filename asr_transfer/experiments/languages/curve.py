"""Measures the error of a new language against the minutes of its speech, with and without other languages' help."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from asr_transfer.data.notations import scheme_of, split_pinyin
from asr_transfer.data.tokens import spells_phones
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.evaluation.plots import Plot, Series, curves
from asr_transfer.evaluation.scoring import Alignments, align
from asr_transfer.experiments.core.effects import Figures, figures, pooled_rate, reduction, spread_over_seeds
from asr_transfer.experiments.core.ledger import mean_seconds, read_finished
from asr_transfer.experiments.core.tables import Column, Table
from asr_transfer.experiments.languages.points import (
    Corpora,
    Point,
    TrainPoint,
    check_languages,
    load_point,
    read_point,
)
from asr_transfer.experiments.languages.savings import Saving, savings, savings_table
from asr_transfer.experiments.languages.search import Tried, plan_search, read_search, search_table
from asr_transfer.experiments.languages.sources import SourceModel, TrainSource
from asr_transfer.experiments.languages.sweep import run_sweep
from asr_transfer.experiments.languages.systems import FROM_SCRATCH, PLAIN, SYSTEMS, CurveConfig, plan
from asr_transfer.models.kinds import network_inputs
from asr_transfer.runs.workers import Backend
from asr_transfer.textfiles import write_text


@dataclass(frozen=True)
class Row:
    """A system at one amount on one test set, over all seeds.

    Attributes:
        test, system, minutes: names of the test set and the system, and the amount of speech.
        seeds: number of seeds.
        rate: errors over reference units of all seeds.
        spread: standard deviation over seeds.
        reduction: share of the baseline's errors that it makes less; None for the baseline itself.
        low, high: its 95 % interval over seeds and utterances; None with fewer than four seeds.
        cpu_seconds: mean, of the target's training.
        source_seconds: mean, of the source model's training.
        versus: share of the plain system's errors that it makes less; None for that, from scratch, or without it.
        versus_low, versus_high: its 95 % interval, as above.
        baseline: the system from scratch that `reduction` is held against; empty where there is none.
        plain: the system with help from elsewhere that `versus` is held against; empty where there is none.
        syllables: syllables that are not wholly right, deleted or inserted, over those of the references; None where
            phones are not pinyin.
        lexicon: character error rate where each utterance is taken for a word of the test set's lexicon; None without.
        lexicon_spread: its standard deviation over seeds.
        by_seed: error rate of each seed.
    """

    test: str
    system: str
    minutes: float
    seeds: int
    rate: float
    spread: float
    reduction: float | None
    low: float | None
    high: float | None
    cpu_seconds: float
    source_seconds: float
    versus: float | None = None
    versus_low: float | None = None
    versus_high: float | None = None
    baseline: str = ""
    plain: str = ""
    syllables: float | None = None
    lexicon: float | None = None
    lexicon_spread: float | None = None
    by_seed: tuple[float, ...] = ()


def run_curve(
    config: CurveConfig,
    corpora: Corpora,
    folder: Path,
    workers: int,
    say: Callable[[str], None],
    backend: Backend = "processes",
) -> list[Row]:
    """Train all source models and points that are not trained yet, and return the table's rows.

    Args:
        config: the experiment.
        corpora: its manifests.
        folder: run folder of the experiment; `sources` and `points` below it hold a run folder for each model.
        workers: parallel processes of one thread each.
        say: function that is called with a line at each stage.
        backend: place where processes run.
    """
    languages, target = check_languages(corpora)
    sources, points = plan(config, corpora, languages)
    say(f"{', '.join(languages) or 'no source languages'}, then '{target}'")

    def run(sources: Sequence[SourceModel], points: Sequence[Point]) -> None:
        models = [TrainSource(corpora, source) for source in sources]
        planned = [TrainPoint(corpora, point, config.amounts) for point in points]
        run_sweep(folder, models, planned, network_inputs(config.source.model), workers, say, backend)

    run(sources, [*points, *(plan_search(config.search, config.search_start) if config.searches else ())])
    if config.searches:
        best = tried(config, folder)[0]
        say(f"from scratch, the settings '{best.name}' err least on the development speech: {100 * best.error:.1f} %")
        points = all_points(config, corpora, folder)
        run([], points)
    return summarise(folder, points, list(corpora.tests))


def tried(config: CurveConfig, folder: Path) -> list[Tried]:
    """Return what a finished search for the settings of a start from scratch found; nothing where there was none."""
    return read_search(folder, config.search, config.search_start) if config.searches else []


def all_points(config: CurveConfig, corpora: Corpora, folder: Path) -> list[Point]:
    """Return all points of a finished experiment, those with the settings that a search chose among them."""
    return plan(config, corpora, check_languages(corpora)[0], tried(config, folder))[1]


def saved_speech(config: CurveConfig, corpora: Corpora, folder: Path) -> list[Saving]:
    """Return how much target speech each system of a finished experiment saves on each test set."""
    points = all_points(config, corpora, folder)
    return [saving for test in corpora.tests for saving in savings(folder, points, test)]


def write_plots(folder: Path, rows: Sequence[Row]) -> None:
    """Write `curve-TEST.svg` for each test set."""
    for test in dict.fromkeys(row.test for row in rows):
        write_text(folder / f"curve-{test}.svg", plot(rows, test, "unit error rate").svg())


def summarise(folder: Path, points: Sequence[Point], tests: Iterable[str]) -> list[Row]:
    """Return a row for each test set, system and amount; reductions are held against the stronger start from scratch.

    Where both were run, the development speech says which that is: more steps do not always help a little speech.
    """
    rows = []
    likened = next((name for name in PLAIN if any(p.system == name for p in points)), PLAIN[0])
    for test in tests:
        aligned = {point.name: load_point(folder, point, test) for point in points}
        for minutes, system in dict.fromkeys((p.minutes, p.system) for p in points):
            own = [p for p in points if (p.minutes, p.system) == (minutes, system)]
            base = _baseline(folder, [p for p in points if p.minutes == minutes])
            against, plain = (
                {p.seed: p for p in points if (p.minutes, p.system) == (minutes, other) and system != other}
                for other in (base, likened)
            )
            helped = SYSTEMS[system].mode != "scratch"
            row = _row(folder, test, own, against, plain if helped else {}, aligned)
            rows.append(replace(row, baseline=base if against else "", plain=likened if row.versus is not None else ""))
    return rows


def _baseline(folder: Path, points: Sequence[Point]) -> str:
    """Return the system from scratch that is best on the development speech, over the seeds that all have."""
    own = {name: {p.seed: p for p in points if p.system == name} for name in FROM_SCRATCH}
    own = {name: found for name, found in own.items() if found}
    shared = set.intersection(*(set(found) for found in own.values())) if own else set()
    if len(own) < 2 or not shared:
        return next(iter(own), "")

    def error(name: str) -> float:
        bests = [read_finished(folder / "points" / own[name][seed].name)["best"] or {} for seed in sorted(shared)]
        return fmean(best.get(points[0].config.monitor, 0.0) for best in bests)

    return min(own, key=error)


def curve_tables(rows: Sequence[Row], saved: Sequence[Saving], found: Sequence[Tried] = ()) -> list[Table]:
    """Return each test set's table, behind it how much data each system saves, and at last what a search tried."""
    tables = []
    for test in dict.fromkeys(row.test for row in rows):
        own = [row for row in rows if row.test == test]
        tables.append(Table.of(own, _columns(own), title=f"Test set `{test}`:"))
        if own_saved := [one for one in saved if one.test == test]:
            tables.append(savings_table(own_saved))
    return [*tables, *([search_table(found)] if found else [])]


def _columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """Return the columns of a test set's table; those that no row has anything to say in are left out."""
    syllables: list[Column[Row]] = [("syllable error %", lambda row: percent(row.syllables))]
    lexicon: list[Column[Row]] = [
        ("CER by lexicon %", lambda row: percent(row.lexicon)),
        ("± seeds", lambda row: percent(row.lexicon_spread)),
    ]
    baseline: list[Column[Row]] = [
        ("fewer errors %", lambda row: percent(row.reduction, 0)),
        ("95 % interval", lambda row: span(row.low, row.high)),
        ("than", lambda row: f"`{row.baseline}`" if row.baseline else "–"),
    ]
    plain = next((row.plain for row in rows if row.versus is not None), None)
    versus: list[Column[Row]] = [
        (f"fewer errors than `{plain}` %", lambda row: percent(row.versus, 0)),
        ("95 % interval", lambda row: span(row.versus_low, row.versus_high)),
    ]
    return [
        ("minutes", lambda row: f"{row.minutes:g}"),
        ("system", lambda row: row.system),
        ("seeds", lambda row: str(row.seeds)),
        ("error %", lambda row: percent(row.rate)),
        ("± seeds", lambda row: percent(row.spread)),
        *(syllables if any(row.syllables is not None for row in rows) else []),
        *(lexicon if any(row.lexicon is not None for row in rows) else []),
        *(baseline if any(row.baseline for row in rows) else []),
        ("CPU-s", lambda row: f"{row.cpu_seconds:.0f}"),
        ("CPU-s of the source", lambda row: f"{row.source_seconds:.0f}" if row.source_seconds else "–"),
        *(versus if plain is not None else []),
    ]


def plot(rows: Sequence[Row], test: str, label: str) -> Plot:
    """Return error against minutes on a test set, a line for each system, with one standard deviation over seeds."""
    # Plots count in whole numbers.
    whole = all(row.minutes == round(row.minutes) for row in rows)
    unit, times = ("minutes", 1) if whole else ("seconds", 60)
    series = []
    for system in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if (row.system, row.test) == (system, test)]
        values = tuple(100 * row.rate for row in own)
        spread = [100 * row.spread for row in own]
        low, high = (tuple(v + sign * s for v, s in zip(values, spread, strict=True)) for sign in (-1, 1))
        series.append(Series(system, tuple(round(times * row.minutes) for row in own), values, low, high))
    caption = f"{label} on {test} by {unit} of target speech; lines span one standard deviation over seeds."
    return curves(series, None, f"{label} %", f"{unit} of target speech", caption)


def _heard_syllables(folder: Path, point: Point, test: str) -> Alignments | None:
    """Return a point's alignments in syllables, or None where its units are not those of pinyin."""
    if not spells_phones(point.config.units):
        return None
    rows = read_point(folder, point, test)
    if scheme_of({phone for row in rows for phone in row.reference.split()}) != "pinyin":
        return None

    def merged(text: str) -> str:
        return " ".join("+".join(syllable) for syllable in split_pinyin(text.split()))

    return align([replace(row, reference=merged(row.reference), hypothesis=merged(row.hypothesis)) for row in rows])


def _taken_for_words(folder: Path, point: Point, test: str) -> Alignments | None:
    """Return a point's alignments in characters with the test set's lexicon, or None where it has none."""
    name = f"{test}-lexicon"
    there = (folder / "points" / point.name / name / "hypotheses.jsonl").is_file()
    return align(read_point(folder, point, name), "character") if there else None


def _pooled(found: Sequence[Alignments | None]) -> tuple[float | None, float | None]:
    """Return the error rate of all seeds and its standard deviation over them, or None where one seed has none."""
    own = [one for one in found if one is not None]
    if not own or len(own) < len(found):
        return None, None
    return pooled_rate(own), spread_over_seeds(own)


def _row(
    folder: Path,
    test: str,
    own: Sequence[Point],
    against: Mapping[int, Point],
    plain: Mapping[int, Point],
    aligned: Mapping[str, Alignments],
) -> Row:
    def change(others: Mapping[int, Point]) -> Figures:
        paired = [p for p in own if p.seed in others]
        before, after = [aligned[others[p.seed].name] for p in paired], [aligned[p.name] for p in paired]
        return figures(reduction(before, after) if paired else None)

    every = [aligned[p.name] for p in own]
    lexicon, lexicon_spread = _pooled([_taken_for_words(folder, p, test) for p in own])
    return Row(
        test,
        own[0].system,
        own[0].minutes,
        len(own),
        pooled_rate(every),
        spread_over_seeds(every),
        *change(against),
        mean_seconds(folder, [f"points/{p.name}" for p in own]),
        mean_seconds(folder, [f"sources/{p.source}" for p in own if p.source is not None]),
        *change(plain),
        syllables=_pooled([_heard_syllables(folder, p, test) for p in own])[0],
        lexicon=lexicon,
        lexicon_spread=lexicon_spread,
        by_seed=tuple(pooled_rate([one]) for one in every),
    )
