"""Few-shot episodes: what they hold, what the scores are equal to, and what training on them gains."""

from __future__ import annotations

import pytest
import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig
from asr_transfer.data.episodes import Episodes, EpisodeShape
from asr_transfer.errors import DataError
from asr_transfer.models.image import ImageModel
from asr_transfer.training.few_shot import (
    EpisodeScores,
    Scorer,
    attended,
    divided,
    episode_loss,
    matching,
    prototypical,
)
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.relation import Relation

SHAPE = EpisodeShape(ways=3, shots=2, queries=4)


def _parts(shots: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    examples = torch.randn(2, 3, shots, 5, generator=random, dtype=torch.float64)
    return examples, torch.randn(2, 7, 5, generator=random, dtype=torch.float64)


def _relation() -> Scorer:
    torch.manual_seed(0)
    return Relation("episodes", SHAPE, 5).double().score


SCORERS = [prototypical, matching, _relation()]


def test_a_prototypical_network_is_a_linear_classifier() -> None:
    examples, queries = _parts()
    means = examples.mean(2)
    linear = queries @ (2 * means).transpose(1, 2) - means.square().sum(-1)[:, None]
    torch.testing.assert_close(prototypical(examples, queries), linear - queries.square().sum(-1, keepdim=True))


def test_of_one_example_each_it_is_the_nearest_neighbour() -> None:
    examples, queries = _parts(shots=1)
    nearest = torch.cdist(queries, examples[:, :, 0]).argmin(-1)
    assert torch.equal(prototypical(examples, queries).argmax(-1), nearest)


def test_the_attention_of_a_matching_network_sums_to_one() -> None:
    examples, queries = _parts()
    attention = attended(examples, queries)
    torch.testing.assert_close(attention.sum((-1, -2)), torch.ones(2, 7, dtype=torch.float64))
    torch.testing.assert_close(matching(examples, queries).exp(), attention.sum(-1))


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_order_of_examples_changes_nothing_and_that_of_classes_only_the_order_of_scores(scorer: Scorer) -> None:
    examples, queries = _parts()
    scores = scorer(examples, queries)
    assert scores.shape == (2, 7, 3)
    torch.testing.assert_close(scorer(examples.flip(2), queries), scores)
    torch.testing.assert_close(scorer(examples.flip(1), queries), scores.flip(-1))


@pytest.mark.parametrize("scorer", SCORERS)
def test_labels_drawn_at_random_are_found_by_chance(scorer: Scorer) -> None:
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(120, 5, generator=random, dtype=torch.float64)
    labels = torch.arange(120)[torch.randperm(120, generator=random)] % 6
    data = Episodes(inputs, labels, SHAPE, 400, 0)
    metric = EpisodeScores(SHAPE, scorer)
    batch = data.collate(range(400))
    metric.update(Output(batch.inputs, None, {}, batch))
    accuracy, half = metric.accuracy()
    assert abs(accuracy - 1 / 3) < 2 * half < 0.05


def test_an_episode_has_examples_then_queries_of_the_same_classes_and_none_twice() -> None:
    labels = torch.arange(60) % 5
    data = Episodes(torch.arange(60).float()[:, None], labels, SHAPE, 10, 3)
    batch = data.collate([4, 7])
    assert batch.inputs.shape == (2 * SHAPE.images, 1) and batch.targets.shape == (2, 12)
    examples, queries = divided(batch.inputs, SHAPE)
    for episode in range(2):
        own = labels[examples[episode, :, :, 0].long()]
        assert all(len(row.unique()) == 1 for row in own) and len(own[:, 0].unique()) == 3
        assert torch.equal(own[batch.targets[episode], 0], labels[queries[episode, :, 0].long()])
        assert len(data.draw(4)) == len(set(data.draw(4).tolist()))
    assert torch.equal(data.collate([7]).inputs, batch.inputs[SHAPE.images :])
    assert data.draw(4).tolist() != data.draw(5).tolist()


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (EpisodeShape(ways=6), "6 ways need as many classes, but there are 5"),
        (EpisodeShape(ways=2, shots=8, queries=5), "class 0 has 12 items, but an episode takes 8 examples and 5 quer"),
        (EpisodeShape(ways=1), "nothing to tell apart"),
    ],
)
def test_more_than_there_is_is_refused(shape: EpisodeShape, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Episodes(torch.zeros(60, 2), torch.arange(60) % 5, shape, 10, 0)


@pytest.mark.parametrize("way", ["prototypical", "matching", "relation"])
def test_training_on_episodes_helps_on_new_classes(way: str) -> None:
    """Classes are patterns of one channel, and the other is loud noise, which training learns to leave out."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(640) % 40
    patterns = torch.randn(40, 4, 4, generator=random)
    pixels = torch.stack([patterns[labels], 3 * torch.randn(640, 4, 4, generator=random)], 1)
    torch.manual_seed(0)
    model = ImageModel(ImageConfig(channels=(8,), inputs=2, size=4, kernel=1, halve=(), dense=(32,)), {"vectors": 16})
    relation = Relation("episodes", SHAPE, 16)
    scorer: Scorer = {"prototypical": prototypical, "matching": matching, "relation": relation.score}[way]
    train = labels < 32
    data = Episodes(pixels[train], labels[train], SHAPE, 100, 0)
    test = Episodes(pixels[~train], labels[~train], SHAPE, 60, 1)

    def error() -> float:
        metric = EpisodeScores(SHAPE, scorer)
        model.eval()
        with torch.no_grad():
            batch = test.collate(range(60))
            hidden, _ = model(batch.inputs)
            metric.update(Output(model.head("vectors")(hidden), None, {}, batch))
        return metric.summary()["error"]

    before = error()
    streams: list[Stream] = [Task("episodes", data, episode_loss(SHAPE, scorer), head="vectors")]
    objectives: list[tuple[Weight, Objective]] = []
    if way == "relation":
        streams = [Task("episodes", data, episode_loss(SHAPE, prototypical), 0.0, head="vectors")]
        objectives = [(1.0, relation)]
    config = ImageTrainerConfig(steps=60, batch_budget=4 * SHAPE.images, learning_rate=5e-3, device="cpu")
    Trainer(model, streams, objectives, None, config).train()
    assert error() < before - 0.1
