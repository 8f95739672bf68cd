"""Measures how transferable each layer of a classifier of images is (Yosinski et al. 2014).

The first n blocks of a network trained on task A, or on B itself, are copied into a new one, and the rest is trained on
task B: AnB and BnB keep the copied blocks frozen, AnB+ and BnB+ train them too. Random frozen blocks tell what the mere
shape of the network gives; `base` is trained on B from the start, once as long as the others and once as long as AnB+
and the training on A together. A and B are classes that are alike, or of two kinds, natural and man-made.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig, to_record
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, read_finished
from asr_transfer.experiments.images.classifiers import fit, images_of, of_classes, wrong
from asr_transfer.experiments.images.pretrained_stages import PretrainedConfig, TrainStages
from asr_transfer.models.contract import Model
from asr_transfer.models.image import image_network
from asr_transfer.ranges import Count, Filled, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.recalibration import recalibrate
from asr_transfer.transfer.plan import Action, Copy, Freeze

Split = Literal["alike", "kinds"]
SPLITS: tuple[Split, ...] = ("alike", "kinds")
"""How the classes of A and B are chosen: half of each kind on either side, or natural ones for A, man-made for B."""

HEAD_A, HEAD_B = "a", "b"
BASE, LONG = "base", "base, twice as long"
RANDOM, SETTLED = "random frozen", "random frozen, statistics of B"
FIRST, LAST, ALL, HEAD = "the first two", "the last two", "all", "the head alone"
"""What is trained of a network that is copied whole."""


@dataclass(frozen=True, kw_only=True)
class TransferabilityConfig(Ranged):
    """The transferability curve of a network for images.

    Attributes:
        name: Name of the fetched set of images.
        images: Folder of the images instead, in a format that is known, with the splits `train` and `test`.
        natural: Names of the natural classes.
        man_made: Names of the man-made classes.
        count: Number of training images of each class.
        tested: Number of images of each class that are judged on.
        judged: Images that are judged on: those of the test split, or training images that were held out, to choose
            settings on.
        model: Sizes of the network.
        trainer: Settings of a training.
        pretrained: Few images for a published network whose first or last stages are trained; None for none.
        seeds: Seeds of classes, images, initial weights and batches.
        quick: Whether to take few steps of few images, to see that everything runs; the figures mean nothing.
    """

    name: str = "cifar10"
    images: Path | None = None
    natural: Annotated[tuple[str, ...], Filled()] = ("bird", "cat", "deer", "dog", "frog", "horse")
    man_made: Annotated[tuple[str, ...], Filled()] = ("airplane", "automobile", "ship", "truck")
    count: Count = 500
    tested: Count = 500
    judged: Literal["test", "held"] = "test"
    model: ImageConfig = field(
        default_factory=lambda: ImageConfig(channels=(16, 32, 48, 64, 96), inputs=3, size=32, halve=(0, 1, 3))
    )
    trainer: ImageTrainerConfig = field(default_factory=ImageTrainerConfig)
    pretrained: PretrainedConfig | None = None
    seeds: Annotated[tuple[Seed, ...], Filled()] = (0, 1, 2, 3, 4)
    quick: bool = False

    def shortened(self) -> TransferabilityConfig:
        """Return the same with few steps where a quick trial is asked for."""
        if not self.quick:
            return self
        trainer = replace(self.trainer, steps=2, batch_budget=16)
        few = self.pretrained.shortened() if self.pretrained else None
        return replace(self, trainer=trainer, pretrained=few, count=16, tested=20, seeds=self.seeds[:1])


@dataclass(frozen=True)
class TransferLayers(Job):
    """Trains and judges all systems of one split with one seed.

    Attributes:
        split: Way in which the classes are divided.
        seed: Random seed.
        config: Settings of the experiment.
    """

    split: Split
    seed: int
    config: TransferabilityConfig

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/{self.split}-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        own = replace(self.config, seeds=(self.seed,), pretrained=None)
        return {"split": self.split, "seed": self.seed, **to_record(own)}

    def data(self) -> Data:
        """See `Job.data`: images are noted by the experiment."""
        return {}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train every system and keep the number of its errors."""
        begin = time.process_time()
        found = _Trainings(self, record.log).errors()
        seconds = round(time.process_time() - begin, 1)
        record.finish(scores={"errors": found, "tested": 4 * self.config.tested}, training={"cpu_seconds": seconds})


def divide(config: TransferabilityConfig, split: Split, seed: int) -> tuple[list[str], list[str]]:
    """Return the names of the classes of A and of B, as many of each, drawn at random.

    Raises:
        ConfigError: There are too few classes.
    """
    natural, made = list(config.natural), list(config.man_made)
    if len(made) < 4 or len(natural) < 4:
        raise ConfigError("`natural` and `man_made` must name at least four classes each; name more.")
    draw = random.Random(f"{seed}/classes")
    draw.shuffle(natural)
    draw.shuffle(made)
    if split == "kinds":
        return natural[:4], made[:4]
    return natural[:2] + made[:2], natural[2:4] + made[2:4]


