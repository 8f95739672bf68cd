"""Measures ways to adapt a classifier of images to a domain without labels, over seeds, beside their bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig, to_record
from asr_transfer.data.augmentation import shifted_and_dimmed
from asr_transfer.data.batching import ArrayData
from asr_transfer.data.images import Images
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.classes import (
    FILE,
    Prediction,
    change_over_seeds,
    error_over_seeds,
    read_predictions,
    write_predictions,
)
from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.evaluation.plots import Plot, Point, intervals
from asr_transfer.experiments.core.effects import points_with_interval, share_with_interval
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, ItemData, read_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.domains.methods import FEW, METHODS, SOURCE, TAP, TARGET, DomainMethod, require_known
from asr_transfer.experiments.images.sets import DigitSet, digits, draw, noted
from asr_transfer.models.image import image_network
from asr_transfer.models.weight_files import load_weights, read_weights, write_weights
from asr_transfer.ranges import Count, Filled, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.prediction import predict
from asr_transfer.training.recalibration import recalibrate
from asr_transfer.training.streams import Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.adversarial import a_distance, domain_features
from asr_transfer.transfer.plan import Freeze, TransferPlan

HEAD = "digits"
WEIGHTS = "weights.safetensors"
BASE = "source-only"
"""Way that all others are compared with."""
USUAL = tuple(name for name, method in METHODS.items() if not (method.translates or method.listening))
"""Ways that are tried unless others are named."""


@dataclass(frozen=True, kw_only=True)
class DomainConfig(Ranged):
    """Adaptation of a classifier of digits to another kind of images, without labels.

    Attributes:
        source: Set of digits whose labels are known.
        target: Set of digits whose labels are not.
        methods: Names of the ways; `source-only`, with which all are compared, is always among them.
        images: Number of training images of each domain.
        test_images: Number of test images of each domain.
        held_out: Whether training images that no way has seen are judged in place of the test images; settings are
            chosen on these.
        probe_images: Number of training images of each domain on which a fresh classifier tells the domains apart.
        model: Network.
        trainer: Training; every way has its steps, and those that begin with the source's model have them twice.
        seeds: Random seeds of the images that are drawn, of initial weights and of batches.
        quick: Whether to take few steps and images, to see that everything runs; the figures mean nothing.
    """

    source: DigitSet = "mnist"
    target: DigitSet = "mnist-m"
    methods: Annotated[tuple[str, ...], Filled(distinct=True)] = USUAL
    images: Count = 10_000
    test_images: Count = 10_000
    held_out: bool = False
    probe_images: Count = 1_000
    model: ImageConfig = field(default_factory=ImageConfig)
    trainer: ImageTrainerConfig = field(default_factory=ImageTrainerConfig)
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known(self.methods)
        if spoken := [name for name in self.methods if METHODS[name].listening]:
            raise ConfigError(f"`methods` has '{spoken[0]}', which is for speech; leave it out.")
        if self.source == self.target:
            raise ConfigError(f"`source` and `target` are both '{self.source}'; take two sets.")

    def settled(self) -> DomainConfig:
        """Return the settings that are run: few steps and images where it is to be quick."""
        methods = tuple(name for name in METHODS if name in {*self.methods, BASE})
        own = replace(self, methods=methods)
        if not self.quick:
            return own
        trainer = replace(self.trainer, steps=5)
        return replace(own, trainer=trainer, images=200, test_images=100, probe_images=40, seeds=self.seeds[:2])


@dataclass(frozen=True)
class AdaptDomain(Job):
    """Trains and tests one way with one seed.

    Attributes:
        method: name of the way.
        seed: random seed.
        config: the experiment.
    """

    method: str
    seed: int
    config: DomainConfig

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/{self.method}-{self.seed}"

    @property
    def needs(self) -> tuple[str, ...]:
        """See `Job.needs`."""
        return (f"points/{BASE}-{self.seed}",) if METHODS[self.method].from_source else ()

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        shared = to_record(self.config)
        for name in ("methods", "seeds", "quick"):
            shared.pop(name)
        return {"method": self.method, "seed": self.seed, **shared}

    def data(self) -> Data:
        """See `Job.data`."""
        return {}

    def items(self) -> ItemData:
        """See `Job.items`."""
        return {side: (self._set(side), noted(self._test(side))) for side in (SOURCE, TARGET)}

    def _set(self, side: str) -> DigitSet:
        """Return the name of a side's set."""
        return self.config.source if side == SOURCE else self.config.target

    def _train(self, side: str) -> Images:
        # Were the target made of the source's digits, those drawn for one side would not be among the other's.
        skip = 0 if side == SOURCE or len(digits(self._set(side), "train")) < 2 * self.config.images else 1
        return draw(digits(self._set(side), "train"), self.config.images, self.seed, skip * self.config.images)

    def _test(self, side: str) -> Images:
        config = self.config
        if config.held_out:
            return draw(digits(self._set(side), "train"), config.test_images, self.seed, 2 * config.images)
        return draw(digits(self._set(side), "test"), config.test_images, 0)

    def run(self, record: RunRecord, data: Data) -> None:
        """Train, and write predictions, scores and, of the source's model, weights."""
        begin = time.process_time()
        method, config = METHODS[self.method], self.config
        torch.manual_seed(self.seed)
        model = image_network(replace(config.model, norm=config.model.norm and method.norm), {HEAD: 10})
        if method.from_source:
            base = record.folder.parent / f"{BASE}-{self.seed}" / WEIGHTS
            load_weights(model, read_weights(base), str(base))
        streams = self._streams(method)
        history: Sequence[Mapping[str, float]] = ()
        if not method.recalibrated:
            plan = TransferPlan(Freeze(f"heads.{HEAD}")) if method.held else None
            trainer = replace(config.trainer, seed=self.seed)
            result = Trainer(
                model, streams, method.objectives(self.seed, "utterance"), plan, trainer, log=record.log
            ).train()
            history = result.history
        else:
            recalibrate(model, ArrayData(self._train(TARGET).pixels), TARGET)
        seconds = time.process_time() - begin
        if self.method == BASE:
            write_weights(record.folder / WEIGHTS, model.state_dict())
        errors = {}
        for side in (SOURCE, TARGET):
            images = self._test(side)
            best = predict(model, ArrayData(images.pixels), HEAD, method.domain(side)).argmax(1)
            own = _predictions(images, best, self._set(side))
            errors[side] = sum(one.wrong for one in own) / len(own)
            if side == TARGET:
                score = write_predictions(record.folder, own)
        probes = [
            Stream(side, ArrayData(self._train(side).pixels[: config.probe_images]), domain=method.domain(side))
            for side in (SOURCE, TARGET)
        ]
        distance = a_distance(domain_features(model, probes, TAP), self.seed)
        record.finish(
            scores={**score.to_plain(), "source_error": errors[SOURCE], "a_distance": distance},
            history=list(history),
            training={"cpu_seconds": round(seconds, 1)},
        )

    def _streams(self, method: DomainMethod) -> list[Stream]:
        """Return the streams of a way: the source's task, the target without labels, and what labels it has."""
        domains = method.streams()
        train = self._train(SOURCE), self._train(TARGET)
        first = train[1] if method.target_only else train[0]
        weight = 0.0 if method.held else 1.0
        task = Task(SOURCE, _data(first), cross_entropy, weight, head=HEAD, domain=domains[SOURCE])
        if not (method.reads_target() or method.labels):
            return [task]
        unlabelled = ArrayData(train[1].pixels, augment=shifted_and_dimmed)
        target = Stream(TARGET, unlabelled, head=HEAD, domain=domains[TARGET], augment=method.augment)
        streams = [task, target]
        if method.labels:
            chosen = _first_of_each(train[1], method.labels)
            few = Task(FEW, _data(chosen), cross_entropy, head=HEAD, domain=domains[TARGET])
            streams.insert(1, few)
        return streams


