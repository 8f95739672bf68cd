"""Measures every language as the source of every other: what each helps with a few minutes of the target, and harms.

Each language's training speech is cut into two halves, once for all. Source models are trained on one half, targets
learn from some minutes of the other, so that a language can also be its own source (self-transfer), by the very same
procedure and on other recordings. All source models take the same number of steps, all targets too. Beside them stand
a model that starts from random weights (`scratch`) and one that does so and takes the steps of source and target
together (`scratch-long`), so that nothing is called transfer that more computing gives as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asr_transfer.config import SourceConfig
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.evaluation.compare import ALPHA
from asr_transfer.evaluation.normalisation import Unit
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.evaluation.scoring import Alignments, align
from asr_transfer.evaluation.significance import holm
from asr_transfer.evaluation.transfer_table import Cell, TransferTable, shown, with_holm
from asr_transfer.experiments.core.effects import (
    difference_over_seeds,
    figures,
    pooled_rate,
    rate_over_seeds,
    reduction,
)
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.languages.points import (
    Corpora,
    Point,
    TrainPoint,
    error_unit,
    read_corpora,
    read_point,
)
from asr_transfer.experiments.languages.sources import SourceModel, TrainSource
from asr_transfer.experiments.languages.sweep import run_sweep
from asr_transfer.experiments.languages.systems import long_steps, short
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.models.kinds import network_inputs
from asr_transfer.ranges import Positive, Ranged, Seeds
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend

SCRATCH, LONG = "scratch", "scratch-long"


@dataclass(frozen=True)
class Manifests:
    """The manifests of a language, by the name of the corpus."""

    train: dict[str, str]
    dev: dict[str, str]
    test: dict[str, str]

    @staticmethod
    def by_language(folders: Mapping[str, Path], languages: Mapping[str, str]) -> dict[str, Manifests]:
        """Return the manifests of each language in folders of `train`, `dev` and `test`, as `prepare` writes them.

        A corpus that lacks one of them is left out.

        Args:
            folders: folders by the name of the corpus.
            languages: languages of the corpora.
        """
        made: dict[str, Manifests] = {}
        for name, folder in folders.items():
            own = made.setdefault(languages[name], Manifests({}, {}, {}))
            paths = [folder / f"{split}.jsonl" for split in ("train", "dev", "test")]
            if all(path.is_file() for path in paths):
                for part, path in zip((own.train, own.dev, own.test), paths, strict=True):
                    part[name] = str(path)
        return {language: own for language, own in made.items() if own.train}


def note_manifests(record: RunRecord, languages: Mapping[str, Manifests]) -> None:
    """Note the manifests of all languages in the record of a run.

    Raises:
        ConfigError: the run began with others.
    """
    for language, own in languages.items():
        for split, manifests in (("train", own.train), ("dev", own.dev), ("test", own.test)):
            for name, path in manifests.items():
                record.data(f"{language} {name} {split}", path, read_manifest(path))


@dataclass(frozen=True)
class PairsConfig(Ranged):
    """An experiment over pairs of languages.

    Attributes:
        languages: languages that are source and target to each other; none takes all that there are.
        minutes: amount of each target's speech.
        source_minutes: greatest amount of each source's speech, so that a language with more of it is no better a
            source for that; None for half of what each has.
        seeds: random seeds of subsets, weights and batches.
        source: training of the source models; its `units_of` hold for the targets too.
        learn: learning of the targets.
    """

    languages: tuple[str, ...] = ()
    minutes: Positive = 3
    source_minutes: Positive | None = None
    seeds: Seeds = (0,)
    source: SourceConfig = field(default_factory=SourceConfig)
    learn: LanguageConfig = field(default_factory=LanguageConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.languages)) < len(self.languages) or len(self.languages) == 1:
            raise ConfigError(f"`languages` must be two or more different ones, got {', '.join(self.languages)}.")
        if self.learn.mode not in ("head", "all", "gradual"):
            raise ConfigError(f"`learn.mode` {self.learn.mode} does not fit here; take head, all or gradual.")

    def shortened(self) -> PairsConfig:
        """Return a small experiment of the same kind: the first three of `languages`, a tenth of the steps."""
        return replace(
            self,
            languages=self.languages[:3],
            minutes=min(1.0, self.minutes),
            seeds=self.seeds[:1],
            source=replace(self.source, trainer=short(self.source.trainer)),
            learn=replace(self.learn, trainer=short(self.learn.trainer)),
        )


@dataclass(frozen=True)
class Pair:
    """What a source is worth to a target, over all seeds.

    Attributes:
        source, target: languages; equal for self-transfer.
        unit: unit that is counted, characters or words (of phones, phones).
        rate: error rate.
        scratch, scratch_long: error rates without a source, with the target's steps and with both.
        gain, gain_low, gain_high: R = (scratch-long − pair) / scratch-long with its 95 % interval; negative where the
            source harms.
        gain_p: corrected by Holm's method for all pairs.
        plain, plain_low, plain_high: the same against `scratch`.
    """

    source: str
    target: str
    unit: str
    rate: float
    scratch: float
    scratch_long: float
    gain: float
    gain_low: float | None
    gain_high: float | None
    gain_p: float
    plain: float
    plain_low: float | None
    plain_high: float | None


def choose_languages(config: PairsConfig, there: Mapping[str, Manifests]) -> list[str]:
    """Return the languages of an experiment.

    Raises:
        ConfigError: one is not there, or fewer than two are.
    """
    for name in config.languages:
        if name not in there:
            raise ConfigError(f"`languages`: there is no speech in '{name}'.{nearest_hint(name, there)}")
    names = list(config.languages) or sorted(there)
    if len(names) < 2:
        raise ConfigError(f"a table of pairs needs two or more languages, but there is only {', '.join(names)}.")
    return names


def halve(there: Mapping[str, Manifests], names: Sequence[str], folder: Path) -> dict[str, Corpora]:
    """Cut each language's training speech into halves, and return the corpora of each language as target.

    The halves are manifests in `folder`, `LANGUAGE-source.jsonl` and `LANGUAGE-target.jsonl`. All targets have the same
    sources: the source halves of all languages.

    Raises:
        DataError: a corpus holds another language than it is given for, or a language has fewer than two utterances.
    """
    sources = {}
    for name in names:
        every = sorted(read_corpora(there[name].train), key=lambda u: u.id)
        foreign = next((u for u in every if u.language != name), None)
        if foreign is not None:
            raise DataError(f"utterance '{foreign.id}' is in '{foreign.language}' but stands in a corpus of '{name}'.")
        if len(every) < 2:
            raise DataError(f"the language '{name}' has {len(every)} training utterance, which cannot be halved.")
        random.Random(f"halves/{name}").shuffle(every)
        for half, part in (("source", every[0::2]), ("target", every[1::2])):
            write_manifest(folder / f"{name}-{half}.jsonl", part)
        sources[name] = str(folder / f"{name}-source.jsonl")
    made = {}
    for name in names:
        own, train = there[name], {name: str(folder / f"{name}-target.jsonl")}
        made[name] = Corpora(sources, train, own.dev, own.test)
    return made


def plan_pairs(config: PairsConfig, corpora: Mapping[str, Corpora]) -> tuple[list[TrainSource], list[TrainPoint]]:
    """Return the source models and points of an experiment over the languages of `corpora`."""
    sources: list[TrainSource] = []
    points: list[TrainPoint] = []
    seconds = None if config.source_minutes is None else 60 * config.source_minutes
    for seed in config.seeds:
        for name, own in corpora.items():
            trainer = replace(config.source.trainer, seed=seed)
            source = replace(config.source.only((name,)), trainer=trainer)
            sources.append(TrainSource(own, SourceModel(f"{name}-{seed}", (name,), seconds, source)))
        for target, own in corpora.items():
            for system in (SCRATCH, LONG, *corpora):
                points.append(TrainPoint(own, _point(config, system, target, seed), (config.minutes,)))
    return sources, points


def run_pairs(
    config: PairsConfig,
    there: Mapping[str, Manifests],
    folder: Path,
    workers: int,
    say: Callable[[str], None],
    backend: Backend = "processes",
) -> tuple[list[Pair], TransferTable]:
    """Train all source models and points that are not trained yet, and return what each pair gained and the rates.

    The table of rates holds every pair against self-transfer, the diagonal.

    Args:
        config: the experiment.
        there: manifests by language.
        folder: run folder of the experiment; `halves`, `sources` and `points` are made below it.
        workers: parallel processes of one thread each.
        say: function that is called with a line at each stage.
        backend: place where processes run.
    """
    names = choose_languages(config, there)
    corpora = halve(there, names, folder / "halves")
    sources, points = plan_pairs(config, corpora)
    say(f"sources and targets: {', '.join(names)}; {config.minutes:g} minutes of each target")
    run_sweep(folder, sources, points, network_inputs(config.source.model), workers, say, backend)
    scored = {
        (system, target): [_scored(folder, config, system, target, seed) for seed in config.seeds]
        for target in names
        for system in (SCRATCH, LONG, *names)
    }
    pairs = [_pair(scored, source, target, _unit(config, target)) for source in names for target in names]
    corrected = holm([pair.gain_p for pair in pairs])
    pairs = [replace(pair, gain_p=p) for pair, p in zip(pairs, corrected, strict=True)]
    return pairs, _rates(scored, names)


def pairs_tables(pairs: Sequence[Pair]) -> list[Table]:
    """Return what each source is worth to each target: against both starts from scratch, and as error rates."""
    targets, sources = (list(dict.fromkeys(getattr(pair, end) for pair in pairs)) for end in ("target", "source"))
    by_ends = {(pair.source, pair.target): pair for pair in pairs}

    def matrix(title: str, cell: Callable[[Pair], str], controls: Mapping[str, Callable[[Pair], float]] = {}) -> Table:
        def texts(source: str) -> Iterator[str]:
            for target in targets:
                text = cell(by_ends[source, target])
                yield f"**{text}**" if source == target else text

        rows = [(source, *texts(source)) for source in sources]
        for name, rate in controls.items():
            rows.append((name, *(percent(rate(by_ends[sources[0], target])) for target in targets)))
        return Table(("source \\ target", *targets), tuple(rows), title)

    def gain(pair: Pair) -> str:
        star = " *" if pair.gain_p < ALPHA else ""
        return f"{percent(pair.gain, 0)} ({span(pair.gain_low, pair.gain_high)}){star}"

    return [
        matrix(
            "Errors less than from scratch with as many steps as source and target together, %, with 95 % intervals; "
            "bold: self-transfer; *: p < 0.05 after Holm's correction.",
            gain,
        ),
        matrix(
            "The same against scratch with the target's steps only.",
            lambda pair: f"{percent(pair.plain, 0)} ({span(pair.plain_low, pair.plain_high)})",
        ),
        matrix(
            f"Error rates, %, in {' and '.join(sorted({f'{pair.unit}s' for pair in pairs}))}.",
            lambda pair: percent(pair.rate),
            {"scratch": lambda pair: pair.scratch, "scratch, all steps": lambda pair: pair.scratch_long},
        ),
    ]


def rates_table(rates: TransferTable) -> Table:
    """Return the error rates with intervals, each against self-transfer."""

    def text(cell: Cell | None) -> str:
        return f"**{shown(cell)}**" if cell is not None and cell.source == cell.target else shown(cell)

    rows = tuple((name, *map(text, cells)) for name, cells in zip(rates.names, rates.rows(), strict=True))
    title = "Error rates with intervals, against self-transfer:"
    return Table(("source \\ target", *rates.headings()), rows, title)


def _point(config: PairsConfig, system: str, target: str, seed: int) -> Point:
    own = config.learn.trainer
    steps = long_steps(config.source.trainer, own) if system == LONG else own.steps
    units = config.source.units_of.get(target, config.learn.units)
    pieces = config.learn.pieces if units == "subwords" else None
    trainer = replace(own, steps=steps, seed=seed)
    learn = replace(config.learn, units=units, pieces=pieces, trainer=trainer)
    if system in (SCRATCH, LONG):
        learn = replace(learn, mode="scratch", model=config.source.model.own())
        return Point(f"{system}-to-{target}", config.minutes, seed, None, learn)
    return Point(f"{system}-to-{target}", config.minutes, seed, f"{system}-{seed}", learn)


def _unit(config: PairsConfig, target: str) -> Unit:
    return error_unit(config.source.units_of.get(target, config.learn.units))


def _scored(folder: Path, config: PairsConfig, system: str, target: str, seed: int) -> Alignments:
    return align(read_point(folder, _point(config, system, target, seed)), _unit(config, target))


def _rates(scored: Mapping[tuple[str, str], Sequence[Alignments]], names: Sequence[str]) -> TransferTable:
    """Return all pairs' error rates over seeds, each against self-transfer."""
    cells = {}
    for source in names:
        for target in names:
            own, self_transfer = scored[source, target], scored[target, target]
            found = rate_over_seeds(own)
            control = difference_over_seeds(self_transfer, own) if source != target else None
            rate = (found.value, found.low, found.high, "seeds", found.clusters)
            cells[source, target] = Cell(source, target, *rate, control)
    return TransferTable(tuple(names), with_holm(cells))


def _pair(scored: Mapping[tuple[str, str], Sequence[Alignments]], source: str, target: str, unit: str) -> Pair:
    own, plain, long = (scored[system, target] for system in (source, SCRATCH, LONG))
    gain, over = reduction(long, own), reduction(plain, own)
    return Pair(
        source,
        target,
        unit,
        pooled_rate(own),
        pooled_rate(plain),
        pooled_rate(long),
        *figures(gain),
        gain.p,
        *figures(over),
    )
