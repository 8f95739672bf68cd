"""Recognises classes of images without an example of them, from attributes or from the vectors of their names.

Every two of the classes stay unseen in turn. A way is fitted on the others, and tells the two apart (zero-shot), or all
classes (generalised zero-shot, where scores of seen classes are lowered by a constant that was found on seen classes).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch.nn.functional import normalize

from asr_transfer.config import ImageTrainerConfig, to_record
from asr_transfer.data.images import (
    ClassVectors,
    Images,
    cifar10_attributes,
    imagenet_names,
    read_fetched,
    word_vectors,
)
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.clusters import Estimate, difference, rate
from asr_transfer.evaluation.plots import Plot, Point, intervals
from asr_transfer.experiments.core.effects import points_with_interval, share_with_interval
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, ItemData, read_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.images.frozen import Frozen, frozen_features
from asr_transfer.experiments.images.sets import noted
from asr_transfer.experiments.images.zero_shot_fits import ATTRIBUTES, WORDS, FitSettings, Scorer, fit_ways
from asr_transfer.ranges import Count, Filled, Range, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.transfer.zero_shot import Judged, choose_calibration, convex_combination, cosine_scores, generalised

SET = "cifar10"
IMAGENET = "conse-imagenet"
"""ConSE from the network's own probabilities of ImageNet's classes: nothing at all is fitted."""

WAYS: dict[str, tuple[str, str]] = {
    "dap": (ATTRIBUTES, "DAP"),
    "iap": (ATTRIBUTES, "IAP"),
    "embedding-attributes": (ATTRIBUTES, "embedding, hinge"),
    "pull-attributes": (ATTRIBUTES, "embedding, pull alone"),
    "devise-attributes": (ATTRIBUTES, "DeViSE"),
    "eszsl-attributes": (ATTRIBUTES, "ESZSL"),
    "conse-attributes": (ATTRIBUTES, "ConSE"),
    "relation-attributes": (ATTRIBUTES, "relation network"),
    "embedding-words": (WORDS, "embedding, hinge"),
    "pull-words": (WORDS, "embedding, pull alone"),
    "devise-words": (WORDS, "DeViSE"),
    "eszsl-words": (WORDS, "ESZSL"),
    "conse-words": (WORDS, "ConSE"),
    "relation-words": (WORDS, "relation network"),
    IMAGENET: (WORDS, "ConSE, ImageNet's probabilities"),
}
"""Kind of class vectors, and title, of each way."""

UNSEEN = 2
"""Classes that stay unseen at once."""


@dataclass(frozen=True, kw_only=True)
class ZeroShotConfig(Ranged):
    """Recognition of classes without an example, on CIFAR-10: every two classes stay unseen in turn.

    Attributes:
        size: Pixels of a side that images are enlarged to for the network.
        images: Training images of each class, drawn anew with each seed.
        pool: Training images of each class that they are drawn from.
        test_images: Test images of each class.
        held_out: Whether training images that no way is fitted on are judged in place of the test images; settings are
            chosen on these.
        folds: Pairs of seen classes that play unseen ones, at least, for each unseen pair, to find the constant.
        pairs: Number of pairs of classes that stay unseen, from the first; 0 for all.
        fits: Settings of the ways.
        trainer: Training of those that are trained.
        seeds: Random seeds of the images that are drawn, of initial weights and of batches.
        quick: Whether to take few images, steps and pairs, to see that everything runs; the figures mean nothing.
    """

    size: Annotated[int, Range(at_least=32, at_most=512)] = 80
    images: Annotated[int, Range(at_least=5)] = 100
    pool: Annotated[int, Range(at_least=5)] = 150
    test_images: Annotated[int, Range(at_least=1)] = 100
    held_out: bool = False
    folds: Count = 2
    pairs: Annotated[int, Range(at_least=0)] = 0
    fits: FitSettings = field(default_factory=FitSettings)
    trainer: ImageTrainerConfig = field(
        default_factory=lambda: ImageTrainerConfig(steps=100, max_gradient_norm=0.0, weight_decay=0.1)
    )
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images > self.pool:
            raise ConfigError(f"`images` is {self.images}, but the `pool` has {self.pool} of each class; take fewer.")
        if self.trainer.max_gradient_norm:
            raise ConfigError(
                "`trainer.max_gradient_norm` must be 0: ways that share a training would shorten each other's steps."
            )

    def settled(self) -> ZeroShotConfig:
        """Return the settings that are run: few images, steps and pairs where it is to be quick."""
        if not self.quick:
            return self
        few = min(self.images, 10)
        trainer = replace(self.trainer, steps=5)
        fits = replace(self.fits, relation=replace(self.fits.relation, steps=5))
        small = replace(self, images=few, pool=few, test_images=5, folds=1, pairs=3, seeds=self.seeds[:2])
        return replace(small, trainer=trainer, fits=fits)


def class_vectors() -> dict[str, ClassVectors]:
    """Return the vectors of CIFAR-10's classes by kind: attributes, and the word vectors of their names.

    Those of words are turned to as few numbers as there are classes, which leaves all products as they are.

    Raises:
        DataError: the word vectors were not fetched, or two classes have the same vector.
    """
    attributes = cifar10_attributes()
    left, values, _ = torch.linalg.svd(normalize(word_vectors(attributes.names), dim=1), full_matrices=False)
    found = {ATTRIBUTES: attributes, WORDS: ClassVectors(attributes.names, left * values)}
    for own in found.values():
        own.require_distinct()
    return found


def from_imagenet(probabilities: torch.Tensor, classes: Sequence[str], top: int) -> torch.Tensor:
    """Return (items, classes) ConSE's scores from the probabilities of ImageNet's classes, by the names' word vectors.

    Args:
        probabilities: (items, 1000) probabilities.
        classes: names of the classes to choose from.
        top: likeliest classes of ImageNet that the mean is of.

    Raises:
        DataError: the names or the word vectors were not fetched.
    """
    first = [name.split(",")[0] for name in imagenet_names()]
    every = normalize(word_vectors([*first, *classes]), dim=1)
    return cosine_scores(convex_combination(probabilities, every[: len(first)], top), every[len(first) :])


def pseudo_unseen(classes: int, folds: int, seed: int) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """Return, for each pair of classes, pairs of the others that play unseen ones when the constant is found.

    A fit without the four classes of two pairs serves either of them, so that pairs are matched to need few fits.

    Args:
        classes: number of classes, at least 5.
        folds: pairs for each, at least.
        seed: random seed of the matching.
    """
    random = np.random.default_rng(seed)
    pairs = [tuple(pair) for pair in itertools.combinations(range(classes), UNSEEN)]
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {pair: [] for pair in pairs}
    for place in random.permutation(len(pairs)):
        pair = pairs[place]
        while len(found[pair]) < folds:
            others = [other for other in pairs if not set(other) & set(pair) and other not in found[pair]]

            def served(other: tuple[int, ...], pair: tuple[int, ...] = pair) -> int:
                four = sorted({*pair, *other})
                return sum(len(found[one]) < folds for one in itertools.combinations(four, UNSEEN))

            best = max((others[n] for n in random.permutation(len(others))), key=served)
            four = tuple(sorted({*pair, *best}))
            for one in itertools.combinations(four, UNSEEN):
                rest = tuple(sorted(set(four) - set(one)))
                if rest not in found[one]:
                    found[one].append(rest)
    return found


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


@dataclass
class Tally:
    """What came out of a way with one seed.

    Attributes:
        pairs: accuracy between the two unseen classes, by pair, each class counting the same.
        right, items: right items and items of each class among the pairs that it is unseen in.
        plain, calibrated: u, s and H of each pair among all classes, as the scores are and with the constant.
        spread: spread of the classes' places at the end of a training, as a share of that before it; empty for none.
    """

    pairs: list[float] = field(default_factory=list)
    right: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    plain: list[tuple[float, float, float]] = field(default_factory=list)
    calibrated: list[tuple[float, float, float]] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """Return means over the pairs, and what the rows are made of."""
        plain, calibrated = np.mean(self.plain, axis=0), np.mean(self.calibrated, axis=0)
        return {
            "accuracy": float(np.mean(self.pairs)),
            "worst_pair": min(self.pairs),
            "pairs": self.pairs,
            "per_class": {name: self.right[name] / self.items[name] for name in self.right},
            **dict(zip(("u", "s", "h"), map(float, plain), strict=True)),
            **dict(zip(("calibrated_u", "calibrated_s", "calibrated_h"), map(float, calibrated), strict=True)),
            "spread": float(np.mean(self.spread)) if self.spread else None,
        }


def judge_all(
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[Frozen, torch.Tensor],
    classes: Sequence[str],
    vectors: Mapping[str, ClassVectors],
    config: ZeroShotConfig,
    seed: int,
) -> dict[str, Tally]:
    """Return what comes out of each way over the pairs of unseen classes.

    Args:
        train: (items, dim) features and (items,) classes of the training images.
        test: outputs of the network for the images that are judged, and their classes.
        classes: names of the classes.
        vectors: their vectors, by kind.
        config: the experiment.
        seed: random seed.
    """
    features, labels = train
    trainer = replace(config.trainer, seed=seed)
    own = {kind: one.of(classes) for kind, one in vectors.items()}
    every = range(len(classes))
    matched = pseudo_unseen(len(classes), config.folds, seed)
    pairs = list(matched)[: config.pairs or None]
    # A fifth of each class's images is not fitted where a constant is found: seen classes are judged on it.
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for label in every:
        places = (labels == label).nonzero().flatten()
        kept[places[: max(1, len(places) // 5)]] = True

    @cache
    def without(unseen: tuple[int, ...], fold: bool) -> tuple[dict[str, Scorer], dict[str, float]]:
        seen = [label for label in every if label not in unseen]
        used = torch.isin(labels, torch.tensor(seen)) & ~(kept & fold)
        return fit_ways(features[used], labels[used], seen, own, config.fits, trainer)

    @cache
    def fold_scores(four: tuple[int, ...]) -> dict[str, torch.Tensor]:
        return {name: way(features[kept]) for name, way in without(four, True)[0].items()}

    frozen, truth = test
    fixed = from_imagenet(frozen.probabilities, classes, 10)
    found = {name: Tally() for name in WAYS}
    for pair in pairs:
        ways, spread = without(pair, False)
        columns = torch.tensor(pair)
        for name, tally in found.items():
            scores = fixed if name == IMAGENET else ways[name](frozen.features)
            best = columns[scores[:, columns].argmax(1)]
            accuracies = []
            for label in pair:
                mine = best[truth == label] == label
                tally.right[classes[label]] = tally.right.get(classes[label], 0) + int(mine.sum())
                tally.items[classes[label]] = tally.items.get(classes[label], 0) + len(mine)
                accuracies.append(float(mine.float().mean()))
            tally.pairs.append(sum(accuracies) / len(accuracies))
            together = Judged(scores, truth, pair)
            constant = 0.0
            if name != IMAGENET:
                folds = [
                    _fold(fold_scores(tuple(sorted({*pair, *other})))[name], labels[kept], pair, other)
                    for other in matched[pair]
                ]
                constant = choose_calibration(folds)
            tally.plain.append(generalised(together))
            tally.calibrated.append(generalised(together, constant))
            if name in spread:
                tally.spread.append(spread[name])
    return found


def _fold(scores: torch.Tensor, labels: torch.Tensor, pair: Sequence[int], pseudo: Sequence[int]) -> Judged:
    """Return scores in which some classes play unseen ones; the unseen pair has no column and no item in it."""
    columns = [label for label in range(scores.shape[1]) if label not in pair]
    mine = torch.isin(labels, torch.tensor(columns))
    renumbered = torch.searchsorted(torch.tensor(columns), labels[mine])
    return Judged(scores[mine][:, columns], renumbered, [columns.index(label) for label in pseudo])


@dataclass(frozen=True)
class Row:
    """A way over all seeds.

    Attributes:
        way: its name.
        accuracy: accuracy between the two unseen classes, the mean over all pairs, with its interval over the seeds.
        change: change of it against DAP, from attributes, or against ConSE, from words.
        worst_pair: mean over seeds of the least accuracy of a pair.
        u, s, h: accuracies of unseen and seen classes among all, and their harmonic mean, as the scores are.
        calibrated_u, calibrated_s: the same with the constant.
        calibrated_h: the harmonic mean with the constant, with its interval over the seeds.
        per_class: accuracy of each class where it is one of the two unseen ones.
        spread: spread of the classes' places at the end, as a share of that at the beginning; None of other ways.
    """

    way: str
    accuracy: Estimate
    change: Estimate
    worst_pair: float
    u: float
    s: float
    h: float
    calibrated_u: float
    calibrated_s: float
    calibrated_h: Estimate
    per_class: Mapping[str, float]
    spread: float | None


BASE = {ATTRIBUTES: "dap", WORDS: "conse-words"}
"""Way that others with the same kind of class vectors are compared with."""


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


def zero_shot_tables(rows: Sequence[Row], config: ZeroShotConfig) -> list[Table]:
    """Return the tables of the unseen classes alone, of all classes, and of each class."""
    seeds = f"{len(config.seeds)} seeds, in brackets 95 % intervals over the seeds:"
    name: list[tuple[str, Callable[[Row], str]]] = [
        ("class vectors", lambda row: WAYS[row.way][0]),
        ("way", lambda row: WAYS[row.way][1]),
    ]
    base = set(BASE.values())
    alone: list[tuple[str, Callable[[Row], str]]] = [
        ("right of two unseen classes", lambda row: share_with_interval(row.accuracy)),
        ("against DAP or ConSE, points", lambda row: "–" if row.way in base else points_with_interval(row.change)),
        ("worst pair", lambda row: f"{100 * row.worst_pair:.1f} %"),
        ("spread kept", lambda row: "–" if row.spread is None else f"{100 * row.spread:.0f} %"),
    ]
    together: list[tuple[str, Callable[[Row], str]]] = [
        ("u", lambda row: f"{100 * row.u:.1f}"),
        ("s", lambda row: f"{100 * row.s:.1f}"),
        ("H", lambda row: f"{100 * row.h:.1f}"),
        ("u, calibrated", lambda row: "–" if row.way == IMAGENET else f"{100 * row.calibrated_u:.1f}"),
        ("s, calibrated", lambda row: "–" if row.way == IMAGENET else f"{100 * row.calibrated_s:.1f}"),
        ("H, calibrated", lambda row: "–" if row.way == IMAGENET else share_with_interval(row.calibrated_h)),
    ]
    classes = list(rows[0].per_class)
    each = [(one, lambda row, one=one: f"{100 * row.per_class[one]:.0f}") for one in classes]
    return [
        Table.of(rows, [*name, *alone], f"Between two unseen classes, chance 50 %, {seeds}"),
        Table.of(rows, [*name, *together], f"Among all classes, in per cent, {seeds}"),
        Table.of(rows, [*name, *each], "Right of each class, in per cent, where it is one of the two unseen ones:"),
    ]


def zero_shot_plot(rows: Sequence[Row]) -> Plot:
    """Return the accuracy of each way with its interval; the line is chance."""
    points = []
    for row in rows:
        low, high = (row.accuracy.value if end is None else end for end in (row.accuracy.low, row.accuracy.high))
        title = f"{WAYS[row.way][1]}, {WAYS[row.way][0]}"
        points.append(Point(title, 100 * row.accuracy.value, 100 * low, 100 * high))
    caption = "Accuracy between two classes that were never seen, mean over all pairs, with 95 % intervals over seeds."
    return intervals(points, "right of two unseen classes, %", caption, 50.0)