class _Trainings:
    """The trainings of a split with a seed.

    Args:
        job: Split, seed and settings.
        log: Function that is told each result.
    """

    def __init__(self, job: TransferLayers, log: Callable[[str], None]) -> None:
        self.config, self.split, self.seed, self._log = job.config, job.split, job.seed, log
        source: str | Path = self.config.images or self.config.name
        train = images_of(source, "train")
        a, b = (
            [self._number(train.classes, name) for name in side] for side in divide(self.config, job.split, job.seed)
        )
        pick = partial(of_classes, seed=job.seed)
        self.a, self.b = pick(train, a, self.config.count), pick(train, b, self.config.count)
        held = self.config.judged == "held"
        judged = train if held else images_of(source, "test")
        self.judged = pick(judged, b, self.config.tested, skip=self.config.count if held else 0)
        self.found: dict[str, int] = {}

    def errors(self) -> dict[str, int]:
        """Return the number of errors by system, and behind a space by the number of blocks."""
        model_a = self._new(1)
        self._fit(model_a, self.a, HEAD_A, 1)
        model_b = self._judge(BASE, self._new(2))
        whole = self.split == "alike"
        self._judge(LONG, self._new(2), times=2)
        for depth in range(1, len(model_a.blocks()) + 1):
            sources = [("A", model_a), *([("B", model_b)] if whole else [])]
            for letter, source in sources:
                self._copied(f"{letter}nB {depth}", source, depth, frozen=True)
                if whole or depth == len(model_a.blocks()):
                    self._copied(f"{letter}nB+ {depth}", source, depth, frozen=False)
            if whole:
                for name in (RANDOM, SETTLED):
                    model = self._new(4)
                    if name == SETTLED:
                        recalibrate(model, self.b, budget=500)
                    self._judge(f"{name} {depth}", model, Freeze(_paths(model, 0, depth)))
        for name, kept in ((FIRST, slice(2, None)), (LAST, slice(None, -2))):
            model = self._new(3)
            paths = _paths(model, kept.start, kept.stop)
            self._judge(f"{name} 0", model, Copy(_paths(model), model_a), Freeze(paths))
        return self.found

    def _copied(self, name: str, source: Model, depth: int, frozen: bool) -> None:
        model = self._new(3)
        paths = _paths(model, 0, depth)
        self._judge(name, model, Copy(paths, source), *([Freeze(paths)] if frozen else []))

    def _judge(self, name: str, model: Model, *actions: Action, times: int = 1) -> Model:
        self._fit(model, self.b, HEAD_B, 2, *actions, times=times)
        self.found[name] = wrong(model, self.judged, HEAD_B)
        self._log(f"{self.split} {self.seed}, {name}: {self.found[name]} of {len(self.judged.targets)} wrong")
        return model

    def _new(self, part: int) -> Model:
        torch.manual_seed(1000 * part + self.seed)
        return image_network(self.config.model, {HEAD_A: 4, HEAD_B: 4})

    def _fit(self, model: Model, data: ArrayData, head: str, part: int, *actions: Action, times: int = 1) -> None:
        trainer = self.config.trainer
        fit(model, data, head, replace(trainer, steps=times * trainer.steps, seed=1000 * part + self.seed), *actions)

    def _number(self, known: Sequence[str], name: str) -> int:
        if name not in known:
            raise ConfigError(f"the images have no class '{name}', only {', '.join(known)}; name others.")
        return list(known).index(name)


def _paths(model: Model, first: int | None = None, last: int | None = None) -> str:
    return " | ".join(block.path for block in model.blocks()[first:last])


Points = dict[tuple[Split, int], dict[str, Any]]
"""Scores by split and seed: `errors` by system, and the number of images `tested`."""


def run_transferability(
    config: TransferabilityConfig, folder: Path, workers: int, backend: Backend = "processes"
) -> tuple[Points, list[dict[str, Any]]]:
    """Train all systems with every seed and return their errors.

    Args:
        config: Experiment.
        folder: Its run folder.
        workers: Parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Returns:
        Scores of the curve, and those of a published network by seed, none where it is not asked for.

    Raises:
        DataError, ConfigError: There are too few images, or classes that they lack.
    """
    own = TransferabilityConfig(**{one.name: getattr(config, one.name) for one in fields(TransferabilityConfig)})
    short = own.shortened()
    curve = [TransferLayers(split, seed, short) for seed in short.seeds for split in SPLITS]
    source = short.images or short.name
    stages = [TrainStages(seed, short.pretrained, source, short.judged) for seed in short.seeds if short.pretrained]
    for _ in run_jobs(folder, [*curve, *stages], workers, "transferability", backend):
        pass
    points = {(job.split, job.seed): read_finished(folder / job.name)["scores"] for job in curve}
    return points, [read_finished(folder / job.name)["scores"] for job in stages]
