"""Figures of classes are scikit-learn's, or those of loops over items, however the items are cut into batches."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sklearn_metrics

from asr_transfer.data.batching import Batch
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.class_counts import confusion_matrix
from asr_transfer.training.metrics import ClassConfusions, EpisodeError, GeneralisedZeroShot
from asr_transfer.training.streams import Metric, Output

CLASSES = 6


def logits(items: int, classes: int = CLASSES, seed: int = 0) -> torch.Tensor:
    """Return seeded scores in float64."""
    return torch.randn(items, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def feed(metric: Metric, scores: torch.Tensor, targets: torch.Tensor, size: int = 7) -> None:
    """Give a metric the items in batches of `size`."""
    for items in torch.arange(len(scores)).split(size):
        metric.update(Output(scores[items], None, {}, Batch(items, torch.zeros(len(items), 1), targets[items])))


def test_confusions_and_accuracies_are_those_of_scikit_learn() -> None:
    scores, targets = logits(50), torch.arange(50) % (CLASSES - 1)  # of the last class there are no items
    metric = ClassConfusions()
    assert set(metric.summary()) == {"error", "per_class_error"}
    feed(metric, scores, targets)
    predicted = scores.argmax(1)
    theirs = sklearn_metrics.confusion_matrix(targets, predicted, labels=range(CLASSES))
    assert np.array_equal(metric.matrix, theirs)
    recalls = sklearn_metrics.recall_score(targets, predicted, labels=range(CLASSES - 1), average=None)
    assert np.allclose(metric.accuracies[:-1], recalls, rtol=1e-12) and math.isnan(metric.accuracies[-1])
    assert metric.summary() == pytest.approx(
        {"error": 1 - sklearn_metrics.accuracy_score(targets, predicted), "per_class_error": 1 - recalls.mean()}
    )


def test_every_class_counts_the_same_however_few_items_it_has() -> None:
    targets = torch.tensor([0] * 9 + [1])
    metric = ClassConfusions()
    feed(metric, torch.eye(2)[torch.zeros(10, dtype=torch.long)], targets)
    assert metric.summary() == pytest.approx({"error": 0.1, "per_class_error": 0.5})


def test_outputs_are_scored_against_class_vectors() -> None:
    vectors, features = logits(CLASSES, 4, seed=3), logits(30, 4)
    targets = torch.arange(30) % CLASSES
    metric = ClassConfusions(vectors)
    feed(metric, features, targets)
    right = 0
    for feature, target in zip(features.tolist(), targets.tolist(), strict=True):
        scored = [sum(a * b for a, b in zip(feature, vector, strict=True)) for vector in vectors.tolist()]
        right += scored.index(max(scored)) == target
    assert metric.summary()["error"] == pytest.approx(1 - right / 30)


@pytest.mark.parametrize("calibration", [0.0, 0.8])
def test_generalised_zero_shot_is_that_of_a_loop(calibration: float) -> None:
    scores, targets, unseen = logits(80), torch.arange(80) % CLASSES, [1, 4]
    scores[torch.arange(80), targets] += 0.7
    metric = GeneralisedZeroShot(unseen, calibration=calibration)
    assert set(metric.summary()) == {"unseen_error", "seen_error", "harmonic_error"}
    feed(metric, scores, targets)
    shares: dict[bool, list[float]] = {True: [], False: []}
    for label in range(CLASSES):
        hits = []
        for row, target in zip(scores.tolist(), targets.tolist(), strict=True):
            if target == label:
                lowered = [own - (0 if number in unseen else calibration) for number, own in enumerate(row)]
                hits.append(lowered.index(max(lowered)) == label)
        shares[label in unseen].append(sum(hits) / len(hits))
    u, s = (sum(shares[kind]) / len(shares[kind]) for kind in (True, False))
    assert (metric.unseen, metric.seen, metric.harmonic) == pytest.approx((u, s, 2 * u * s / (u + s)))
    assert metric.summary() == pytest.approx(
        {"unseen_error": 1 - u, "seen_error": 1 - s, "harmonic_error": 1 - 2 * u * s / (u + s)}
    )


def test_what_is_always_taken_for_a_seen_class_has_no_harmonic_mean() -> None:
    metric = GeneralisedZeroShot([1])
    feed(metric, torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1), torch.tensor([0, 1, 1, 2]))
    assert (metric.unseen, metric.seen, metric.harmonic) == (0.0, 0.5, 0.0)


def test_episodes_count_the_same_and_have_a_t_interval() -> None:
    chance = random.Random(0)
    names = [f"episode {chance.randrange(9)}" for _ in range(60)]
    scores, targets = logits(60), torch.arange(60) % CLASSES
    metric = EpisodeError(names)
    assert set(metric.summary()) == {"error", "error_interval"}
    feed(metric, scores, targets)
    shares = []
    for name in dict.fromkeys(names):
        own = [n for n in range(60) if names[n] == name]
        shares.append(sum(int(scores[n].argmax()) == int(targets[n]) for n in own) / len(own))
    accuracy, half = metric.accuracy()
    low, high = stats.t.interval(0.95, len(shares) - 1, np.mean(shares), stats.sem(shares))
    assert (accuracy, accuracy - half, accuracy + half) == pytest.approx((np.mean(shares), low, high))
    assert metric.summary() == pytest.approx({"error": 1 - accuracy, "error_interval": half})


def test_an_episode_is_a_batch_or_an_item_with_queries_of_its_own() -> None:
    scores, targets = logits(24), torch.arange(24) % CLASSES
    batches, items = EpisodeError(), EpisodeError()
    feed(batches, scores, targets, size=8)
    feed(items, scores.reshape(3, 8, CLASSES), targets.reshape(3, 8), size=2)
    assert batches.errors.tolist() == items.errors.tolist() and len(items.errors) == 3
    assert batches.accuracy() == items.accuracy()


def test_classes_that_are_not_there_are_refused() -> None:
    with pytest.raises(DataError, match="class 6 is none of the 6 classes"):
        feed(ClassConfusions(), logits(1), torch.tensor([6]))
    with pytest.raises(DataError, match="class -1 is none"):
        confusion_matrix([0, -1], [0, 0], 2)
    with pytest.raises(DataError, match="2 items but 1 predictions"):
        confusion_matrix([0, 1], [0], 2)
    for unseen in ([], [-1], [2, 2]):
        with pytest.raises(ConfigError, match="`unseen` must name different classes"):
            GeneralisedZeroShot(unseen)
    for unseen in ([6], [0, 1, 2, 3, 4, 5]):
        with pytest.raises(ConfigError, match="some of the 6 classes"):
            feed(GeneralisedZeroShot(unseen), logits(1), torch.tensor([0]))
