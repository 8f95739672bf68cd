"""Error of a new language against the minutes of its speech, with and without other languages' help.

Every system sees the same nested subsets, the same development set chooses its weights, and what it is given beside the
target's speech is said: `scratch` takes the steps of the fine-tuning alone, `scratch-long` as many as pre-training and
fine-tuning together, so that transfer is never held against a smaller budget only. After Huang et al. (2013).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from asr_transfer.config import SourceConfig, TrainerConfig
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.evaluation.curves import DataFactor, Observation, data_factor, observe
from asr_transfer.evaluation.foreign import read_hypotheses
from asr_transfer.evaluation.plots import Plot, Series, curves
from asr_transfer.evaluation.scoring import Alignments, align
from asr_transfer.languages.config import SOURCELESS, LanguageConfig, Mode
from asr_transfer.languages.points import Corpora, Point, check_languages, error_unit, read_point
from asr_transfer.languages.reduction import reduction
from asr_transfer.languages.sources import Kind, SeparationConfig, SourceJob
from asr_transfer.languages.sweep import run_sweep
from asr_transfer.training.workers import Backend


@dataclass(frozen=True)
class System:
    """How a system comes to the target language.

    Attributes:
        source: `all` languages, `some` of their speech as much as the one language has, the `one` language, all
            languages trained to be `adversarial` or `shared-private`, or none.
        mode: of `LanguageConfig`.
        long: it also takes the steps that others spend on the source languages.
    """

    source: str | None
    mode: Mode
    long: bool = False


SYSTEMS: Mapping[str, System] = {
    "scratch": System(None, "scratch"),
    "scratch-long": System(None, "scratch", long=True),
    "transfer": System("all", "all"),
    "transfer-head": System("all", "head"),
    "transfer-gradual": System("all", "gradual"),
    "joint": System("all", "joint"),
    "one-language": System("one", "all"),
    "all-equal-hours": System("some", "all"),
    "adversarial": System("adversarial", "all"),
    "shared-private": System("shared-private", "all"),
    "progressive": System("all", "progressive"),
    "progressive-random": System(None, "progressive-random"),
}
KINDS: tuple[Kind, ...] = ("adversarial", "shared-private")
PLAIN = "transfer"
"""The system that the others with help from elsewhere are held against."""


@dataclass(frozen=True)
class CurveConfig:
    """An experiment over the amount of target speech.

    Attributes:
        amounts: minutes, rising; each amount's speech is part of the next one's.
        systems: of `SYSTEMS`.
        amounts_of: by system, those of the amounts that it is run at, where that is not all.
        seeds: of subsets, weights and batches; each has a source model of its own, unless `source_seed` is given.
        source_seed: the one source model of every kind is trained with this seed, and serves all seeds.
        few: amounts up to which `extra_seeds` are run as well, where a seed decides more than the amount.
        extra_seeds: further seeds there.
        one: the language that `one-language` begins with.
        source: training of the source models.
        learn: learning of the target; its `mode` is the system's.
        separation: of the systems `adversarial` and `shared-private`.
    """

    amounts: tuple[float, ...] = (5, 10, 20, 40)
    systems: tuple[str, ...] = ("scratch", "scratch-long", "transfer")
    amounts_of: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    few: float = 0
    extra_seeds: tuple[int, ...] = ()
    one: str = "cs"
    source_seed: int | None = None
    source: SourceConfig = field(default_factory=SourceConfig)
    learn: LanguageConfig = field(default_factory=LanguageConfig)
    separation: SeparationConfig = field(default_factory=SeparationConfig)

    def __post_init__(self) -> None:
        if not self.amounts or list(self.amounts) != sorted(set(self.amounts)) or self.amounts[0] <= 0:
            raise ConfigError(f"`amounts` must be rising numbers of minutes, got {list(self.amounts)}.")
        for name in self.systems:
            if name not in SYSTEMS:
                raise ConfigError(f"`systems`: there is no '{name}'.{nearest_hint(name, SYSTEMS)}")
        if (
            not self.systems
            or not self.seeds
            or len({*self.seeds, *self.extra_seeds}) < len(self.seeds + self.extra_seeds)
        ):
            raise ConfigError("`systems` and `seeds` must not be empty, and no seed may stand twice.")

    def shortened(self) -> CurveConfig:
        """Return a small experiment of the same kind: two amounts, one seed, a tenth of the steps."""
        return replace(
            self,
            amounts=self.amounts[:2],
            amounts_of={name: tuple(a for a in own if a in self.amounts[:2]) for name, own in self.amounts_of.items()},
            seeds=self.seeds[:1],
            extra_seeds=(),
            source=replace(self.source, trainer=short(self.source.trainer)),
            learn=replace(self.learn, trainer=short(self.learn.trainer)),
        )


FROM_SCRATCH = ("scratch-long", "scratch")
"""Systems that others are held against, the stronger first."""


@dataclass(frozen=True)
class Row:
    """A system at one amount on one test set, over all seeds.

    Attributes:
        test, system, minutes: which.
        seeds: how many.
        rate: errors over reference units of all seeds.
        spread: standard deviation over seeds.
        reduction: share of the baseline's errors that it makes less; None for the baseline itself.
        low, high: its 95 % interval over seeds and utterances.
        cpu_seconds: mean, of the target's training.
        source_seconds: mean, of the source model's training.
        versus: share of the plain `transfer`'s errors that it makes less; None for that, from scratch, or without it.
        versus_low, versus_high: its 95 % interval, as above.
        baseline: the system from scratch that `reduction` is held against; empty where there is none.
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

    def to_plain(self) -> dict[str, Any]:
        """Return the row for a record."""
        return asdict(self)