def _data(images: Images) -> ArrayData:
    return ArrayData(images.pixels, images.labels)


def _first_of_each(images: Images, count: int) -> Images:
    """Return the first `count` images of each class."""
    assert images.labels is not None
    found = [(images.labels == label).nonzero().flatten()[:count] for label in range(len(images.classes))]
    return images.pick(torch.cat(found))


def _predictions(images: Images, best: torch.Tensor, domain: str) -> list[Prediction]:
    assert images.labels is not None
    names = images.classes
    pairs = zip(images.labels.tolist(), best.tolist(), strict=True)
    return [Prediction(str(item), names[label], names[guess], domain) for item, (label, guess) in enumerate(pairs)]


@dataclass(frozen=True)
class Row:
    """A way over all seeds.

    Attributes:
        method: name of the way.
        error: share of the target's test images that are wrong, with its interval over the seeds.
        change: change of it against `source-only`.
        worse: seeds in which it is worse than `source-only`.
        gap: share of the gap from `source-only` to `target-trained` that it closes; None where there is none.
        source_error: mean share of the source's test images that are wrong.
        a_distance: mean proxy A-distance of the domains.
        cpu_seconds: mean processor time of its training.
    """

    method: str
    error: Estimate
    change: Estimate
    worse: int
    gap: float | None
    source_error: float
    a_distance: float
    cpu_seconds: float


