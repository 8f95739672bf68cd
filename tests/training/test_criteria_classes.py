"""Losses of attributes, class vectors and soft labels are what loops over items in float64 give."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from asr_transfer.data.batching import Batch
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.training.criteria import binary_cross_entropy, cross_entropy, ranking_hinge, soft_targets
from asr_transfer.training.streams import Output


def output(logits: torch.Tensor, targets: torch.Tensor) -> Output:
    """Return what a model made of items without a time axis."""
    return Output(logits, None, {}, Batch(torch.arange(len(logits)), torch.zeros(len(logits), 1), targets))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return seeded normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_attributes_lose_the_logarithm_of_their_probabilities() -> None:
    logits, targets = 3 * normal(7, 5), (normal(7, 5, seed=1) > 0).long()
    loss, count = binary_cross_entropy(output(logits, targets))
    expected = 0.0
    for row, truth in zip(logits.tolist(), targets.tolist(), strict=True):
        for logit, present in zip(row, truth, strict=True):
            probability = 1 / (1 + math.exp(-logit))
            expected -= math.log(probability if present else 1 - probability)
    assert float(loss) == pytest.approx(expected, rel=1e-12) and int(count) == 7


def test_extreme_log_odds_are_no_infinite_loss() -> None:
    loss, _ = binary_cross_entropy(output(torch.tensor([[1e4, -1e4]]), torch.tensor([[0, 1]])))
    assert float(loss) == pytest.approx(2e4)


def test_soft_targets_lose_what_their_classes_lose_in_proportion() -> None:
    logits, targets = 2 * normal(6, 4), normal(6, 4, seed=1).softmax(1)
    loss, count = soft_targets(output(logits, targets.float()))
    expected = 0.0
    for row, shares in zip(logits.tolist(), targets.float().double().tolist(), strict=True):
        total = sum(math.exp(own) for own in row)
        expected -= sum(share * math.log(math.exp(own) / total) for own, share in zip(row, shares, strict=True))
    assert float(loss) == pytest.approx(expected, rel=1e-12) and int(count) == 6


def test_soft_targets_of_one_class_are_the_cross_entropy_and_so_is_their_gradient() -> None:
    labels = torch.tensor([0, 3, 1, 1])
    gradients = []
    for criterion, targets in ((cross_entropy, labels), (soft_targets, torch.eye(4, dtype=torch.float64)[labels])):
        logits = normal(4, 4).requires_grad_()
        criterion(output(logits, targets))[0].backward()
        gradients.append(logits.grad)
    assert gradients[0] is not None and gradients[1] is not None
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("form", ["max", "sum"])
def test_the_hinge_is_that_of_a_loop_over_wrong_classes(form: Literal["max", "sum"]) -> None:
    vectors, features = normal(5, 3, seed=1), normal(8, 3)
    labels = [number % 5 for number in range(8)]
    loss, count = ranking_hinge(0.7, vectors, form)(output(features, torch.tensor(labels)))
    expected = 0.0
    for feature, label in zip(features.tolist(), labels, strict=True):
        scores = [sum(a * b for a, b in zip(feature, vector, strict=True)) for vector in vectors.tolist()]
        wrong = [score for number, score in enumerate(scores) if number != label]
        short = [max(0.0, 0.7 - scores[label] + score) for score in wrong]
        expected += max(short) if form == "max" else sum(short)
    assert float(loss) == pytest.approx(expected, rel=1e-12) and int(count) == 8


@pytest.mark.parametrize("form", ["max", "sum"])
def test_the_hinge_is_zero_where_the_lead_is_the_margin_or_more_and_not_below(form: Literal["max", "sum"]) -> None:
    hinge = ranking_hinge(1.0, torch.eye(3, dtype=torch.float64), form)

    def lost(lead: float) -> float:
        return float(hinge(output(torch.tensor([[0.0, lead, 0.0]], dtype=torch.float64), torch.tensor([1])))[0])

    assert lost(1.0) == 0 and lost(1.5) == 0
    assert lost(0.75) == pytest.approx(0.25 * (1 if form == "max" else 2))


def test_the_hinge_is_computed_in_full_precision_under_autocast() -> None:
    vectors, features = normal(5, 64, seed=1).float(), normal(8, 64).float()
    labels = torch.arange(8) % 5
    hinge = ranking_hinge(0.7, vectors)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = hinge(output(features, labels))
    assert torch.equal(mixed, hinge(output(features, labels))[0])


def test_what_no_loss_can_be_made_of_is_refused_in_a_sentence() -> None:
    vectors = torch.eye(3)
    with pytest.raises(DataError, match="classes 0 and 2 have the same vector.*merge them"):
        ranking_hinge(1.0, vectors[[0, 1, 0]])
    with pytest.raises(DataError, match="vector of class 1 holds what is no number"):
        ranking_hinge(1.0, vectors / torch.tensor([[1.0], [0.0], [1.0]]))
    with pytest.raises(DataError, match="at least two classes"):
        ranking_hinge(1.0, vectors[:1])
    with pytest.raises(ConfigError, match="above 0"):
        ranking_hinge(0.0, vectors)
    with pytest.raises(ConfigError, match="'max' or 'sum', got 'mean'"):
        ranking_hinge(1.0, vectors, "mean")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="have 3 numbers each and the head's output 2"):
        ranking_hinge(1.0, vectors)(output(torch.zeros(1, 2), torch.tensor([0])))
    with pytest.raises(ValueError, match=r"shape \(1, 2\), got \(1, 3\)"):
        binary_cross_entropy(output(torch.zeros(1, 2), torch.zeros(1, 3)))
    with pytest.raises(ValueError, match="probability of every class"):
        soft_targets(output(torch.zeros(1, 2), torch.tensor([1])))
