"""Measures few-shot classification of images of new classes, by nets trained on episodes and by plain baselines."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
from torch.nn import functional

from asr_transfer.config import ImageConfig, ImageTrainerConfig, to_record
from asr_transfer.data.batching import ArrayData
from asr_transfer.data.episodes import Episodes, EpisodeShape
from asr_transfer.data.images import Images, font_characters, read_fetched
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, ItemData, read_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.images.sets import noted
from asr_transfer.models.efficientnet import fetched_efficientnet
from asr_transfer.models.image import image_network
from asr_transfer.models.weight_files import read_weights, write_weights
from asr_transfer.ranges import Count, Filled, Range, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.few_shot import EpisodeScores, Scorer, episode_loss, matching, prototypical
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.training.prediction import embed, predict
from asr_transfer.training.streams import Output, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.relation import Relation

HEAD = "vectors"
FEATURES = "features.safetensors"
Net = Literal["prototypical", "matching", "relation"]
NETS: tuple[Net, ...] = get_args(Net)
BASE = "pixels, linear SVM"
"""Way that all others are compared with."""


@dataclass(frozen=True, kw_only=True)
class FewShotConfig(Ranged):
    """New classes of images, of which one or a few examples each are known.

    Attributes:
        images: Images: `characters` of the fetched fonts, of scripts that no training sees; or `cifar10`, on the
            features of a network that was trained on ImageNet.
        nets: Nets that are trained on episodes of the training scripts; of characters alone.
        ways: Classes of an episode.
        shots: Numbers of examples of each class.
        queries: Queries of each class.
        size: Pixels of a side: of a character; of an image of CIFAR-10, which is enlarged for the network.
        drawings: Images of a character in one face.
        per_class: Images of each class of CIFAR-10.
        model: Network for characters.
        dim: Size of its vectors.
        trainer: Its training; a batch's budget is in images.
        episodes: Test episodes of each seed.
        seeds: Random seeds of the initial weights and of all episodes.
        quick: Whether to take few steps and episodes, to see that everything runs; the figures mean nothing.
    """

    images: Literal["characters", "cifar10"] = "characters"
    nets: Annotated[tuple[Net, ...], Filled(distinct=True)] = NETS
    ways: Count = 5
    shots: Annotated[tuple[Count, ...], Filled(distinct=True)] = (1, 5)
    queries: Count = 5
    size: Annotated[int, Range(at_least=8, at_most=512)] = 28
    drawings: Count = 1
    per_class: Count = 200
    model: ImageConfig = field(default_factory=lambda: ImageConfig(channels=(32, 48, 64), dense=(128,)))
    dim: Count = 64
    trainer: ImageTrainerConfig = field(default_factory=lambda: ImageTrainerConfig(steps=1500, batch_budget=120))
    episodes: Count = 300
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def settled(self) -> FewShotConfig:
        """Return the settings that are run: few steps and episodes where it is to be quick."""
        if not self.quick:
            return self
        size = min(self.size, 32)
        trainer = replace(self.trainer, steps=3)
        return replace(self, trainer=trainer, episodes=5, per_class=12, size=size, seeds=self.seeds[:2])

    def shape(self, shots: int) -> EpisodeShape:
        """Return the sizes of an episode."""
        return EpisodeShape(ways=self.ways, shots=shots, queries=self.queries)


@dataclass(frozen=True)
class TryWays(Job):
    """Trains the nets with one seed, and judges all ways on the same episodes.

    Attributes:
        seed: Random seed.
        config: Experiment.
    """

    seed: int
    config: FewShotConfig

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/seed-{self.seed}"

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
        return {"test": (self.config.images, noted(test_images(self.config)))}

    def run(self, record: RunRecord, data: Data) -> None:
        """Train, embed every test image once, and run the episodes."""
        begin = time.process_time()
        config, test = self.config, test_images(self.config)
        pixels = test.pixels.flatten(1).float() / 255
        judged: dict[str, tuple[torch.Tensor, Scorer]] = {BASE: (pixels, linear_svm), "pixels, 1-NN": (pixels, nearest)}
        history: dict[str, Sequence[Mapping[str, float]]] = {}
        if config.images == "cifar10":
            features = cached_features(test, config, record.folder.parent / FEATURES)
            judged |= {
                "features, linear SVM": (features, linear_svm),
                "features, 1-NN": (features, nearest),
                "features, prototypes": (features, prototypical),
                "features, matching": (features, matching),
            }
        for name in config.nets if config.images == "characters" else ():
            for shots in config.shots:
                vectors, scorer, history[f"{name}-{shots}"] = self._trained(name, shots, test, record)
                judged[f"{name} net@{shots}"] = vectors, scorer
                if name == "prototypical":
                    judged[f"{name} net's vectors, 1-NN@{shots}"] = vectors, nearest
                    judged[f"{name} net's vectors, linear SVM@{shots}"] = vectors, linear_svm
        rows = []
        for shots in config.shots:
            for full, (vectors, scorer) in judged.items():
                shown, _, only = full.partition("@")
                if only in ("", str(shots)):
                    error = self._judged(vectors, scorer, test, shots)
                    rows.append({"way": shown, "shots": shots, **error})
        spent = {"cpu_seconds": round(time.process_time() - begin, 1)}
        record.finish(scores={"rows": rows}, history=[], nets=history, training=spent)

    def _trained(
        self, name: Net, shots: int, test: Images, record: RunRecord
    ) -> tuple[torch.Tensor, Scorer, Sequence[Mapping[str, float]]]:
        """Train a net on episodes of the training scripts; return the test images' vectors, and its scorer."""
        config, shape = self.config, self.config.shape(shots)
        train = font_characters("train", config.size, config.drawings)
        assert train.labels is not None
        torch.manual_seed(self.seed)
        model = image_network(config.model, {HEAD: config.dim})
        episodes = config.trainer.steps * max(1, config.trainer.batch_budget // shape.images)
        data = Episodes(train.pixels, train.labels, shape, episodes, self.seed)
        relation = Relation(name, shape, config.dim)
        scorer: Scorer = {"prototypical": prototypical, "matching": matching, "relation": relation.score}[name]
        # A relation network is trained through its objective alone; its stream's own loss counts nothing.
        loss = episode_loss(shape, prototypical if name == "relation" else scorer)
        task = Task(name, data, loss, 0.0 if name == "relation" else 1.0, head=HEAD)
        objectives: list[tuple[Weight, Objective]] = [(1.0, relation)] if name == "relation" else []
        trainer = replace(config.trainer, seed=self.seed)
        result = Trainer(model, [task], objectives, None, trainer, log=record.log).train()
        relation.cpu().eval()
        return predict(model, ArrayData(test.pixels), HEAD), scorer, list(result.history)

    def _judged(self, vectors: torch.Tensor, scorer: Scorer, test: Images, shots: int) -> dict[str, float]:
        """Return the error over the test episodes, the same ones for all ways."""
        assert test.labels is not None
        shape = self.config.shape(shots)
        data = Episodes(vectors, test.labels, shape, self.config.episodes, self.seed)
        metric = EpisodeScores(shape, scorer)
        with torch.no_grad():
            for episode in range(self.config.episodes):
                batch = data.collate([episode])
                metric.update(Output(batch.inputs, None, {}, batch))
        return metric.summary()


def nearest(examples: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Return less the distance to each class's nearest example; see `Scorer`."""
    distances = torch.cdist(queries, examples.flatten(1, 2))
    return -distances.reshape(*distances.shape[:-1], *examples.shape[1:3]).amin(-1)


def linear_svm(examples: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Return the decision values of a linear SVM that is fitted to the examples; see `Scorer`.

    Vectors are scaled to length 1, so that one cost suits pixels, features and vectors alike.

    Raises:
        ConfigError: scikit-learn is missing.
    """
    try:
        from sklearn.svm import LinearSVC
    except ImportError:
        raise ConfigError("the linear SVM comes with scikit-learn, which is not installed; install it.") from None
    ways, shots = examples.shape[1:3]
    labels = np.arange(ways).repeat(shots)
    found = []
    for own, asked in zip(functional.normalize(examples, dim=-1), functional.normalize(queries, dim=-1), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of not having converged; the solution is as good
            fitted = LinearSVC(C=1.0, random_state=0).fit(own.flatten(0, 1).numpy(), labels)
        values = torch.from_numpy(fitted.decision_function(asked.numpy())).float()
        found.append(values if ways > 2 else torch.stack([-values, values], -1))
    return torch.stack(found)


def test_images(config: FewShotConfig) -> Images:
    """Return the images that episodes are drawn from.

    Raises:
        DataError: They were not fetched.
    """
    if config.images == "characters":
        return font_characters("test", config.size, config.drawings)
    found = read_fetched("cifar10", "test")
    assert found.labels is not None
    chosen = [(found.labels == label).nonzero().flatten()[: config.per_class] for label in range(len(found.classes))]
    return found.pick(torch.cat(chosen))


def cached_features(images: Images, config: FewShotConfig, file: Path) -> torch.Tensor:
    """Return the (items, dim) features of the published network, computed once and kept in a file."""
    if file.is_file():
        return read_weights(file)["features"]
    model = fetched_efficientnet()
    parts = [images.pick(slice(first, first + 100)).resized(config.size) for first in range(0, len(images), 100)]
    features = torch.cat([embed(model, ArrayData(part.pixels), budget=20) for part in parts])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_weights(file, {"features": features})
    return features


@dataclass(frozen=True)
class Row:
    """A way over all seeds.

    Attributes:
        way: Name of the way.
        shots: Examples of each class.
        right: Share of queries that are right, with its interval over the seeds.
        gain: Change of that against the linear SVM on pixels.
    """

    way: str
    shots: int
    right: Estimate
    gain: Estimate


def run_few_shot(config: FewShotConfig, folder: Path, workers: int, backend: Backend = "processes") -> list[Row]:
    """Run all ways with all seeds, and return a row for each.

    Args:
        config: Experiment, settled.
        folder: Run folder of the experiment.
        workers: Parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Raises:
        DataError: Images were not fetched, or there are fewer classes than ways.
    """
    test = test_images(config)
    assert test.labels is not None
    for shots in config.shots:
        Episodes(test.pixels, test.labels, config.shape(shots), 1, 0)  # too few of something is told at once
    if config.images == "cifar10":
        cached_features(test, config, folder / "points" / FEATURES)
    jobs = [TryWays(seed, config) for seed in config.seeds]
    for _ in run_jobs(folder, jobs, workers, "seeds", backend):
        pass
    found = [read_finished(folder / job.name)["scores"]["rows"] for job in jobs]
    rows = []
    for number, first in enumerate(found[0]):
        base = next(n for n, row in enumerate(found[0]) if (row["way"], row["shots"]) == (BASE, first["shots"]))
        errors, before = ([own[n]["error"] for own in found] for n in (number, base))
        # An interval of counts: of shares, its half of an error for nothing would weigh as much as all queries.
        asked = np.full(len(errors), config.episodes * config.ways * config.queries)
        wrong, change = clusters.rate(asked * errors, asked), _change(before, errors)
        rows.append(Row(first["way"], first["shots"], _less(1, wrong), _less(0, change)))
    return rows


def _change(before: Sequence[float], after: Sequence[float]) -> Estimate:
    return clusters.difference(before, after, np.ones(len(before)))


def _less(whole: float, part: Estimate) -> Estimate:
    low, high = (None if end is None else whole - end for end in (part.high, part.low))
    return replace(part, value=whole - part.value, low=low, high=high)


def few_shot_table(rows: Sequence[Row], config: FewShotConfig) -> Table:
    """Return the table of all ways."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("way", lambda row: row.way),
        ("examples of a class", lambda row: str(row.shots)),
        ("right %", lambda row: _told(row.right, "")),
        ("against the SVM on pixels, points", lambda row: "–" if row.way == BASE else _told(row.gain, "+")),
    ]
    title = (
        f"{config.ways} new classes of {config.images}, {len(config.seeds)} seeds of {config.episodes} episodes, in "
        "brackets 95 % intervals over the seeds:"
    )
    return Table.of(rows, columns, title)


def _told(found: Estimate, sign: str) -> str:
    def form(value: float) -> str:
        return f"{100 * value:{sign}.1f}"

    ends = "" if found.low is None or found.high is None else f" ({form(found.low)} … {form(found.high)})"
    return f"{form(found.value)}{ends}"
