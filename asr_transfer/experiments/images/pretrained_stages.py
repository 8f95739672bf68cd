"""Trains the first stages or the last of a published ImageNet network on few images of new classes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from asr_transfer.config import ImageTrainerConfig, to_record
from asr_transfer.data.batching import ArrayData
from asr_transfer.data.images import resize
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.core.jobs import Job
from asr_transfer.experiments.core.ledger import Data
from asr_transfer.experiments.images.classifiers import fit, images_of, of_classes, wrong
from asr_transfer.models.contract import Block
from asr_transfer.models.efficientnet import EfficientNetLite, fetched_efficientnet
from asr_transfer.ranges import Count, Ranged
from asr_transfer.runs.record import RunRecord
from asr_transfer.transfer.plan import Freeze, FreezeStatistics

HEAD = "new"
FIRST_STAGES, LAST_STAGES = "the first stages", "the last stages"
ALONE, ALL = "the output layer alone", "all stages"


@dataclass(frozen=True, kw_only=True)
class PretrainedConfig(Ranged, section="pretrained"):
    """Few images for the fetched EfficientNet-Lite0, with a new output layer for all classes.

    Attributes:
        size: Pixels of a side that images are brought to.
        count: Number of training images of each class.
        tested: Number of images of each class that are judged on.
        stages: Number of stages that are trained, from the first on or up to the last.
        trainer: Settings of a training; normalisation keeps ImageNet's statistics.
    """

    size: Count = 64
    count: Count = 10
    tested: Count = 100
    stages: Count = 3
    trainer: ImageTrainerConfig = field(
        default_factory=lambda: ImageTrainerConfig(steps=40, batch_budget=25, learning_rate=1e-3)
    )

    def shortened(self) -> PretrainedConfig:
        """Return the same with few steps of few images, to see that everything runs."""
        return replace(self, count=2, tested=2, size=32, trainer=replace(self.trainer, steps=2, batch_budget=8))


@dataclass(frozen=True)
class TrainStages(Job):
    """Trains and judges every way with one seed.

    Attributes:
        seed: Random seed of images, output layer and batches.
        config: Settings.
        source: Name of the fetched set of images, or their folder.
        judged: Images that are judged on, the test split's or training images that were held out.
    """

    seed: int
    config: PretrainedConfig
    source: str | Path
    judged: Literal["test", "held"]

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/pretrained-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        return {"seed": self.seed, "source": str(self.source), "judged": self.judged, **to_record(self.config)}

    def data(self) -> Data:
        """See `Job.data`: images are noted by the experiment."""
        return {}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train every way and keep the number of its errors."""
        begin = time.process_time()
        train, judged = self._images()
        found = stage_errors(fetched_efficientnet(), train, judged, self.config, self.seed, record.log)
        seconds = round(time.process_time() - begin, 1)
        record.finish(scores={"errors": found, "tested": len(judged.targets)}, training={"cpu_seconds": seconds})

    def _images(self) -> tuple[ArrayData, ArrayData]:
        known, held = images_of(self.source, "train"), self.judged == "held"
        judged = known if held else images_of(self.source, "test")
        classes = list(range(len(known.classes)))
        parts = (
            of_classes(known, classes, self.config.count, self.seed),
            of_classes(judged, classes, self.config.tested, self.seed, skip=self.config.count if held else 0),
        )
        size = self.config.size
        train, test = (ArrayData(resize(part.inputs, size, size), part.targets) for part in parts)
        return train, test


def stage_errors(
    network: EfficientNetLite,
    train: ArrayData,
    judged: ArrayData,
    config: PretrainedConfig,
    seed: int,
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, int]:
    """Return how many images each way to train a published network has wrong.

    Args:
        network: Network, left as it is.
        train: Images that are trained on.
        judged: Images that are judged on.
        config: Settings.
        seed: Random seed of output layer and batches.
        log: Function that is told each result.

    Raises:
        ConfigError: The network has too few stages.
    """
    stages = network.stages()
    if config.stages >= len(stages):
        raise ConfigError(f"`pretrained.stages` must be below {len(stages)}, the network's own; lower it.")
    ways: dict[str, Sequence[Sequence[Block]]] = {}
    ways |= {ALONE: [], FIRST_STAGES: stages[: config.stages], LAST_STAGES: stages[-config.stages :], ALL: stages}
    found = {}
    for name, trained in ways.items():
        torch.manual_seed(seed)
        model = EfficientNetLite(network.config, {HEAD: int(train.targets.max()) + 1})
        known = {path: own for path, own in network.state_dict().items() if not path.startswith("heads.")}
        model.load_state_dict(known, strict=False)
        moved = {block.path for stage in trained for block in stage}
        kept = [block.path for block in model.blocks() if block.path not in moved]
        freeze = [Freeze(" | ".join(kept))] if kept else []
        fit(model, train, HEAD, replace(config.trainer, seed=seed), FreezeStatistics(), *freeze)
        found[name] = wrong(model, judged, HEAD)
        log(f"pretrained {seed}, {name}: {found[name]} of {len(judged.targets)} wrong")
    return found
