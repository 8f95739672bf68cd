"""Measures ways to adapt a recogniser to a channel without transcripts: a telephone line, or noise."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from asr_transfer.adaptation.online_statistics import StatisticsSession
from asr_transfer.config import SourceConfig, TrainerConfig, to_record
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.evaluation.foreign import read_hypotheses
from asr_transfer.evaluation.scoring import Alignments, Hypothesis, align, write_scores
from asr_transfer.experiments.core.effects import rate_over_seeds, reduction, share_with_interval
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, read_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.domains.methods import METHODS, SOURCE, TARGET, DomainMethod, require_known
from asr_transfer.models.domains import settle
from asr_transfer.models.kinds import network_inputs
from asr_transfer.ranges import CountOrNone, Filled, Range, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.hypotheses import hypotheses, paired
from asr_transfer.training.recalibration import recalibrate
from asr_transfer.training.session import speech_task, train_recogniser
from asr_transfer.training.streams import Stream
from asr_transfer.training.trainer import Trainer
from data_prep import noisy, telephone

Channel = Literal["telephone", "noise"]

START = "start"
"""Name of the job that trains the source's model."""
BASE = "source-only"
"""Way that all others are compared with: as many steps more on the source alone."""

SPEECH_METHODS = (BASE, "adabn", "listening", "apart", "coral", "mmd", "dann", "self-training", "target-trained")
"""Ways that are tried unless others are named."""


@dataclass(frozen=True, kw_only=True)
class ChannelConfig(Ranged):
    """Adaptation of a recogniser to a channel, without transcripts.

    Half of the training speakers are the source, with transcripts; the recordings of the other half, through the
    channel, are the target, without. The test speakers are tested through the channel.

    Attributes:
        channels: Ways by which the target's recordings come: `telephone`, or with white `noise`.
        noise: Standard deviation of the noise, in units of full scale.
        methods: Names of the ways; `source-only`, with which all are compared, is always among them.
        source: Settings of the source's model.
        adapt: Training of the ways, all of which begin with the source's model; a batch is taken of each stream.
        held_out: Number of training speakers that are judged in place of the test speakers, for settings to be chosen
            on; 0 judges the test speakers.
        seeds: Random seeds of who is the source, of initial weights and of batches.
        quick: Whether to take few steps, to see that everything runs; the figures mean nothing.
    """

    channels: Annotated[tuple[Channel, ...], Filled(distinct=True)] = ("telephone", "noise")
    noise: Annotated[float, Range(above=0, below=1)] = 0.01
    methods: Annotated[tuple[str, ...], Filled(distinct=True)] = SPEECH_METHODS
    source: SourceConfig = field(default_factory=SourceConfig)
    adapt: TrainerConfig = field(default_factory=lambda: TrainerConfig(steps=400, learning_rate=3e-4, validate_every=0))
    held_out: CountOrNone = 0
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known(self.methods)
        for name in self.methods:
            method = METHODS[name]
            if method.labels or method.held or method.translates or not method.norm:
                raise ConfigError(f"`methods` has '{name}', which is for images; leave it out.")

    def settled(self) -> ChannelConfig:
        """Return the settings that are run: few steps where it is to be quick."""
        own = replace(self, methods=tuple(name for name in METHODS if name in {*self.methods, BASE}))
        if not self.quick:
            return own
        source = replace(self.source, trainer=replace(self.source.trainer, steps=5))
        return replace(own, source=source, adapt=replace(self.adapt, steps=3), seeds=self.seeds[:2])


@dataclass(frozen=True)
class Sides:
    """Manifests of one channel.

    Attributes:
        clean: manifest of the training recordings as they are.
        train: manifest of the same through the channel.
        test: manifest of the test recordings through the channel.
        clean_test: manifest of the test recordings as they are.
    """

    clean: str
    train: str
    test: str
    clean_test: str


