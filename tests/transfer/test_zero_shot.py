"""Ways to know unseen classes keep their identities: closed forms, sums over all cases, margins and constants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from asr_transfer.config import ImageTrainerConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.models.vectors import VectorConfig, VectorModel
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.forward import run
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.zero_shot import (
    AttributePrediction,
    ClassEmbedding,
    ClassRelation,
    Judged,
    averaged_attributes,
    bilinear_scores,
    choose_calibration,
    class_ridge,
    convex_combination,
    cosine_scores,
    fit_bilinear,
    generalised,
)

SIGNATURES = torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]])


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_attribute_prediction_is_the_sum_over_all_that_attributes_can_be() -> None:
    odds, unseen = _random(5, 4), torch.tensor([[1.0, 1, 1, 1], [0, 0, 1, 0]])
    direct = AttributePrediction(SIGNATURES)
    found = direct.scores(odds, unseen)
    prior, true = SIGNATURES.double().mean(0), odds.sigmoid()
    for item, (label, signature) in itertools.product(range(5), enumerate(unseen.double())):
        total = 0.0
        for values in itertools.product((0.0, 1.0), repeat=4):
            own = torch.tensor(values, dtype=torch.float64)
            likely = float((own * true[item] + (1 - own) * (1 - true[item])).prod())  # p(a | x)
            evidence = float((own * prior + (1 - own) * (1 - prior)).prod())  # p(a)
            total += likely * (1 / evidence if torch.equal(own, signature) else 0.0)  # p(z | a), but for p(z)
        assert float(found[item, label].exp()) == pytest.approx(total, rel=1e-12)


def test_attributes_that_no_seen_class_differs_in_have_no_say() -> None:
    seen = torch.cat([SIGNATURES, torch.ones(4, 1)], 1)
    direct, odds = AttributePrediction(seen), _random(3, 5)
    plain = AttributePrediction(SIGNATURES).scores(odds[:, :4], SIGNATURES)
    assert torch.equal(direct.scores(odds, torch.cat([SIGNATURES, torch.zeros(4, 1)], 1)), plain)
    with pytest.raises(DataError, match="no attribute is true of some seen classes"):
        AttributePrediction(torch.ones(3, 2))
    with pytest.raises(DataError, match=r"attribute 2 of class 1 is 0.5; attribute prediction needs 0 or 1"):
        AttributePrediction(torch.tensor([[1, 0.5]]))
    with pytest.raises(DataError, match="have 5 attributes, the items 4"):
        direct.scores(odds[:, :4], seen)


def test_attributes_of_a_certain_class_are_that_classes() -> None:
    odds = averaged_attributes(torch.eye(4), SIGNATURES)
    assert torch.equal(odds > 0, SIGNATURES > 0) and odds.abs().max() == pytest.approx(np.log(0.98 / 0.02), abs=1e-4)


@pytest.mark.parametrize("items", [12, 6])
def test_the_bilinear_maps_gradient_is_zero(items: int) -> None:
    x, s, labels = _random(items, 8), _random(4, 3, seed=1), torch.arange(items) % 4
    gamma, lam = 0.7, 0.3
    v = fit_bilinear(class_ridge(x, labels, 4, gamma), s, lam).requires_grad_()
    y = 2 * torch.nn.functional.one_hot(labels, 4).double() - 1
    squares = [bilinear_scores(x, v, s) - y, gamma**0.5 * v @ s.T, lam**0.5 * x @ v, (gamma * lam) ** 0.5 * v]
    objective = torch.stack([part.square().sum() for part in squares]).sum()
    (gradient,) = torch.autograd.grad(objective, v)
    assert v.dtype == torch.float64 and gradient.abs().max() < 1e-10
    with pytest.raises(DataError, match="`gamma` above 0"):
        class_ridge(x, labels, 4, 0)
    with pytest.raises(DataError, match="a vector for each of 4 classes; got 0.3 and 3 vectors"):
        fit_bilinear(_random(8, 4), _random(3, 3), lam)


def test_the_mean_of_one_class_is_its_own_vector() -> None:
    vectors, chances = _random(5, 3), _random(7, 5, seed=1).softmax(1)
    assert torch.equal(convex_combination(chances, vectors, 1), vectors[chances.argmax(1)])
    torch.testing.assert_close(convex_combination(chances, vectors, 5), chances @ vectors)
    assert cosine_scores(vectors, vectors).argmax(1).tolist() == list(range(5))
    for top in (0, 6):
        with pytest.raises(ConfigError, match="from 1 to the 5 classes"):
            convex_combination(chances, vectors, top)


class _Fixed(VectorModel):
    """A model whose head gives the features as they are."""

    def __init__(self, dim: int) -> None:
        super().__init__(VectorConfig(dim), {"f": dim})
        self.double()
        with torch.no_grad():
            self.heads["f"].weight.copy_(torch.eye(dim))  # type: ignore[operator]
            self.heads["f"].bias.zero_()  # type: ignore[operator]


def _loss(objective: ClassEmbedding | ClassRelation, model: VectorModel, x: torch.Tensor, y: torch.Tensor) -> float:
    task = Task("seen", ArrayData(x, y), cross_entropy, head="f")
    output = run(model, task, task.data.collate(range(len(x))), ["encoder"])
    return float(objective(model, {"seen": output}))


def test_the_hinge_is_zero_where_the_right_class_leads_by_the_margin() -> None:
    vectors = torch.eye(3, dtype=torch.float64)
    model = _Fixed(3)
    for form in ("max", "sum"):
        own = ClassEmbedding("seen", "f", "encoder", vectors, 3, form, margin=0.5)  # type: ignore[arg-type]
        with torch.no_grad():
            own.map.weight.copy_(torch.eye(3))
            own.map.bias.zero_()
        leads = torch.tensor([[0.5, 0, 0], [2.0, 1.0, 1.5]], dtype=torch.float64)
        assert _loss(own, model, leads, torch.tensor([0, 0])) == 0
        assert _loss(own, model, leads[:1] * 0.8, torch.tensor([0])) == pytest.approx(0.1 if form == "max" else 0.2)
        assert own.scores(leads, vectors).tolist() == leads.tolist()
    with pytest.raises(DataError, match="classes 0 and 1 have the same vector"):
        ClassEmbedding("seen", "f", "encoder", torch.ones(2, 3), 3)
    with pytest.raises(ConfigError, match="must be 'max', 'sum' or 'pull'"):
        ClassEmbedding("seen", "f", "encoder", vectors, 3, "push")  # type: ignore[arg-type]


def test_a_pull_without_wrong_classes_ends_in_one_point_and_the_hinge_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 4
    x = torch.randn(240, 6, generator=generator) + 2 * torch.eye(6)[labels]
    model = VectorModel(VectorConfig(6), {"f": 4, "pull": 4, "hinge": 4})
    vectors = torch.eye(4)
    ways = {
        "pull": ClassEmbedding("seen", "pull", "encoder", vectors, 4, "pull"),
        "hinge": ClassEmbedding("seen", "hinge", "encoder", vectors, 4, "max"),
    }
    before = {name: way.spread() for name, way in ways.items()}
    config = ImageTrainerConfig(steps=200, learning_rate=0.02, max_gradient_norm=0.0, device="cpu")
    task = Task("seen", ArrayData(x, labels), cross_entropy, head="f")
    Trainer(model, [task], [(1.0, way) for way in ways.values()], config=config).train()
    assert ways["pull"].spread() < 0.1 * before["pull"] and ways["hinge"].spread() > 0.5 * before["hinge"]
    with torch.no_grad():
        guesses = ways["hinge"].scores(model.head("hinge")(x), vectors).argmax(1)
    assert (guesses == labels).float().mean() > 0.8


def test_the_relation_is_that_of_item_and_vector_side_by_side() -> None:
    vectors, model = _random(3, 2), _Fixed(4)
    relation = ClassRelation("seen", "f", "encoder", vectors, units=4, hidden=5)
    x, y = _random(6, 4, seed=2), torch.arange(6) % 3
    found = relation.scores(x, vectors)
    with torch.no_grad():
        for item, label in itertools.product(range(6), range(3)):
            side = torch.cat([x[item], relation.side(vectors[label])])
            layer = torch.relu(torch.cat([torch.eye(4), torch.eye(4)], 1).double() @ side)
            assert float(found[item, label]) == pytest.approx(float(relation.relation(layer)), rel=1e-12)
        wanted = torch.nn.functional.one_hot(y, 3)
    expected = (found.sigmoid() - wanted).square().sum(1).mean()
    assert _loss(relation, model, x, y) == pytest.approx(float(expected), rel=1e-12)
    assert torch.equal(relation.scores(x, vectors[[2, 0]]), found[:, [2, 0]]), "a class's score is its own"


def test_a_calibration_is_found_where_seen_classes_win_too_often() -> None:
    labels = torch.arange(60) % 4
    right = torch.nn.functional.one_hot(labels, 4).double() + 0.1 * _random(60, 4)
    judged = Judged(right + torch.tensor([3.0, 3.0, 0, 0]), labels, (2, 3))
    assert generalised(judged) == (0, 1, 0)
    constant = choose_calibration([judged])
    assert 2 < constant < 4 and generalised(judged, constant) == (1, 1, 1)
    # u, s and H as counted one by one.
    scores = _random(60, 4, seed=5)
    for shift in (0.0, 0.4):
        guesses = (scores - shift * torch.tensor([1.0, 1, 0, 0])).argmax(1)
        shares = [float((guesses[labels == label] == label).float().mean()) for label in range(4)]
        s, u = (shares[0] + shares[1]) / 2, (shares[2] + shares[3]) / 2
        assert generalised(Judged(scores, labels, (2, 3)), shift) == pytest.approx((u, s, 2 * u * s / (u + s)))
    with pytest.raises(DataError, match="at least one fold"):
        choose_calibration([])
    with pytest.raises(DataError, match="no item of an unseen class"):
        generalised(Judged(right[labels < 2], labels[labels < 2], (2, 3)))
