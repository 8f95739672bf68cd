"""Measures what unlabelled data of another kind is worth to few labelled items: images, and speech alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from asr_transfer.config import FeatureConfig, ImageTrainerConfig, to_record
from asr_transfer.data.batching import ArrayData
from asr_transfer.data.features import build_store
from asr_transfer.data.images import font_characters, photographs, read_fetched
from asr_transfer.data.items import Items, describe
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.clusters import Estimate, difference, rate
from asr_transfer.experiments.core.effects import points_with_interval, share_with_interval
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, ItemData, read_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.images.patches import Grid, Whitening, described, encoders, random_patches
from asr_transfer.models.vectors import VectorConfig, VectorModel
from asr_transfer.ranges import Count, Filled, Range, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.prediction import predict
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.self_taught import co_cluster

Maps = list[torch.Tensor]
"""(rows, columns) maps: images, or log-mels over time."""

Source = Literal["photographs", "characters", "digits", "speech"]
RAW = "raw"
WAYS = {
    RAW: "raw",
    "pca": "PCA",
    "k-means": "k-means",
    "autoencoder": "autoencoder",
    "random": "sparse codes, random basis",
    "sparse": "sparse codes",
}
"""Titles of the ways to describe an item."""


@dataclass(frozen=True)
class Labelled:
    """Labelled items, and those that a classifier of them is tested on.

    Attributes:
        train, labels: items and their classes.
        test, truth: test items and their classes.
    """

    train: Maps
    labels: torch.Tensor
    test: Maps
    truth: torch.Tensor

    def noted(self) -> dict[str, Items]:
        """Return what a run record notes of both."""
        sides = {"train": (self.train, self.labels), "test": (self.test, self.truth)}
        found = {}
        for name, (own, labels) in sides.items():
            longest = max(one.numel() for one in own)
            rows = [torch.nn.functional.pad(one.flatten(), (0, longest - one.numel())) for one in own]
            found[name] = describe(torch.stack(rows).numpy(), labels.numpy())
        return found


class Material(Protocol):
    """What a job gets its data from; held as plain values."""

    def __hash__(self) -> int:
        """Tell it from others, so that its items are read once."""
        ...

    def unlabelled(self, source: str, count: int, seed: int) -> Maps:
        """Return at most so many unlabelled maps of a source."""
        ...

    def labelled(self, per_class: int, test: int, seed: int, held_out: bool) -> Labelled:
        """Return few labelled items of each class, and test items."""
        ...


@dataclass(frozen=True)
class ImageMaterial:
    """MNIST's digits, and photographs, characters or digits without labels."""

    def unlabelled(self, source: str, count: int, seed: int) -> Maps:
        """See `Material.unlabelled`; digits are none of those that have labels or are tested on."""
        if source == "photographs":
            return [one.float().mean(0) / 255 for one in photographs("train")][:count]
        images = font_characters("train") if source == "characters" else read_fetched("mnist", "train")
        chosen = np.random.default_rng(seed).permutation(len(images) // 2)[:count]
        return list(images.pixels[torch.from_numpy(chosen)].float()[:, 0] / 255)

    def labelled(self, per_class: int, test: int, seed: int, held_out: bool) -> Labelled:
        """See `Material.labelled`; held-out ones are training images of the set."""
        images = read_fetched("mnist", "train")
        others = images if held_out else read_fetched("mnist", "test")
        assert images.labels is not None and others.labels is not None
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(images) // 2) + len(images) // 2)
        found = [order[images.labels[order] == label][:per_class] for label in range(10)]
        chosen = torch.cat(found)
        rest = order[~torch.isin(order, chosen)] if held_out else torch.arange(len(others))
        judged = rest[:test]
        return Labelled(
            list(images.pixels[chosen].float()[:, 0] / 255),
            images.labels[chosen],
            list(others.pixels[judged].float()[:, 0] / 255),
            others.labels[judged],
        )


MELS = FeatureConfig(mels=24, normalisation="utterance")


@dataclass(frozen=True)
class SpeechMaterial:
    """Words of a corpus by speaker, and speech of another one without its texts.

    Attributes:
        source: manifest of the unlabelled speech.
        target: manifest of the words; a text is a class.
    """

    source: str
    target: str

    def unlabelled(self, source: str, count: int, seed: int) -> Maps:
        """See `Material.unlabelled`."""
        every = read_manifest(self.source)
        chosen = np.random.default_rng(seed).permutation(len(every))[:count]
        return _log_mels([every[n] for n in sorted(chosen)])

    def labelled(self, per_class: int, test: int, seed: int, held_out: bool) -> Labelled:
        """See `Material.labelled`: half of the speakers have labels, by the seed, the others are tested on.

        Held-out items are other recordings of the speakers with labels.
        """
        every = read_manifest(self.target)
        random = np.random.default_rng(seed)
        speakers = sorted({one.speaker for one in every})
        if len(speakers) < 2:
            raise DataError(
                f"{self.target}: has {len(speakers)} speaker; half of them are tested on, so give two or more."
            )
        mine = set(random.permutation(speakers)[: len(speakers) // 2])
        texts = sorted({one.text for one in every})
        known = [one for one in random.permutation(len(every)) if every[one].speaker in mine]
        train = [place for text in texts for place in [n for n in known if every[n].text == text][:per_class]]
        used = set(train)
        rest = [n for n in random.permutation(len(every)) if (every[n].speaker in mine) == held_out and n not in used]
        sides = [[every[n] for n in side] for side in (train, rest[:test])]
        labels = [torch.tensor([texts.index(one.text) for one in side]) for side in sides]
        return Labelled(_log_mels(sides[0]), labels[0], _log_mels(sides[1]), labels[1])


def _log_mels(utterances: Sequence[Utterance]) -> Maps:
    """Return the (mels, frames) log-mels of recordings."""
    store = build_store(utterances, MELS)
    return [store.load(store.view(one.id)).float().T.contiguous() for one in utterances]


@dataclass(frozen=True, kw_only=True)
class SelfTaughtConfig(Ranged):
    """Few labelled items described by what was learnt from unlabelled data of another kind.

    Attributes:
        sources: Kinds of unlabelled data: `photographs`, `characters` of fonts and other `digits`; of speech `speech`.
        patch: Rows and columns of a patch.
        stride: Step between patches.
        regions: Rows and columns of the regions that features are averaged over.
        kept: Directions of the whitened patches.
        patches: Unlabelled patches that are learnt from.
        maps: Unlabelled images or recordings that they come from, at most.
        features: Features of a patch, the same number of each way.
        active: Share of sparse codes that are not 0.
        labels: Labelled items of each class.
        test_items: Items that are judged.
        held_out: Whether items of the kind of the labelled ones are judged in place of the test items; settings are
            chosen on these.
        autoencoder: Training of the autoencoder.
        classifier: Training of the linear classifiers.
        clustered: Target items, and as many of each source, that are clustered without any label; 0 for none.
        feature_clusters: Clusters of the features.
        weights: Weights of the auxiliary items; 0 is the target alone.
        seeds: Random seeds of items, of initial weights and of batches.
        quick: Whether to take few of everything, to see that it runs; the figures mean nothing.
    """

    sources: Annotated[tuple[Source, ...], Filled(distinct=True)] = ("photographs", "characters", "digits")
    patch: tuple[Count, Count] = (8, 8)
    stride: Count = 3
    regions: tuple[Count, Count] = (2, 2)
    kept: Count = 48
    patches: Annotated[int, Range(at_least=200)] = 8000
    maps: Count = 2000
    features: Annotated[int, Range(at_least=4)] = 64
    active: Annotated[float, Range(above=0, below=1)] = 0.08
    labels: Annotated[tuple[Count, ...], Filled(distinct=True)] = (2, 10)
    test_items: Count = 500
    held_out: bool = False
    autoencoder: ImageTrainerConfig = field(default_factory=lambda: ImageTrainerConfig(steps=300, batch_budget=128))
    classifier: ImageTrainerConfig = field(
        default_factory=lambda: ImageTrainerConfig(steps=150, batch_budget=100, weight_decay=0.1)
    )
    clustered: Annotated[int, Range(at_least=0)] = 200
    feature_clusters: Count = 32
    weights: tuple[Annotated[float, Range(at_least=0)], ...] = (0.0, 0.3, 1.0)
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clustered and 0 not in self.weights:
            raise ConfigError("`weights` lacks 0, the target alone, which the others are compared with; add it.")

    def settled(self) -> SelfTaughtConfig:
        """Return the settings that are run: few of everything where it is to be quick."""
        if not self.quick:
            return self
        return replace(
            self,
            patches=200,
            maps=20,
            features=8,
            labels=self.labels[:1],
            test_items=20,
            autoencoder=replace(self.autoencoder, steps=5),
            classifier=replace(self.classifier, steps=5),
            clustered=min(self.clustered, 20),
            feature_clusters=4,
            seeds=self.seeds[:2],
        )

    def grid(self) -> Grid:
        """Return where patches are taken."""
        return Grid(*self.patch, self.stride, self.regions)


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


@dataclass(frozen=True)
class Row:
    """A way with one source over all seeds.

    Attributes:
        source: kind of the unlabelled data.
        way: name of the way.
        labels: labelled items of each class.
        error: share of test items that are wrong, with its interval over the seeds.
        change: change of it against `raw`.
        active: mean share of features of a patch that are not 0; None of `raw`.
    """

    source: str
    way: str
    labels: int
    error: Estimate
    change: Estimate
    active: float | None


@dataclass(frozen=True)
class ClusterRow:
    """Clusters with one source and weight over all seeds.

    Attributes:
        source: kind of the auxiliary items.
        weight: weight of what they lose.
        accuracy: share of items in the clusters of their class, with its interval over the seeds.
        change: change of it against the target alone.
    """

    source: str
    weight: float
    accuracy: Estimate
    change: Estimate


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


def self_taught_tables(
    rows: Sequence[Row], clusters: Sequence[ClusterRow], config: SelfTaughtConfig
) -> dict[str, list[Table]]:
    """Return the tables of the classifiers and of the clusters."""
    seeds = f"{len(config.seeds)} seeds, in brackets 95 % intervals over the seeds:"
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("unlabelled source", lambda row: row.source),
        ("labels a class", lambda row: str(row.labels)),
        ("described by", lambda row: WAYS[row.way]),
        ("wrong", lambda row: share_with_interval(row.error)),
        ("against raw, points", lambda row: "–" if row.way == RAW else points_with_interval(row.change)),
        ("features not 0", lambda row: "–" if row.active is None else f"{100 * row.active:.0f} %"),
    ]
    made = {"classifiers": [Table.of(rows, columns, f"Linear classifiers of few labelled items, {seeds}")]}
    if clusters:
        found: list[tuple[str, Callable[[ClusterRow], str]]] = [
            ("auxiliary items", lambda row: row.source),
            ("weight", lambda row: f"{row.weight:g}" if row.weight else "0 (target alone)"),
            ("in the cluster of their class", lambda row: share_with_interval(row.accuracy)),
            ("against the target alone, points", lambda row: points_with_interval(row.change) if row.weight else "–"),
        ]
        made["clusters"] = [Table.of(clusters, found, f"Clusters without any label, {seeds}")]
    return made
