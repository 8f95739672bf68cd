"""Finds source languages that help a target or harm it: leaves each one out of all, and adds each one to a base.

All source models take the same number of steps, whatever they are trained on, so that a language is not called helpful
for the mere speech that is trained on longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from asr_transfer.config import SourceConfig
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.evaluation.compare import ALPHA
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.evaluation.scoring import Alignments
from asr_transfer.evaluation.significance import holm
from asr_transfer.experiments.core.effects import figures, pooled_rate, reduction
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.languages.points import Corpora, Point, TrainPoint, check_languages, load_point
from asr_transfer.experiments.languages.sources import SourceModel, TrainSource
from asr_transfer.experiments.languages.sweep import run_sweep
from asr_transfer.experiments.languages.systems import long_steps, short
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.models.kinds import network_inputs
from asr_transfer.ranges import Filled, Positive, Ranged, Seeds
from asr_transfer.runs.workers import Backend

Design = Literal["leave-out", "add"]
SCRATCH, ALL, BASE = "scratch-long", "all", "base"


@dataclass(frozen=True)
class NegativeConfig(Ranged):
    """An experiment over the source languages of one target.

    Attributes:
        minutes: amount of the target's speech.
        seeds: random seeds of subsets, weights and batches; each has source models of its own.
        languages: sources that come into question; none takes all that there are.
        base: source languages that each other one is added to; none adds each to nothing, so that it is the only
            source, held against starting from scratch with the steps of source and target together.
        designs: experiments that are run, one or both.
        source: training of the source models.
        learn: learning of the target.
    """

    minutes: Positive = 10
    seeds: Seeds = (0, 1, 2)
    languages: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    designs: Annotated[tuple[Design, ...], Filled(distinct=True)] = ("leave-out", "add")
    source: SourceConfig = field(default_factory=SourceConfig)
    learn: LanguageConfig = field(default_factory=LanguageConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learn.mode in ("scratch", "joint", "progressive-random"):
            raise ConfigError(f"`learn.mode` {self.learn.mode} does not fit here; take one that begins with a source.")

    def shortened(self) -> NegativeConfig:
        """Return a small experiment of the same kind: the first three of `languages`, a seed, a tenth of the steps."""
        return replace(
            self,
            seeds=self.seeds[:1],
            languages=self.languages[:3],
            source=replace(self.source, trainer=short(self.source.trainer)),
            learn=replace(self.learn, trainer=short(self.learn.trainer)),
        )


@dataclass(frozen=True)
class Effect:
    """What a source language does to a target, over all seeds.

    Attributes:
        test: set.
        design: `leave-out`, or `add`.
        language: code of the language.
        without, rate: error rates without the language and with it.
        share, low, high: part of the errors without it that it takes away, with its 95 % interval; negative where it
            harms.
        p: two-sided p that it changes nothing, corrected by Holm's method for all languages of the design on this test
            set.
        verdict: `helps` or `harms` where p is below 0.05, else empty.
    """

    test: str
    design: str
    language: str
    without: float
    rate: float
    share: float
    low: float | None
    high: float | None
    p: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Two systems that differ in one source language."""

    design: Design
    language: str
    without: str
    with_it: str


def plan_negative(
    config: NegativeConfig, there: Sequence[str]
) -> tuple[list[SourceModel], list[Point], list[Comparison]]:
    """Return the source models, the points, and which points are compared.

    Args:
        config: the experiment.
        there: source languages.

    Raises:
        ConfigError: a language is not there, or there are too few to leave one out.
    """
    for name in (*config.languages, *config.base):
        if name not in there:
            raise ConfigError(f"there are no source utterances in '{name}'.{nearest_hint(name, there)}")
    names = sorted({*(config.languages or there), *config.base})
    trained: dict[str, tuple[str, ...]] = {}
    compared = []
    if "leave-out" in config.designs:
        if len(names) < 2:
            raise ConfigError("to leave a source language out there must be two or more; give more, or only `add`.")
        trained[ALL] = tuple(names)
        for name in names:
            trained[f"without-{name}"] = tuple(other for other in names if other != name)
            compared.append(Comparison("leave-out", name, f"without-{name}", ALL))
    if "add" in config.designs:
        if config.base:
            trained[BASE] = tuple(sorted(config.base))
        for name in names:
            if name not in config.base:
                trained[f"{BASE}+{name}"] = tuple(sorted({*config.base, name}))
                compared.append(Comparison("add", name, BASE if config.base else SCRATCH, f"{BASE}+{name}"))
    systems = list(trained) + ([SCRATCH] if any(c.without == SCRATCH for c in compared) else [])
    jobs, points = [], []
    for seed in config.seeds:
        for system, languages in trained.items():
            source = replace(config.source.only(languages), trainer=replace(config.source.trainer, seed=seed))
            jobs.append(SourceModel(f"{system}-{seed}", languages, None, source))
        points += [_point(config, system, seed) for system in systems]
    return jobs, points, compared