def run_domains(config: DomainConfig, folder: Path, workers: int, backend: Backend = "processes") -> list[Row]:
    """Run all ways with all seeds, and return a row for each.

    Args:
        config: the experiment, settled.
        folder: run folder of the experiment.
        workers: parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Raises:
        DataError: a set of images was not fetched.
    """
    jobs = [AdaptDomain(method, seed, config) for seed in config.seeds for method in config.methods]
    for side in (config.source, config.target):
        digits(side, "test")  # a set that is missing is told before anything is trained
    for _ in run_jobs(folder, jobs, workers, "ways", backend):
        pass
    found = {
        name: [read_predictions(folder / f"points/{name}-{seed}" / FILE) for seed in config.seeds]
        for name in config.methods
    }
    records = {
        name: [read_finished(folder / f"points/{name}-{seed}") for seed in config.seeds] for name in config.methods
    }
    rates = {name: error_over_seeds(own).value for name, own in found.items()}
    rows = []
    for name in config.methods:
        scores = [record["scores"] for record in records[name]]
        before = [record["scores"]["error"] for record in records[BASE]]
        bound = rates.get("target-trained", rates[BASE])
        rows.append(
            Row(
                name,
                error_over_seeds(found[name]),
                change_over_seeds(found[BASE], found[name]),
                sum(one["error"] > other for one, other in zip(scores, before, strict=True)),
                None if bound == rates[BASE] else (rates[BASE] - rates[name]) / (rates[BASE] - bound),
                sum(one["source_error"] for one in scores) / len(scores),
                sum(one["a_distance"] for one in scores) / len(scores),
                sum(record["training"]["cpu_seconds"] for record in records[name]) / len(scores),
            )
        )
    return rows


def domain_table(rows: Sequence[Row], config: DomainConfig) -> Table:
    """Return the table of all ways."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("way", lambda row: METHODS[row.method].title),
        ("wrong on the target", lambda row: share_with_interval(row.error)),
        ("against source only, points", lambda row: "–" if row.method == BASE else points_with_interval(row.change)),
        ("seeds worse", lambda row: "–" if row.method == BASE else f"{row.worse} of {len(config.seeds)}"),
        ("share of the gap", lambda row: "–" if row.gap is None else f"{100 * row.gap:.0f} %"),
        ("wrong on the source", lambda row: f"{100 * row.source_error:.1f} %"),
        ("A-distance", lambda row: f"{row.a_distance:.2f}"),
        ("CPU-s", lambda row: f"{row.cpu_seconds:.0f}"),
    ]
    title = f"{config.source} → {config.target}, {len(config.seeds)} seeds, in brackets 95 % intervals over the seeds:"
    return Table.of(rows, columns, title)


def domain_plot(rows: Sequence[Row], config: DomainConfig) -> Plot:
    """Return the error of each way with its interval."""
    points = []
    for row in rows:
        low, high = (row.error.value if end is None else end for end in (row.error.low, row.error.high))
        points.append(Point(METHODS[row.method].title, 100 * row.error.value, 100 * low, 100 * high))
    caption = f"Wrong test images of {config.target}, by way from {config.source}, with 95 % intervals over seeds."
    return intervals(points, "wrong on the target, %", caption, None)