def plan(config: CurveConfig, corpora: Corpora, languages: Sequence[str]) -> tuple[list[SourceJob], list[Point]]:
    """Return the source models and the points of an experiment.

    Raises:
        ConfigError: a system needs source languages that are not there.
    """
    needed = {SYSTEMS[name].source for name in config.systems} - {None}
    if needed and not languages:
        helped = next(name for name in config.systems if SYSTEMS[name].source)
        raise ConfigError(f"there are no source languages, which the system `{helped}` needs; give `sources`.")
    if "one" in needed | ({"one"} if "some" in needed else set()) and config.one not in languages:
        raise ConfigError(f"`one` is '{config.one}'.{nearest_hint(config.one, languages)}")
    seconds = None
    if "some" in needed:
        seconds = sum(u.duration for u in corpora.source_utterances() if u.language == config.one)
    speech: dict[str, tuple[tuple[str, ...], float | None]] = {"some": ((), seconds), "one": ((config.one,), None)}
    seeds = [*config.seeds, *config.extra_seeds]
    jobs = []
    for kind in ("all", "some", "one", *KINDS):
        if kind not in needed:
            continue
        for seed in seeds if config.source_seed is None else [config.source_seed]:
            drawn, loss = speech.get(kind, ((), None)), kind if kind in KINDS else "plain"
            made = _seeded_source(config.source, seed)
            jobs.append(SourceJob(f"{kind}-{seed}", *drawn, made, loss, config.separation))
    points = [
        _point(config, name, amount, seed)
        for amount in config.amounts
        for seed in (seeds if amount <= config.few else config.seeds)
        for name in config.systems
        if amount in config.amounts_of.get(name, config.amounts)
    ]
    return jobs, points


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
        say: called with a line at each stage.
        backend: where processes run.
    """
    languages, target = check_languages(corpora)
    jobs, points = plan(config, corpora, languages)
    say(f"{', '.join(languages) or 'no source languages'}, then '{target}'")
    run_sweep(
        folder,
        [(corpora, job) for job in jobs],
        [(corpora, point, config.amounts) for point in points],
        config.source.model.features,
        workers,
        say,
        backend,
    )
    return summarise(folder, points, list(corpora.tests))


def summarise(folder: Path, points: Sequence[Point], tests: Iterable[str]) -> list[Row]:
    """Return a row for each test set, system and amount; reductions are held against the strongest start from scratch.

    That is `scratch-long` at the amounts where it was run, else `scratch`.
    """
    run = {(p.minutes, p.system) for p in points}
    rows = []
    for test in tests:
        aligned = {point.name: load_point(folder, point, test) for point in points}
        for minutes, system in dict.fromkeys((p.minutes, p.system) for p in points):
            own = [p for p in points if (p.minutes, p.system) == (minutes, system)]
            base = next((name for name in FROM_SCRATCH if (minutes, name) in run), "")
            against, plain = (
                {p.seed: p for p in points if (p.minutes, p.system) == (minutes, other) and system != other}
                for other in (base, PLAIN)
            )
            helped = SYSTEMS[system].mode != "scratch"
            row = _row(folder, test, own, against, plain if helped else {}, aligned)
            rows.append(replace(row, baseline=base if against else ""))
    return rows


def factors(folder: Path, points: Sequence[Point], test: str, baseline: str) -> dict[str, DataFactor]:
    """Return for each system how many times its data `baseline` needs for the same error.

    The error is what the baseline reaches with its largest amount.
    """
    observed: dict[str, list[Observation]] = {}
    for point in points:
        found = observe(load_point(folder, point, test), point.minutes, str(point.seed))
        observed.setdefault(point.system, []).extend(found)
    # Seeds that were run at the smallest amounts only would make curves of unlike points.
    every = {(o.amount, o.seed) for own in observed.values() for o in own}
    amounts = {amount for amount, _ in every}
    whole = {seed for _, seed in every if all((amount, seed) in every for amount in amounts)}
    kept = {name: [o for o in own if o.seed in whole] for name, own in observed.items()}
    made = {}
    for name, own in kept.items():
        same = {(o.amount, o.seed) for o in own} & {(o.amount, o.seed) for o in kept.get(baseline, [])}
        if name == baseline or len({amount for amount, _ in same}) < 2:
            continue
        try:
            made[name] = data_factor(
                [o for o in kept[baseline] if (o.amount, o.seed) in same],
                [o for o in own if (o.amount, o.seed) in same],
            )
        except DataError:
            continue  # the two were run with different seeds
    return made


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


def load_point(folder: Path, point: Point, test: str) -> Alignments:
    """Return a finished point's alignments on a test set."""
    rows = read_hypotheses(folder / "points" / point.name / test / "hypotheses.jsonl").utterances
    return align(rows, error_unit(point.config.units))


