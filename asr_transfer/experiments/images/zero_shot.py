"""Recognises classes of images without an example of them, from attributes or from the vectors of their names.

Every two of the classes stay unseen in turn. A way is fitted on the others, and tells the two apart (zero-shot), or all
classes (generalised zero-shot, where scores of seen classes are lowered by a constant that was found on seen classes).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_transfer.config import to_record
from asr_transfer.data.images import Images, read_fetched
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.clusters import difference, rate
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, ItemData, read_finished
from asr_transfer.experiments.images.frozen import frozen_features
from asr_transfer.experiments.images.sets import noted
from asr_transfer.experiments.images.zero_shot_config import IMAGENET, SET, UNSEEN, WAYS, ZeroShotConfig
from asr_transfer.experiments.images.zero_shot_judging import class_vectors, judge_all
from asr_transfer.experiments.images.zero_shot_rows import BASE, Row
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend


@lru_cache(maxsize=4)
def _drawn(pool: int, test_images: int, held_out: bool) -> tuple[Images, Images]:
    """Return the images that training ones are drawn from, and those that are judged, each ordered by class."""
    train = read_fetched(SET, "train")
    judged = _of_each(train, test_images, pool) if held_out else _of_each(read_fetched(SET, "test"), test_images)
    return _of_each(train, pool), judged


def _of_each(images: Images, count: int, skip: int = 0) -> Images:
    """Return so many images of each class, behind the first `skip`, the first class before the second."""
    assert images.labels is not None
    labels = images.labels
    found = [(labels == label).nonzero().flatten()[skip : skip + count] for label in range(len(images.classes))]
    short = next((name for name, own in zip(images.classes, found, strict=True) if len(own) < count), None)
    if short is not None:
        raise ConfigError(f"there are fewer than {skip + count} images of the class '{short}'; ask for fewer.")
    return images.pick(torch.cat(found))


@dataclass(frozen=True)
class RecogniseUnseen(Job):
    """Fits and judges all ways on all pairs with one seed.

    Attributes:
        seed: random seed.
        config: the experiment.
    """

    seed: int
    config: ZeroShotConfig

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/{self.seed}"

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        shared = to_record(self.config)
        for name in ("seeds", "quick"):
            shared.pop(name)
        return {"seed": self.seed, **shared}

    def data(self) -> Data:
        """See `Job.data`."""
        return {}

    def items(self) -> ItemData:
        """See `Job.items`."""
        train, judged = self._images()
        return {"train": (SET, noted(train)), "test": (SET, noted(judged))}

    def _images(self) -> tuple[Images, Images]:
        return _drawn(self.config.pool, self.config.test_images, self.config.held_out)

    def run(self, record: RunRecord, data: Data) -> None:
        """Fit and judge, and write what came out of each way."""
        begin, config = time.process_time(), self.config
        pool, judged = self._images()
        assert pool.labels is not None and judged.labels is not None
        random = np.random.default_rng(self.seed)
        places = [random.permutation(config.pool)[: config.images] + n * config.pool for n in range(len(pool.classes))]
        chosen = torch.from_numpy(np.concatenate(places))
        train, test = frozen_features(pool, config.size).pick(chosen), frozen_features(judged, config.size)
        features = time.process_time() - begin
        results = judge_all(
            (train.features, pool.labels[chosen]),
            (test, judged.labels),
            pool.classes,
            class_vectors(),
            config,
            self.seed,
        )
        record.finish(
            scores={name: own.to_plain() for name, own in results.items()},
            training={"cpu_seconds": round(time.process_time() - begin - features, 1)},
        )


def run_zero_shot(config: ZeroShotConfig, folder: Path, workers: int, backend: Backend = "processes") -> list[Row]:
    """Run all seeds, and return a row for each way.

    Args:
        config: the experiment, settled.
        folder: run folder of the experiment.
        workers: parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Raises:
        DataError: the images, the network or the word vectors were not fetched.
    """
    class_vectors()  # what is missing is told before anything is fitted
    for images in _drawn(config.pool, config.test_images, config.held_out):
        frozen_features(images, config.size)  # once, not in each process
    jobs = [RecogniseUnseen(seed, config) for seed in config.seeds]
    for _ in run_jobs(folder, jobs, workers, "seeds", backend):
        pass
    found = [read_finished(folder / f"points/{seed}")["scores"] for seed in config.seeds]
    # Counts of items and not shares: figures that all seeds have alike are as uncertain as these.
    items = [float(UNSEEN * config.test_images * len(found[0]["dap"]["pairs"]))] * len(found)

    def counts(way: str, figure: str) -> list[float]:
        return [scores[way][figure] * own for scores, own in zip(found, items, strict=True)]

    def mean(way: str, figure: str) -> float:
        return float(np.mean([scores[way][figure] for scores in found]))

    def mean_of(way: str, label: str) -> float:
        return float(np.mean([scores[way]["per_class"][label] for scores in found]))

    rows = []
    for way, (kind, _) in WAYS.items():
        own, h = rate(counts(way, "accuracy"), items), rate(counts(way, "calibrated_h"), items)
        change = difference(counts(BASE[kind], "accuracy"), counts(way, "accuracy"), items)
        if way == IMAGENET:  # nothing of it depends on the seed
            own, h = (replace(one, low=None, high=None) for one in (own, h))
        rows.append(
            Row(
                way=way,
                accuracy=own,
                change=change,
                worst_pair=mean(way, "worst_pair"),
                u=mean(way, "u"),
                s=mean(way, "s"),
                h=mean(way, "h"),
                calibrated_u=mean(way, "calibrated_u"),
                calibrated_s=mean(way, "calibrated_s"),
                calibrated_h=h,
                per_class={label: mean_of(way, label) for label in found[0][way]["per_class"]},
                spread=None if found[0][way]["spread"] is None else mean(way, "spread"),
            )
        )
    return rows
