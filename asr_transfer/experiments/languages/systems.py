"""Defines the systems of a data-amount curve, its settings, and the models that these settings call for.

Every system sees the same nested subsets, the same development set chooses its weights, and what it is given beside the
target's speech is said: `scratch` takes the steps of the fine-tuning alone, `scratch-long` as many as pre-training and
fine-tuning together, so that transfer is never held against a smaller budget only, and `scratch-tuned` takes those with
the settings that a small search chose for it. After Huang et al. (2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from asr_transfer.config import SourceConfig, TrainerConfig
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.experiments.languages.points import Corpora, Point
from asr_transfer.experiments.languages.search import ScratchSearch, Tried, tuned
from asr_transfer.experiments.languages.sources import Kind, SeparationConfig, SourceModel
from asr_transfer.languages.config import LanguageConfig, Mode
from asr_transfer.languages.ways import WAYS
from asr_transfer.ranges import Filled, Positive, Ranged, Seed, Weight

LONG, TUNED = "scratch-long", "scratch-tuned"
FROM_SCRATCH = (TUNED, LONG, "scratch")
"""Systems that others are held against: at each amount the one that is better on the development speech."""


@dataclass(frozen=True)
class System:
    """How a system comes to the target language.

    Attributes:
        source: `all` languages, `some` of their speech as much as the one language has, the `one` language, all
            languages trained to be `adversarial` or `shared-private`, or none.
        mode: mode of `LanguageConfig`.
        long: whether it also takes the steps that others spend on the source languages.
        tuned: its settings are those that a search on development speech chose.
        published: it begins with a published encoder, `pretrained`.
    """

    source: str | None
    mode: Mode
    long: bool = False
    tuned: bool = False
    published: bool = False


SYSTEMS: Mapping[str, System] = {
    "scratch": System(None, "scratch"),
    LONG: System(None, "scratch", long=True),
    TUNED: System(None, "scratch", long=True, tuned=True),
    "transfer": System("all", "all"),
    "transfer-head": System("all", "head"),
    "transfer-top": System("all", "top"),
    "transfer-gradual": System("all", "gradual"),
    "joint": System("all", "joint"),
    "one-language": System("one", "all"),
    "all-equal-hours": System("some", "all"),
    "adversarial": System("adversarial", "all"),
    "shared-private": System("shared-private", "all"),
    "progressive": System("all", "progressive"),
    "progressive-random": System(None, "progressive-random"),
    "published": System(None, "all", published=True),
    "published-top": System(None, "top", published=True),
}
KINDS: tuple[Kind, ...] = ("adversarial", "shared-private")
PLAIN = ("transfer", "all-equal-hours")
"""The systems that the others with help from elsewhere are held against: the first of them that is there."""


@dataclass(frozen=True)
class CurveConfig(Ranged):
    """An experiment over the amount of target speech.

    Attributes:
        amounts: minutes, rising; each amount's speech is part of the next one's.
        systems: names out of `SYSTEMS`.
        amounts_of: amounts, by system, that it is run at, where these are not all.
        seeds: random seeds of subsets, weights and batches; each has a source model of its own, unless `source_seed` is
            given.
        source_seed: the one source model of every kind is trained with this seed, and serves all seeds.
        few: amounts up to which `extra_seeds` are run as well, where a seed decides more than the amount.
        extra_seeds: further seeds there.
        seeds_of: seeds, by system, that it is run with, where these are not all.
        one: the language that `one-language` begins with.
        source: training of the source models.
        learn: learning of the target; its `mode` is the system's.
        separation: settings of the systems `adversarial` and `shared-private`.
        search: settings that are tried for a start from scratch, for the system `scratch-tuned`.
        pretrained: published encoder that the systems `published` and `published-top` begin with, its folder or name on
            the hub.
    """

    amounts: Annotated[tuple[Positive, ...], Filled(rising=True)] = (5, 10, 20, 40)
    systems: Annotated[tuple[str, ...], Filled()] = ("scratch", "scratch-long", "transfer")
    amounts_of: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    seeds: Annotated[tuple[Seed, ...], Filled()] = (0, 1, 2)
    few: Weight = 0
    extra_seeds: tuple[Seed, ...] = ()
    seeds_of: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    one: str = "cs"
    source_seed: Seed | None = None
    source: SourceConfig = field(default_factory=SourceConfig)
    learn: LanguageConfig = field(default_factory=LanguageConfig)
    separation: SeparationConfig = field(default_factory=SeparationConfig)
    search: ScratchSearch = field(default_factory=ScratchSearch)
    pretrained: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.systems:
            if name not in SYSTEMS:
                raise ConfigError(f"`systems`: there is no '{name}'.{nearest_hint(name, SYSTEMS)}")
        if len({*self.seeds, *self.extra_seeds}) < len(self.seeds + self.extra_seeds):
            raise ConfigError("no seed may stand twice in `seeds` and `extra_seeds`; leave one of the two out.")
        for option, known in (
            ("amounts_of", set(self.amounts)),
            ("seeds_of", {*self.seeds, *self.extra_seeds}),
        ):
            for name, own in getattr(self, option).items():
                if name not in SYSTEMS:
                    raise ConfigError(f"`{option}`: there is no system '{name}'.{nearest_hint(name, SYSTEMS)}")
                if unknown := sorted(set(own) - known):
                    raise ConfigError(
                        f"`{option}.{name}` names {unknown[0]:g}, which is not among the {option[:-3]}; add it there."
                    )
        if self.pretrained is None and (lacking := [name for name in self.systems if SYSTEMS[name].published]):
            raise ConfigError(f"`systems`: {lacking[0]} begins with a published encoder; give `pretrained`.")
        on_published = [name for name in self.systems if SYSTEMS[name].source and WAYS[SYSTEMS[name].mode].on_published]
        if on_published and self.source.model.pretrained is None:
            raise ConfigError(
                f"`systems`: {on_published[0]} needs source models on a published encoder; give "
                "`source.model.pretrained`."
            )
        if self.searches:
            self._check_search()

    def _check_search(self) -> None:
        if not self.search.candidates:
            raise ConfigError(f"`systems`: {TUNED} needs settings to choose from; name some in `search.candidates`.")
        if not self._runs(LONG, self._search_minutes, self.seeds[0]):
            raise ConfigError(
                f"settings are searched for at {self._search_minutes:g} minutes, but {LONG}, which they change, "
                f"is not run there with the seed {self.seeds[0]}; add it to `systems`, `amounts_of` and `seeds_of`, or "
                "give other `search.minutes`."
            )

    @property
    def searches(self) -> bool:
        """Return whether settings are searched for."""
        return TUNED in self.systems

    @property
    def search_start(self) -> Point:
        """Return the point whose settings the search changes."""
        return _point(self, LONG, self._search_minutes, self.seeds[0])

    @property
    def _search_minutes(self) -> float:
        run = self.amounts_of.get(LONG, self.amounts) or self.amounts
        return self.search.minutes if self.search.minutes is not None else run[len(run) // 2]

    def _runs(self, system: str, amount: float, seed: int) -> bool:
        """Return whether a system is run at an amount with a seed."""
        seeds = (*self.seeds, *self.extra_seeds) if amount <= self.few else self.seeds
        return (
            system in self.systems
            and amount in self.amounts
            and amount in self.amounts_of.get(system, self.amounts)
            and seed in seeds
            and seed in self.seeds_of.get(system, seeds)
        )

    def shortened(self) -> CurveConfig:
        """Return a small experiment: one seed, two amounts (long systems: one), no search, a tenth of the steps."""
        long = [name for name in self.systems if SYSTEMS[name].long]
        systems = tuple(name for name in self.systems if not SYSTEMS[name].tuned)
        amounts_of = {**dict.fromkeys(long, self.amounts[:1]), **self.amounts_of}
        kept = {name: self.amounts[: 1 if name in long else 2] for name in amounts_of}
        return replace(
            self,
            amounts=self.amounts[:2],
            systems=systems,
            amounts_of={name: tuple(a for a in own if a in kept[name]) for name, own in amounts_of.items()},
            seeds=self.seeds[:1],
            extra_seeds=(),
            seeds_of={name: self.seeds[:1] for name, own in self.seeds_of.items() if self.seeds[0] in own},
            source=replace(self.source, trainer=short(self.source.trainer)),
            learn=replace(self.learn, trainer=short(self.learn.trainer)),
        )


def plan(
    config: CurveConfig, corpora: Corpora, languages: Sequence[str], tried: Sequence[Tried] = ()
) -> tuple[list[SourceModel], list[Point]]:
    """Return the source models and the points of an experiment.

    Args:
        config: the experiment.
        corpora: its manifests.
        languages: source languages that there are.
        tried: result of the search for settings; before it, `scratch-tuned` has no points.

    Raises:
        ConfigError: a system needs source languages, or development speech to choose its settings on, and there is
            none.
    """
    needed = {SYSTEMS[name].source for name in config.systems} - {None}
    if needed and not languages:
        helped = next(name for name in config.systems if SYSTEMS[name].source)
        raise ConfigError(f"there are no source languages, which the system `{helped}` needs; give `sources`.")
    if "one" in needed | ({"one"} if "some" in needed else set()) and config.one not in languages:
        raise ConfigError(f"`one` is '{config.one}'.{nearest_hint(config.one, languages)}")
    if config.searches and not corpora.dev:
        raise ConfigError(f"`{TUNED}` chooses its settings on development speech, but the target has no dev manifest.")
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
            jobs.append(SourceModel(f"{kind}-{seed}", *drawn, made, loss, config.separation))
    points = [
        _point(config, name, amount, seed, tried)
        for amount in config.amounts
        for seed in seeds
        for name in config.systems
        if config._runs(name, amount, seed) and (tried or not SYSTEMS[name].tuned)
    ]
    return jobs, points


def long_steps(before: TrainerConfig, own: TrainerConfig) -> int:
    """Return the steps of `own` that read as much speech as both trainings, whatever the sizes of their batches."""
    return own.steps + round(before.steps * before.batch_budget / own.batch_budget)


def short(trainer: TrainerConfig) -> TrainerConfig:
    """Return a training of a tenth of the steps."""
    return replace(trainer, steps=max(10, trainer.steps // 10), validate_every=trainer.validate_every // 10)


def _seeded_source(config: SourceConfig, seed: int) -> SourceConfig:
    return replace(config, trainer=replace(config.trainer, seed=seed))


def _point(config: CurveConfig, name: str, amount: float, seed: int, tried: Sequence[Tried] = ()) -> Point:
    system = SYSTEMS[name]
    own = config.learn.trainer
    steps = long_steps(config.source.trainer, own) if system.long else own.steps
    source_seed = seed if config.source_seed is None else config.source_seed
    learn = replace(config.learn, mode=system.mode, trainer=replace(config.learn.trainer, steps=steps, seed=seed))
    if not WAYS[system.mode].needs_source:
        learn = replace(learn, model=config.source.model.own())
    if system.tuned:
        learn = tuned(config.search, tried, learn)
    source = f"{system.source}-{source_seed}" if system.source else None
    return Point(name, amount, seed, source, learn, config.pretrained if system.published else None)
