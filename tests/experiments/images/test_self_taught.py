"""Few labelled items are described by what was learnt from others, on made-up maps and tones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.config import ImageTrainerConfig
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.images.patches import Grid, Whitening, described, patches, random_patches
from asr_transfer.experiments.images.self_taught import matched, run_self_taught
from asr_transfer.experiments.images.self_taught_config import WAYS, SelfTaughtConfig
from asr_transfer.experiments.images.self_taught_material import Labelled, SpeechMaterial
from asr_transfer.experiments.images.self_taught_rows import self_taught_tables

SHORT = ImageTrainerConfig(steps=3, batch_budget=32, device="cpu")
CONFIG = SelfTaughtConfig(
    sources=("photographs",),
    patch=(3, 3),
    kept=6,
    patches=200,
    features=4,
    labels=(2,),
    clustered=10,
    feature_clusters=3,
    weights=(0.0, 1.0),
    autoencoder=SHORT,
    classifier=SHORT,
    seeds=(0, 1, 2, 3),
)
GRID = Grid(3, 3, 2, (2, 2))


class MadeUp:
    """Maps with an edge, across or upright, and noise."""

    def unlabelled(self, source: str, count: int, seed: int) -> list[torch.Tensor]:
        return list(torch.rand(20, 9, 9, generator=torch.Generator().manual_seed(seed)))

    def labelled(self, per_class: int, test: int, seed: int, held_out: bool) -> Labelled:
        labels = torch.arange(24) % 2
        maps = torch.rand(24, 9, 9, generator=torch.Generator().manual_seed(seed)) * 0.2
        maps[labels == 0, 4:] += 1
        maps[labels == 1, :, 4:] += 1
        return Labelled(list(maps[:8]), labels[:8], list(maps[8:]), labels[8:])


def test_every_way_is_learnt_and_judged(tmp_path: Path) -> None:
    rows, clusters = run_self_taught(CONFIG, MadeUp(), tmp_path, 1)
    assert [row.way for row in rows] == list(WAYS) and rows[0].change.value == 0
    assert [row.weight for row in clusters] == [0, 1] and clusters[0].change.value == 0
    assert all(0 <= row.error.value <= 1 for row in rows) and rows[1].error.low is not None
    tables = self_taught_tables(rows, clusters, CONFIG)
    assert [len(own[0].rows) for own in tables.values()] == [len(WAYS), 2]
    record = json.loads((tmp_path / "points" / "photographs-0" / "run.json").read_text())
    assert record["data"]["test"]["items"] == 16 and len(record["scores"]["objectives"]) == 15
    assert run_self_taught(CONFIG, MadeUp(), tmp_path, 1)[0] == rows, "what is finished is read, not made again"


def test_patches_are_cut_where_they_lie_and_averaged_over_regions() -> None:
    one = torch.arange(63.0).reshape(7, 9)
    found, places = patches(GRID, one)
    assert places == (3, 4) and torch.equal(found[0].reshape(3, 3), one[:3, :3])
    assert torch.equal(found[5].reshape(3, 3), one[2:5, 2:5])
    small, places = patches(GRID, one[:2, :2])
    assert places == (1, 1) and small[0].tolist() == [0, 1, 1, 9, 10, 10, 9, 10, 10]
    cuts = {tuple(own.tolist()) for own in patches(Grid(3, 3, 1, (1, 1)), one)[0]}
    assert all(tuple(own.tolist()) in cuts for own in random_patches(GRID, [one], 30, 0))
    vectors, active = described(GRID, Whitening(torch.zeros(9), torch.eye(9)), lambda own: own[:, :2], [one, one])
    assert vectors.shape == (2, 2 * 4) and torch.equal(vectors[0], vectors[1]) and active == 1


def test_whitened_patches_have_no_brightness_and_directions_of_like_variance() -> None:
    own = torch.randn(4000, 9, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.linspace(0.5, 2, 9))
    whitening = Whitening.of(own, 6)
    found = whitening(own)
    assert found.mean(0).abs().max() < 0.01
    covariance = found.T @ found / len(found)
    assert (covariance - torch.diag(covariance.diag())).abs().max() < 0.02 and 0.8 < covariance.diag().min() < 1.05
    torch.testing.assert_close(whitening(own + 3), found, atol=1e-3, rtol=0)


def test_clusters_are_matched_to_classes_one_to_one() -> None:
    assert matched(np.array([2, 2, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 2])) == 1
    assert matched(np.array([0, 0, 0, 0]), np.array([0, 0, 1, 1])) == 0.5


def test_no_speaker_has_labels_and_is_tested_on(tone_corpus: dict[str, Path], feature_cache: Path) -> None:
    material = SpeechMaterial(str(tone_corpus["train"]), str(tone_corpus["train"]))
    found = material.labelled(1, 5, 0, False)
    assert len(found.test) <= 5 and all(one.shape[0] == 24 for one in [*found.train, *found.test])
    (one,) = material.unlabelled("speech", 1, 0)
    assert one.shape[0] == 24


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="`weights` lacks 0, the target alone"):
        replace(CONFIG, weights=(1.0,))