@dataclass(frozen=True)
class _Part(Job):
    """What the jobs of one channel and seed share.

    Attributes:
        channel: name of the channel.
        sides: its manifests.
        seed: random seed.
        config: the experiment.
    """

    channel: str
    sides: Sides
    seed: int
    config: ChannelConfig

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        shared = to_record(self.config)
        for name in ("methods", "seeds", "quick", "channels"):
            shared.pop(name)
        return {"channel": self.channel, "seed": self.seed, **shared}

    def data(self) -> Data:
        """See `Job.data`: those of the source, of the target, and those that are judged, through the channel or not."""
        clean, changed = read_manifest(Path(self.sides.clean)), read_manifest(Path(self.sides.train))
        source, target, held = _parted([u.speaker for u in clean], self.config.held_out, self.seed)
        found = {
            "source": (self.sides.clean, [u for u in clean if u.speaker in source]),
            "target": (self.sides.train, [u for u in changed if u.speaker in target]),
        }
        if held:
            found["test"] = self.sides.train, [u for u in changed if u.speaker in held]
            found["clean-test"] = self.sides.clean, [u for u in clean if u.speaker in held]
        else:
            found["test"] = self.sides.test, read_manifest(Path(self.sides.test))
            found["clean-test"] = self.sides.clean_test, read_manifest(Path(self.sides.clean_test))
        return found

    def _spoken(self, utterances: Sequence[Utterance]) -> Spoken:
        return Spoken(utterances, build_store(utterances, network_inputs(self.config.source.model)))