def run_negative(
    config: NegativeConfig,
    corpora: Corpora,
    folder: Path,
    workers: int,
    say: Callable[[str], None],
    backend: Backend = "processes",
) -> list[Effect]:
    """Train all source models and points that are not trained yet, and return what each source language does.

    Args:
        config: the experiment.
        corpora: its manifests.
        folder: run folder of the experiment; `sources` and `points` below it hold a run folder for each model.
        workers: parallel processes of one thread each.
        say: function that is called with a line at each stage.
        backend: place where processes run.
    """
    languages, target = check_languages(corpora)
    jobs, points, compared = plan_negative(config, languages)
    say(f"{config.minutes:g} minutes of '{target}'; {len(compared)} comparisons")
    # Telling languages apart is no part of this experiment.
    plain = replace(corpora, source_tests={})
    run_sweep(
        folder,
        [TrainSource(plain, job) for job in jobs],
        [TrainPoint(plain, point, (config.minutes,)) for point in points],
        network_inputs(config.source.model),
        workers,
        say,
        backend,
    )
    found = []
    for test in corpora.tests:
        aligned = {(p.system, p.seed): load_point(folder, p, test) for p in points}
        for design in config.designs:
            own = [c for c in compared if c.design == design]
            effects = [_effect(config, test, comparison, aligned) for comparison in own]
            for effect, p in zip(effects, holm([e.p for e in effects]), strict=True):
                verdict = "" if p >= ALPHA else "helps" if effect.share > 0 else "harms"
                found.append(replace(effect, p=p, verdict=verdict))
    return found


def negative_tables(effects: Sequence[Effect]) -> list[Table]:
    """Return what each source language does, the most harmful first, a table for each test set and design."""
    titles = {"leave-out": "left out of all", "add": "added"}
    tables = []
    for test, design in dict.fromkeys((effect.test, effect.design) for effect in effects):
        own = [effect for effect in effects if (effect.test, effect.design) == (test, design)]
        tables.append(
            Table.of(
                sorted(own, key=lambda effect: effect.share),
                [
                    ("language", lambda effect: effect.language),
                    ("error without %", lambda effect: percent(effect.without)),
                    ("error with %", lambda effect: percent(effect.rate)),
                    ("fewer errors with %", lambda effect: percent(effect.share)),
                    ("95 % interval", lambda effect: span(effect.low, effect.high)),
                    ("p (Holm)", lambda effect: f"{effect.p:.3f}"),
                    ("verdict", lambda effect: effect.verdict or "–"),
                ],
                title=f"Test set `{test}`, each language {titles[design]}:",
            )
        )
    return tables


def _point(config: NegativeConfig, system: str, seed: int) -> Point:
    learn = replace(config.learn, trainer=replace(config.learn.trainer, seed=seed))
    if system != SCRATCH:
        return Point(system, config.minutes, seed, f"{system}-{seed}", learn)
    trainer = replace(learn.trainer, steps=long_steps(config.source.trainer, learn.trainer))
    own = config.source.model.own()
    return Point(
        system,
        config.minutes,
        seed,
        None,
        replace(learn, mode="scratch", model=own, trainer=trainer),
    )


def _effect(
    config: NegativeConfig,
    test: str,
    comparison: Comparison,
    aligned: dict[tuple[str, int], Alignments],
) -> Effect:
    before, after = (
        [aligned[system, seed] for seed in config.seeds] for system in (comparison.without, comparison.with_it)
    )
    change = reduction(before, after)
    return Effect(
        test,
        comparison.design,
        comparison.language,
        pooled_rate(before),
        pooled_rate(after),
        *figures(change),
        change.p,
        "",
    )
