"""Judges ways to recognise unseen classes: every two of the classes unseen in turn, alone and among all."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from asr_transfer.data.images import ClassVectors, cifar10_attributes, imagenet_names, word_vectors
from asr_transfer.experiments.images.frozen import Frozen
from asr_transfer.experiments.images.zero_shot_config import IMAGENET, UNSEEN, WAYS, ZeroShotConfig
from asr_transfer.experiments.images.zero_shot_fits import ATTRIBUTES, WORDS, Scorer, fit_ways
from asr_transfer.transfer.zero_shot import Judged, choose_calibration, convex_combination, cosine_scores, generalised


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
