"""Measures what unlabelled data of another kind is worth to few labelled items: images, and speech alike."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from asr_transfer.config import to_record
from asr_transfer.data.batching import ArrayData
from asr_transfer.evaluation.clusters import difference, rate
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, ItemData, read_finished
from asr_transfer.experiments.images.patches import Grid, Whitening, described, encoders, random_patches
from asr_transfer.experiments.images.self_taught_config import RAW, WAYS, SelfTaughtConfig
from asr_transfer.experiments.images.self_taught_material import Labelled, Maps, Material
from asr_transfer.experiments.images.self_taught_rows import ClusterRow, Row
from asr_transfer.models.vectors import VectorConfig, VectorModel
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.prediction import predict
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.self_taught import co_cluster


@dataclass(frozen=True)
class DescribeAndClassify(Job):
    """Learns all ways from a source with one seed, and judges classifiers of what they give.

    Attributes:
        source: kind of the unlabelled data.
        seed: random seed.
        config: the experiment.
        material: source of the data.
    """

    source: str
    seed: int
    config: SelfTaughtConfig
    material: Material

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/{self.source}-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        shared = to_record(self.config)
        for name in ("sources", "seeds", "quick"):
            shared.pop(name)
        return {"source": self.source, "seed": self.seed, **shared}

    def data(self) -> Data:
        """See `Job.data`."""
        return {}

    def items(self) -> ItemData:
        """See `Job.items`."""
        return {name: ("target", own) for name, own in self._labelled().noted().items()}

    def _labelled(self) -> Labelled:
        config = self.config
        return _labelled(self.material, max(config.labels), config.test_items, self.seed, config.held_out)

    def run(self, record: RunRecord, data: Data) -> None:
        """Learn, describe and judge, and write errors, the share of active features, and clusters."""
        begin, config, seed = time.process_time(), self.config, self.seed
        maps, grid, found = self.material.unlabelled(self.source, config.maps, seed), config.grid(), self._labelled()
        drawn = random_patches(grid, maps, config.patches, seed)
        whitening = Whitening.of(drawn, config.kept)
        ways, basis = encoders(
            whitening(drawn), config.features, config.active, replace(config.autoencoder, seed=seed), seed
        )
        errors: dict[str, dict[str, float]] = {}
        active: dict[str, float] = {}
        for way in WAYS:
            if way == RAW:
                train, test = (_raw(own, grid) for own in (found.train, found.test))
            else:
                (train, _), (test, active[way]) = (
                    described(grid, whitening, ways[way], own) for own in (found.train, found.test)
                )
            errors[way] = {
                str(count): self._error((train, found.labels), (test, found.truth), count) for count in config.labels
            }
        clusters = {}
        if config.clustered:
            target, truth = found.test[: config.clustered], found.truth[: config.clustered]
            sides = [described(grid, whitening, ways["k-means"], own)[0] for own in (target, maps[: config.clustered])]
            mine, theirs = (own.double().numpy() for own in sides)
            theirs = theirs[theirs.sum(1) > 0]
            for weight in config.weights:
                made = co_cluster(mine, theirs, min(10, len(theirs)), config.feature_clusters, weight, seed=seed)
                clusters[f"{weight:g}"] = matched(made.items, truth.numpy())
        record.finish(
            scores={
                "errors": errors,
                "active": active,
                "objectives": list(basis.objectives),
                "beta": basis.beta,
                "clusters": clusters,
            },
            training={"cpu_seconds": round(time.process_time() - begin, 1)},
        )

    def _error(
        self, train: tuple[torch.Tensor, torch.Tensor], test: tuple[torch.Tensor, torch.Tensor], count: int
    ) -> float:
        """Return the share of test items that a linear classifier of `count` items of each class has wrong."""
        (vectors, labels), (judged, truth) = train, test
        classes = int(labels.max()) + 1
        chosen = torch.cat([(labels == label).nonzero().flatten()[:count] for label in range(classes)])
        mean, deviation = vectors[chosen].mean(0), vectors[chosen].std(0).clamp(min=1e-3)
        torch.manual_seed(self.seed)
        model = VectorModel(VectorConfig(vectors.shape[1]), {"classes": classes})
        task = Task(
            "labelled", ArrayData((vectors[chosen] - mean) / deviation, labels[chosen]), cross_entropy, head="classes"
        )
        Trainer(model, [task], config=replace(self.config.classifier, seed=self.seed)).train()
        guesses = predict(model, ArrayData((judged - mean) / deviation), "classes").argmax(1)
        return float((guesses != truth).float().mean())


@lru_cache(maxsize=8)
def _labelled(material: Material, per_class: int, test: int, seed: int, held_out: bool) -> Labelled:
    return material.labelled(per_class, test, seed, held_out)


def _raw(maps: Maps, grid: Grid) -> torch.Tensor:
    """Return the (maps, numbers) values of maps of one size, else their means over eight parts of the columns."""
    same = len({tuple(one.shape) for one in maps}) == 1
    size = (maps[0].shape[0], maps[0].shape[1] if same else 8)
    return torch.stack([torch.nn.functional.adaptive_avg_pool2d(one[None], size).flatten() for one in maps])


def matched(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of items in clusters that are matched to classes one to one, as well as can be."""
    counts = np.zeros((clusters.max() + 1, labels.max() + 1))
    np.add.at(counts, (clusters, labels), 1)
    rows, columns = linear_sum_assignment(-counts)
    return float(counts[rows, columns].sum() / len(labels))


def run_self_taught(
    config: SelfTaughtConfig, material: Material, folder: Path, workers: int, backend: Backend = "processes"
) -> tuple[list[Row], list[ClusterRow]]:
    """Run all sources and seeds, and return a row for each way and for each weight of the clusters.

    Args:
        config: the experiment, settled.
        material: source of the data.
        folder: run folder of the experiment.
        workers: parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Raises:
        DataError: a set was not fetched, or there are too few speakers.
    """
    jobs = [DescribeAndClassify(source, seed, config, material) for seed in config.seeds for source in config.sources]
    for _ in run_jobs(folder, jobs, workers, "sources", backend):
        pass
    rows, clusters = [], []
    for source in config.sources:
        records = [read_finished(folder / f"points/{source}-{seed}") for seed in config.seeds]
        found = [record["scores"] for record in records]
        items = np.array([record["data"]["test"]["items"] for record in records], np.float64)
        some = np.minimum(items, config.clustered)
        for count in config.labels:
            raw = items * [one["errors"][RAW][str(count)] for one in found]
            for way in WAYS:
                own = items * [one["errors"][way][str(count)] for one in found]
                active = None if way == RAW else float(np.mean([one["active"][way] for one in found]))
                rows.append(Row(source, way, count, rate(own, items), difference(raw, own, items), active))
        if config.clustered:
            alone = some * [one["clusters"]["0"] for one in found]
            for weight in config.weights:
                own = some * [one["clusters"][f"{weight:g}"] for one in found]
                clusters.append(ClusterRow(source, weight, rate(own, some), difference(alone, own, some)))
    return rows, clusters