def _row(
    folder: Path,
    test: str,
    own: Sequence[Point],
    against: Mapping[int, Point],
    plain: Mapping[int, Point],
    aligned: Mapping[str, Alignments],
) -> Row:
    errors = [aligned[p.name].errors for p in own]
    units = [aligned[p.name].reference for p in own]
    rates = [float(e.sum() / u.sum()) for e, u in zip(errors, units, strict=True)]
    found: list[float | None] = []
    for others in (against, plain):
        paired = [p for p in own if p.seed in others]
        if paired:
            change = reduction([aligned[others[p.seed].name] for p in paired], [aligned[p.name] for p in paired])
            found += [change.share, change.low, change.high]
        else:
            found += [None, None, None]
    records = [read_point(folder / "points" / p.name) for p in own]
    sources = [read_point(folder / "sources" / p.source) for p in own if p.source is not None]
    return Row(
        test,
        own[0].system,
        own[0].minutes,
        len(own),
        float(sum(e.sum() for e in errors) / sum(u.sum() for u in units)),
        float(np.std(rates, ddof=1)) if len(rates) > 1 else 0.0,
        found[0],
        found[1],
        found[2],
        _mean(r["training"]["cpu_seconds"] for r in records),
        _mean(r["training"]["cpu_seconds"] for r in sources),
        found[3],
        found[4],
        found[5],
    )


def long_steps(before: TrainerConfig, own: TrainerConfig) -> int:
    """Return the steps of `own` that read as much speech as both trainings, whatever the sizes of their batches."""
    return own.steps + round(before.steps * before.batch_budget / own.batch_budget)


def short(trainer: TrainerConfig) -> TrainerConfig:
    """Return a training of a tenth of the steps."""
    return replace(trainer, steps=max(10, trainer.steps // 10), validate_every=trainer.validate_every // 10)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _seeded_source(config: SourceConfig, seed: int) -> SourceConfig:
    return replace(config, trainer=replace(config.trainer, seed=seed))


def _point(config: CurveConfig, name: str, amount: float, seed: int) -> Point:
    system = SYSTEMS[name]
    own = config.learn.trainer
    steps = long_steps(config.source.trainer, own) if system.long else own.steps
    source_seed = seed if config.source_seed is None else config.source_seed
    learn = replace(config.learn, mode=system.mode, trainer=replace(config.learn.trainer, steps=steps, seed=seed))
    if system.mode in SOURCELESS:
        learn = replace(learn, model=config.source.model)
    return Point(name, amount, seed, f"{system.source}-{source_seed}" if system.source else None, learn)
