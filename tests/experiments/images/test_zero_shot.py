"""Unseen classes are recognised from one experiment, on made-up features."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.config import ImageTrainerConfig
from asr_transfer.data.images import CIFAR10, ClassVectors, Images, cifar10_attributes
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.images import zero_shot as experiment
from asr_transfer.experiments.images import zero_shot_judging
from asr_transfer.experiments.images.frozen import Frozen
from asr_transfer.experiments.images.zero_shot import run_zero_shot
from asr_transfer.experiments.images.zero_shot_config import WAYS, ZeroShotConfig
from asr_transfer.experiments.images.zero_shot_fits import FitSettings, RelationSettings, fit_ways
from asr_transfer.experiments.images.zero_shot_judging import pseudo_unseen
from asr_transfer.experiments.images.zero_shot_rows import zero_shot_plot, zero_shot_tables

CONFIG = ZeroShotConfig(
    images=6,
    pool=8,
    test_images=4,
    folds=1,
    pairs=2,
    fits=FitSettings(dim=4, relation=RelationSettings(units=4, steps=2)),
    trainer=ImageTrainerConfig(steps=2, batch_budget=16, max_gradient_norm=0.0, device="cpu"),
    seeds=(0, 1, 2, 3),
)


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def images(name: str, split: str) -> Images:
        labels = torch.arange(200) % 10
        pixels = torch.zeros(200, 1, 2, 2, dtype=torch.uint8)
        pixels[:, 0, 0, 0], pixels[:, 0, 1, 1] = labels.to(torch.uint8), torch.arange(200).to(torch.uint8)
        return Images(pixels, labels, CIFAR10)

    def frozen(own: Images, size: int) -> Frozen:
        assert own.labels is not None
        generator = torch.Generator().manual_seed(len(own))
        clean = cifar10_attributes().vectors[own.labels]
        noise = 0.1 * torch.randn(clean.shape, generator=generator)
        return Frozen(clean + noise, torch.eye(10)[own.labels])

    vectors = {"attributes": cifar10_attributes(), "words": ClassVectors(CIFAR10, torch.eye(10))}
    experiment._drawn.cache_clear()
    monkeypatch.setattr(experiment, "read_fetched", images)
    monkeypatch.setattr(experiment, "frozen_features", frozen)
    monkeypatch.setattr(experiment, "class_vectors", lambda: vectors)
    monkeypatch.setattr(zero_shot_judging, "from_imagenet", lambda probabilities, classes, top: probabilities)


def test_every_way_is_fitted_judged_and_told(tmp_path: Path) -> None:
    rows = run_zero_shot(CONFIG, tmp_path, 1)
    found = {row.way: row for row in rows}
    assert list(found) == list(WAYS) and all(
        row.accuracy.low is not None for row in rows if row.way != "conse-imagenet"
    )
    # The features are the attributes themselves, so that the closed form has them without any training.
    assert found["eszsl-attributes"].accuracy.value > 0.9 and found["conse-imagenet"].accuracy.value == 1
    assert found["eszsl-attributes"].calibrated_h.value >= found["eszsl-attributes"].h
    assert found["pull-words"].spread is not None and found["dap"].spread is None
    tables = zero_shot_tables(rows, CONFIG)
    assert [len(table.rows) for table in tables] == [len(WAYS)] * 3
    assert "embedding, hinge, attributes" in zero_shot_plot(rows).alt
    record = json.loads((tmp_path / "points" / "0" / "run.json").read_text())
    assert record["data"]["train"]["items"] == 80 and record["scores"]["dap"]["per_class"].keys() <= set(CIFAR10)


def test_pairs_that_play_unseen_ones_are_other_classes_and_share_their_fits() -> None:
    found = pseudo_unseen(10, 2, 0)
    assert set(found) == set(itertools.combinations(range(10), 2))
    for pair, others in found.items():
        assert len(others) >= 2 and all(not set(pair) & set(other) for other in others)
        assert len(set(others)) == len(others)
    fits = {tuple(sorted({*pair, *other})) for pair, others in found.items() for other in others}
    assert len(fits) < 30, "90 pairs of pairs in sixths"
    assert found == pseudo_unseen(10, 2, 0) and found != pseudo_unseen(10, 2, 1)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="`images` is 9, but the `pool` has 8"):
        replace(CONFIG, images=9)
    with pytest.raises(ConfigError, match="`trainer.max_gradient_norm` must be 0"):
        replace(CONFIG, trainer=ImageTrainerConfig())
    with pytest.raises(ConfigError, match="fewer than 30 images of the class 'airplane'"):
        experiment._drawn(30, 4, False)


def test_a_relation_network_leaves_the_answer_no_to_everything() -> None:
    # Where it starts at its full rate, it says that nothing goes together and stays there, seen classes too.
    torch.manual_seed(0)
    labels = torch.arange(160) % 8
    own = torch.eye(8)
    features = own[labels] + 0.2 * torch.randn(160, 8)
    vectors = {"attributes": own, "words": own}
    config = replace(CONFIG.trainer, steps=1, batch_budget=32, learning_rate=0.003)
    ways, _ = fit_ways(features, labels, range(8), vectors, FitSettings(dim=4), config)
    assert float((ways["relation-words"](features).argmax(1) == labels).float().mean()) > 0.9
