"""Of a published network the stages are trained that a way names, and its statistics stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asr_transfer.config import ImageTrainerConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.images import pretrained_stages as experiment
from asr_transfer.experiments.images.pretrained_stages import (
    ALL,
    ALONE,
    FIRST_STAGES,
    HEAD,
    LAST_STAGES,
    PretrainedConfig,
    stage_errors,
)
from asr_transfer.experiments.images.transferability_rows import stage_table
from asr_transfer.models.efficientnet import IMAGENET, EfficientNetConfig, EfficientNetLite, Stage

TINY = EfficientNetConfig(8, (Stage(1, 4, 1, 3, 1), Stage(2, 6, 2, 3, 2), Stage(3, 6, 1, 3, 1)), 12)
CONFIG = PretrainedConfig(stages=2, trainer=ImageTrainerConfig(steps=2, batch_budget=4, device="cpu"))


def _images(count: int, seed: int) -> ArrayData:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return ArrayData(pixels, torch.arange(count) % 3)


def test_each_way_trains_its_stages_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = EfficientNetLite(TINY, {IMAGENET: 5}).eval()
    before = {name: own.clone() for name, own in network.state_dict().items()}
    moved: list[set[str]] = []
    fit = experiment.fit

    def noted(model: EfficientNetLite, *rest: Any) -> None:
        fit(model, *rest)
        changed = {n for n, own in model.state_dict().items() if n in before and not torch.equal(own, before[n])}
        moved.append({".".join(name.split(".")[:3]) for name in changed})
        assert not any("running" in name for name in changed), "ImageNet's statistics stay"

    monkeypatch.setattr(experiment, "fit", noted)
    said: list[str] = []
    errors = stage_errors(network, _images(6, 0), _images(9, 1), CONFIG, 4, said.append)
    paths = [block.path for block in network.blocks()]
    assert list(errors) == [ALONE, FIRST_STAGES, LAST_STAGES, ALL]
    assert moved == [set(), set(paths[:2]), set(paths[-2:]), set(paths)]
    assert all(torch.equal(own, before[name]) for name, own in network.state_dict().items())
    assert len(said) == 4 and network.head_names() == [IMAGENET] != [HEAD]
    table = stage_table([{"errors": {**errors, ALONE: 3}, "tested": 9}])
    assert table.rows[0] == (ALONE, "66.7", "–")
    with pytest.raises(ConfigError, match=r"`pretrained\.stages` must be below 5"):
        stage_errors(network, _images(3, 0), _images(3, 1), PretrainedConfig(stages=5), 0)