@dataclass(frozen=True)
class TrainStart(_Part):
    """Trains the model of the source's recordings, which is the same for all channels."""

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/{START}-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        return {"seed": self.seed, "held_out": self.config.held_out, "source": to_record(self.config.source)}

    def data(self) -> Data:
        """See `Job.data`."""
        return {"source": super().data()["source"]}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train it and keep it."""
        config = self.config.source
        config = replace(config, trainer=replace(config.trainer, seed=self.seed), speeds=(1.0,))
        train = self._spoken(data["source"][1])
        model, result, _ = train_recogniser(train, train.subset([]), config, record.folder, record.log)
        model.save(record.folder / "model", "# Source model of a channel adaptation\n", {})
        record.finish(history=result.history, training={"cpu_seconds": round(result.cpu_seconds, 1)})


@dataclass(frozen=True)
class AdaptChannel(_Part):
    """Adapts the source's model by one way and tests it.

    Attributes:
        method: name of the way.
    """

    method: str = BASE

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/{self.channel}-{self.method}-{self.seed}"

    @property
    def needs(self) -> tuple[str, ...]:
        """See `Job.needs`."""
        return (f"points/{START}-{self.seed}",)

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        return {"method": self.method, **super().settings()}

    def run(self, record: RunRecord, data: Data) -> None:
        """Adapt and test."""
        begin = time.process_time()
        method, config = METHODS[self.method], replace(self.config.adapt, seed=self.seed)
        recogniser = Recogniser.load(record.folder.parent / f"{START}-{self.seed}" / "model")
        model, head, masks = recogniser.model, recogniser.head, self.config.source.augment
        domains = method.streams()
        first, second = (self._spoken(data[side][1]) for side in (SOURCE, TARGET))
        given = second if method.target_only else first
        spelled, _ = given.spelled(recogniser.tokens, (1.0,), masks).feasible(model.frames)
        streams: list[Stream] = [replace(speech_task(SOURCE, spelled, head), domain=domains[SOURCE])]
        if method.reads_target():
            unlabelled = second.masked(masks)
            streams.append(Stream(TARGET, unlabelled, head=head, domain=domains[TARGET], augment=method.augment))
        objectives = method.objectives(self.seed, "frames")
        result = Trainer(model, streams, objectives, config=config, log=record.log).train()
        if method.recalibrated:
            recalibrate(model, second, TARGET)
        clean = replace(recogniser, model=copy.deepcopy(model))
        settle(clean.model, method.domain(SOURCE))
        settle(model, method.domain(TARGET))
        score = write_scores(record.folder, _heard(recogniser, self._spoken(data["test"][1]), method))
        unchanged = write_scores(record.folder / "clean", _heard(clean, self._spoken(data["clean-test"][1]), method))
        record.finish(
            scores={"test": score.to_plain(), "clean": unchanged.to_plain()},
            history=result.history,
            training={"cpu_seconds": round(time.process_time() - begin, 1)},
        )


def _heard(recogniser: Recogniser, spoken: Spoken, method: DomainMethod) -> list[Hypothesis]:
    """Recognise utterances as a way does, and pair the results with their references."""
    if not method.listening:
        return hypotheses(recogniser, spoken)
    texts = StatisticsSession(recogniser).listen(spoken)
    return paired(recogniser, spoken, [recogniser.head] * len(spoken), texts)


def _parted(speakers: Sequence[str], held_out: int, seed: int) -> tuple[set[str], set[str], set[str]]:
    """Return the speakers of the source, of the target, and those who are held out.

    Raises:
        DataError: there are too few.
    """
    names = sorted(set(speakers))
    if len(names) < held_out + 2:
        raise DataError(f"the corpus has {len(names)} training speakers, too few for a source and a target.")
    order = [names[number] for number in np.random.default_rng(seed).permutation(len(names))]
    half = held_out + (len(names) - held_out) // 2
    return set(order[held_out:half]), set(order[half:]), set(order[:held_out])


def make_channels(manifests: Mapping[str, Path], config: ChannelConfig, folder: Path) -> dict[str, Sides]:
    """Write the recordings of the splits `train` and `test` through every channel, where they are not there yet.

    Args:
        manifests: manifests of the corpus, by split.
        config: the experiment.
        folder: folder for them.

    Raises:
        DataError: the corpus has no such splits.
    """
    if missing := [split for split in ("train", "test") if split not in manifests]:
        raise DataError(f"the corpus has no split '{missing[0]}'; take one with train and test speakers.")
    sides: dict[str, Sides] = {}
    for channel in config.channels:
        made = {}
        for split in ("train", "test"):
            out = folder / channel / split
            made[split] = out / f"{telephone.NAME if channel == 'telephone' else noisy.NAME}.jsonl"
            if not made[split].exists():
                if channel == "telephone":
                    telephone.prepare(manifests[split], out)
                else:
                    noisy.prepare(manifests[split], out, config.noise)
        clean = manifests["train"], manifests["test"]
        sides[channel] = Sides(str(clean[0]), str(made["train"]), str(made["test"]), str(clean[1]))
    return sides


@dataclass(frozen=True)
class Row:
    """A way over all seeds, on one channel.

    Attributes:
        channel: name of the channel.
        method: name of the way.
        wer: word error rate through the channel.
        change: share of the errors of `source-only` that are not made.
        worse: seeds in which it makes more errors than `source-only`.
        clean: word error rate without the channel.
        cpu_seconds: mean processor time of the adaptation.
    """

    channel: str
    method: str
    wer: Estimate
    change: Estimate
    worse: int
    clean: Estimate
    cpu_seconds: float


def run_channels(
    config: ChannelConfig, sides: Mapping[str, Sides], folder: Path, workers: int, backend: Backend = "processes"
) -> list[Row]:
    """Run all ways on all channels with all seeds, and return a row for each.

    Args:
        config: the experiment, settled.
        sides: manifests of each channel.
        folder: run folder of the experiment.
        workers: parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Raises:
        DataError: there is too little speech.
    """
    first = config.channels[0]
    jobs: list[Job] = [TrainStart(first, sides[first], seed, config) for seed in config.seeds]
    jobs += [
        AdaptChannel(channel, sides[channel], seed, config, method)
        for channel in config.channels
        for seed in config.seeds
        for method in config.methods
    ]
    for _ in run_jobs(folder, jobs, workers, "ways", backend):
        pass
    rows = []
    for channel in config.channels:
        places = {
            method: [folder / "points" / f"{channel}-{method}-{seed}" for seed in config.seeds]
            for method in config.methods
        }
        base = [_read(place) for place in places[BASE]]
        for method, own in places.items():
            found = [_read(place) for place in own]
            seconds = [read_finished(place)["training"]["cpu_seconds"] for place in own]
            worse = sum(after.errors.sum() > before.errors.sum() for before, after in zip(base, found, strict=True))
            clean = rate_over_seeds([_read(place / "clean") for place in own])
            rows.append(
                Row(
                    channel,
                    method,
                    rate_over_seeds(found),
                    reduction(base, found),
                    int(worse),
                    clean,
                    sum(seconds) / len(seconds),
                )
            )
    return rows


def channel_tables(rows: Sequence[Row], config: ChannelConfig) -> list[Table]:
    """Return a table for each channel."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("way", lambda row: METHODS[row.method].title),
        ("WER through the channel", lambda row: share_with_interval(row.wer)),
        ("fewer errors than source only", lambda row: "–" if row.method == BASE else share_with_interval(row.change)),
        ("seeds worse", lambda row: "–" if row.method == BASE else f"{row.worse} of {len(config.seeds)}"),
        ("WER without the channel", lambda row: f"{100 * row.clean.value:.1f} %"),
        ("CPU-s", lambda row: f"{row.cpu_seconds:.0f}"),
    ]
    return [
        Table.of(
            [row for row in rows if row.channel == channel],
            columns,
            f"{channel}, {len(config.seeds)} seeds, in brackets 95 % intervals over speakers and seeds:",
        )
        for channel in config.channels
    ]


def _read(folder: Path) -> Alignments:
    return align(read_hypotheses(folder / "hypotheses.jsonl").utterances)
