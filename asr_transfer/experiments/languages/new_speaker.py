"""Measures what helps a new language with a speaker who was not trained on: each remedy alone and several together.

All rows begin with the same source model and take the same steps; the same development speech, of the speakers that are
trained on, chooses every row's weights. Nothing is chosen on the test speaker.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from asr_transfer.config import Normalisation, Padding, SourceConfig, SpecAugmentConfig, Warp
from asr_transfer.data.inputs import Wanted
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.experiments.core.effects import figures, rate_over_seeds, reduction, spread_over_seeds
from asr_transfer.experiments.core.ledger import mean_seconds, read_finished
from asr_transfer.experiments.core.tables import Column, Table
from asr_transfer.experiments.languages.points import (
    Corpora,
    Point,
    TrainPoint,
    load_point,
    load_source,
    read_corpora,
)
from asr_transfer.experiments.languages.sources import SourceModel, TrainSource
from asr_transfer.experiments.languages.sweep import run_sweep
from asr_transfer.experiments.languages.systems import short
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.ways import WAYS
from asr_transfer.models.kinds import network_inputs
from asr_transfer.ranges import Ranged, Seed, Seeds, Speeds, Weight
from asr_transfer.runs.workers import Backend

Remedy = Literal[
    "speeds", "warp", "channel", "silence", "deviation", "speech-mean", "adversarial", "speakers", "balanced"
]  # fmt: skip
"""Ways to a speaker never heard: more `speeds` of the recordings, random lengths of the vocal tract (`warp`), a random
`channel`, more or less `silence` around an utterance, features of `deviation` 1 or with the mean 0 over speech alone
(`speech-mean`), a discriminator of speakers with its gradient reversed (`adversarial`), speech of further `speakers`,
and speakers `balanced`: as much of every one."""

NORMALISATIONS: Mapping[Remedy, Normalisation] = {"deviation": "utterance", "speech-mean": "speech-mean"}

SYLLABLES = "syllables"
"""The test set: of the speaker never heard."""


PLAIN = "plain"
"""The row that the others are held against."""


@dataclass(frozen=True)
class NewSpeakerConfig(Ranged):
    """An experiment over remedies.

    Attributes:
        rows: remedies that are compared: `plain`, which must be there, and remedies, several joined by `+`.
        seeds: random seeds of weights and batches.
        source_seed: random seed of the one source model.
        speeds: copies of the training speech in `speeds`.
        warp: greatest relative change of the frequencies in `warp`.
        channel: deviation of the frequency response in `channel`.
        silence: greatest share put beside an utterance or taken away in `silence`.
        adversarial: weight of the discriminator's loss in `adversarial`.
        source: training of the source model.
        learn: learning of the target in `plain`.
    """

    rows: tuple[str, ...] = (PLAIN, *get_args(Remedy))
    seeds: Seeds = (0, 1, 2)
    source_seed: Seed = 0
    speeds: Speeds = (0.8, 0.9, 1.0, 1.1, 1.2)
    warp: Warp = 0.15
    channel: Weight = 0.5
    silence: Padding = 0.3
    adversarial: Weight = 0.1
    source: SourceConfig = field(default_factory=SourceConfig)
    learn: LanguageConfig = field(default_factory=lambda: LanguageConfig(units="toneless-phones"))

    def __post_init__(self) -> None:
        super().__post_init__()
        for row in self.rows:
            remedies(row)
        if PLAIN not in self.rows or len(set(self.rows)) < len(self.rows):
            raise ConfigError("`rows` must hold `plain`, which the others are held against, and none twice.")
        if self.learn.units != "toneless-phones":
            raise ConfigError(f"`learn.units` must be toneless-phones here, got {self.learn.units}.")
        if self.learn.mode not in ("all", "gradual", "top"):
            raise ConfigError(f"`learn.mode` {self.learn.mode} does not fit here; take all, gradual or top.")
        if WAYS[self.learn.mode].on_published and self.source.model.pretrained is None:
            raise ConfigError(
                f"`learn.mode` {self.learn.mode} needs a source model on a published encoder; give "
                "`source.model.pretrained`."
            )
        for row in self.rows:
            learning(self, row, 0)  # what settings refuse, they refuse now

    def shortened(self) -> NewSpeakerConfig:
        """Return a small experiment of the same kind: the first and the last row, a seed, a tenth of the steps."""
        return replace(
            self,
            rows=tuple(dict.fromkeys((PLAIN, self.rows[-1]))),
            seeds=self.seeds[:1],
            source=replace(self.source, trainer=short(self.source.trainer)),
            learn=replace(self.learn, trainer=short(self.learn.trainer)),
        )


@dataclass(frozen=True)
class Row:
    """What some remedies did on one test set, over all seeds.

    Attributes:
        test: set; those that end in `-lexicon` were recognised with a lexicon.
        remedies: joined by `+`.
        speakers, minutes: number of speakers and amount of the target's training speech.
        seeds: number of seeds.
        rate: errors over reference units of all seeds.
        low, high: its 95 % interval over seeds and utterances; None below four seeds.
        spread: standard deviation over seeds.
        share, share_low, share_high: part of plain transfer's errors that are made less, with its interval; None for
            that.
        cpu_seconds: mean, of the target's training.
    """

    test: str
    remedies: str
    speakers: int
    minutes: float
    seeds: int
    rate: float
    low: float | None
    high: float | None
    spread: float
    share: float | None
    share_low: float | None
    share_high: float | None
    cpu_seconds: float


def remedies(row: str) -> tuple[Remedy, ...]:
    """Return the remedies of a row's name.

    Raises:
        ConfigError: there is no such remedy, one stands twice, or two exclude each other.
    """
    if row == PLAIN:
        return ()
    names = row.split("+")
    for name in names:
        if name not in get_args(Remedy):
            raise ConfigError(f"`rows`: there is no remedy '{name}'.{nearest_hint(name, get_args(Remedy))}")
    if len(set(names)) < len(names):
        raise ConfigError(f"`rows`: '{row}' names a remedy twice.")
    if NORMALISATIONS.keys() <= set(names):
        raise ConfigError(f"`rows`: features have one normalisation, but '{row}' asks for two; leave one out.")
    return tuple(name for name in get_args(Remedy) if name in names)


def learning(config: NewSpeakerConfig, row: str, seed: int) -> LanguageConfig:
    """Return how a row learns the target."""
    own = remedies(row)
    learn = replace(config.learn, trainer=replace(config.learn.trainer, seed=seed))
    augment = learn.augment or SpecAugmentConfig(frequency_masks=0, time_masks=0)
    drawn = {name: getattr(config, name) for name in ("warp", "channel", "silence") if name in own}
    normalisation = next((NORMALISATIONS[name] for name in own if name in NORMALISATIONS), learn.normalisation)
    return replace(
        learn,
        augment=replace(augment, **drawn) if drawn else learn.augment,
        speeds=config.speeds if "speeds" in own else learn.speeds,
        normalisation=normalisation,
        speaker_adversarial=config.adversarial if "adversarial" in own else learn.speaker_adversarial,
        speaker_alpha=0.0 if "balanced" in own else learn.speaker_alpha,
    )


def plan_rows(config: NewSpeakerConfig, corpora: Corpora, further: Mapping[str, str]) -> list[TrainPoint]:
    """Return the points of an experiment.

    Args:
        config: the experiment.
        corpora: its manifests.
        further: manifests of the speakers that `speakers` adds to the training speech.

    Raises:
        ConfigError: a row needs further speakers and there are none.
    """
    planned: list[TrainPoint] = []
    amounts: dict[bool, float] = {}
    for row in config.rows:
        more = "speakers" in remedies(row)
        if more and not further:
            raise ConfigError(f"the row `{row}` needs further speakers, of whom there is no manifest; leave it out.")
        own = replace(corpora, train={**corpora.train, **further}) if more else corpora
        if more not in amounts:
            # Rounded down to tenths, so that the amount that is told is there.
            amounts[more] = int(sum(u.duration for u in read_corpora(own.train)) / 6) / 10
        amount = amounts[more]
        for seed in config.seeds:
            point = Point(row, amount, seed, f"all-{config.source_seed}", learning(config, row, seed))
            planned.append(TrainPoint(own, point, (amount,)))
    return planned


def run_new_speaker(
    config: NewSpeakerConfig,
    corpora: Corpora,
    further: Mapping[str, str],
    folder: Path,
    workers: int,
    say: Callable[[str], None],
    backend: Backend = "processes",
    source: Path | None = None,
) -> list[Row]:
    """Train the source model and all points that are not trained yet, and return the table's rows.

    Args:
        config: the experiment.
        corpora: its manifests; the test set `syllables` as `write_syllables` makes it.
        further: manifests of the speakers that `speakers` adds to the training speech.
        folder: run folder of the experiment; `sources` and `points` below it hold a run folder for each model.
        workers: parallel processes of one thread each.
        say: function that is called with a line at each stage.
        backend: place where processes run.
        source: run folder of a finished source model, which is copied instead of training one.

    Raises:
        DataError: the source model is not finished.
    """
    planned = plan_rows(config, corpora, further)
    name = f"all-{config.source_seed}"
    jobs = []
    if source is None:
        features: Wanted = network_inputs(config.source.model)
        trained = replace(config.source, trainer=replace(config.source.trainer, seed=config.source_seed))
        # Telling languages apart is no part of this experiment.
        jobs.append(TrainSource(replace(corpora, source_tests={}), SourceModel(name, (), None, trained)))
    else:
        read_finished(source)
        if not (folder / "sources" / name / "model").is_dir():
            shutil.copytree(source, folder / "sources" / name, dirs_exist_ok=True)
        features = load_source(folder / "sources" / name).model.inputs
    run_sweep(folder, jobs, planned, features, workers, say, backend)
    return summarise(folder, planned)


def summarise(folder: Path, planned: Sequence[TrainPoint]) -> list[Row]:
    """Return a row for each test set, without and with its lexicon, and each row of the experiment."""
    corpora = planned[0].corpora
    return [
        _row(folder, test, [job for job in planned if job.point.system == name], planned)
        for test in (*corpora.tests, *(f"{name}-lexicon" for name in corpora.lexica))
        for name in dict.fromkeys(job.point.system for job in planned)
    ]


def new_speaker_tables(rows: Sequence[Row]) -> list[Table]:
    """Return a table for each test set."""
    columns: list[Column[Row]] = [
        ("remedies", lambda row: row.remedies),
        ("speakers", lambda row: str(row.speakers)),
        ("minutes", lambda row: f"{row.minutes:g}"),
        ("seeds", lambda row: str(row.seeds)),
        ("error %", lambda row: percent(row.rate)),
        ("95 % interval", lambda row: span(row.low, row.high, 1)),
        ("± seeds", lambda row: percent(row.spread)),
        ("fewer errors %", lambda row: percent(row.share, 0)),
        ("95 % interval", lambda row: span(row.share_low, row.share_high)),
        ("CPU-s", lambda row: f"{row.cpu_seconds:.0f}"),
    ]
    tables = []
    for test in dict.fromkeys(row.test for row in rows):
        name = test.removesuffix("-lexicon")
        title = f"Test set `{name}`" + (", each utterance taken for a syllable of the lexicon" if name != test else "")
        tables.append(Table.of((row for row in rows if row.test == test), columns, title=f"{title}:"))
    return tables


def _row(folder: Path, test: str, own: Sequence[TrainPoint], planned: Sequence[TrainPoint]) -> Row:
    points = [job.point for job in own]
    plain = {job.point.seed: job.point for job in planned if job.point.system == PLAIN}
    found = [load_point(folder, point, test) for point in points]
    change = None
    if points[0].system != PLAIN:
        change = reduction([load_point(folder, plain[point.seed], test) for point in points], found)
    return Row(
        test,
        points[0].system,
        len({u.speaker for u in read_corpora(own[0].corpora.train)}),
        points[0].minutes,
        len(points),
        *figures(rate_over_seeds(found)),
        spread_over_seeds(found),
        *figures(change),
        mean_seconds(folder, [job.name for job in own]),
    )


def write_syllables(test: Path, known: Sequence[Path], taught: Sequence[Path], folder: Path) -> tuple[Path, Path]:
    """Write what isolated syllables are tested with, and return its paths.

    Args:
        test: manifest of the syllables, with pronunciations.
        known: manifests whose syllables are the lexicon: those of the language, wherever they come from but the test.
        taught: manifests that every row trains on; syllables with other phones are left out of the lexicon.
        folder: folder to write into.

    Returns:
        The manifest with each utterance's phones, without tones, as its text, so that what is heard with a lexicon is
        scored in phones as well; and the lexicon, whose words are the syllables' phones.

    Raises:
        DataError: an utterance has no pronunciation, or one without tones, of which the end of a syllable is not known.
    """
    manifest, lexicon = folder / f"{SYLLABLES}.jsonl", folder / f"{SYLLABLES}_lexicon.txt"
    spoken = [replace(u, text=u.spelled("toneless-phones")) for u in read_manifest(test)]
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, spoken)
    phones = {phone for path in taught for u in read_manifest(path) for phone in u.spelled("toneless-phones").split()}
    legal = sorted({syllable for path in known for u in read_manifest(path) for syllable in syllables(u)})
    Lexicon.from_pairs((s, s) for s in legal if phones.issuperset(s.split())).save(lexicon)
    return manifest, lexicon


def syllables(utterance: Utterance) -> list[str]:
    """Return the syllables of a Mandarin pronunciation without their tones: `n i3 h ao3` is `n i` and `h ao`.

    Raises:
        DataError: there is no pronunciation, or its last syllable has no tone.
    """
    found, begun = [], []
    for phone, bare in zip(
        utterance.spelled("phones").split(), utterance.spelled("toneless-phones").split(), strict=True
    ):
        begun.append(bare)
        if phone != bare:
            found.append(" ".join(begun))
            begun = []
    if begun:
        raise DataError(
            f"utterance '{utterance.id}': the pronunciation '{utterance.pronunciation}' does not end with a tone; give "
            "every syllable its tone."
        )
    return found
