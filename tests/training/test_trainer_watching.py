"""Tests what a trainer offers to methods: watching without selecting, logits without labels, hooks after steps."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn

from asr_transfer.config import ImageConfig, ImageTrainerConfig, TrainerConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.models.image import ImageModel
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.metrics import ClassificationError
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.optimisation import scale_at
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.training.trainer import Trainer
from tests.small import settings


def _model() -> ImageModel:
    torch.manual_seed(0)
    return ImageModel(ImageConfig(channels=(4,)), {"main": 3}).double()


def _data(seed: int = 0) -> ArrayData:
    generator = torch.Generator().manual_seed(seed)
    return ArrayData(torch.randn(12, 1, 6, 6, generator=generator, dtype=torch.float64), torch.arange(12) % 3)


def _task(name: str, seed: int = 0) -> Task:
    return Task(name, _data(seed), cross_entropy, head="main", metric=ClassificationError)


class _Follower(TrainedObjective):
    """Keeps the mean of the head's weights, and asks the unlabelled stream for certain answers."""

    streams = ("target",)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 4, dtype=torch.float64))
        self.steps = 0

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        logits = outputs["target"].require_logits()
        return torch.special.entr(logits.softmax(-1)).sum(-1).mean()

    def stepped(self, model: nn.Module) -> None:
        self.steps += 1
        self.mean.lerp_(model.head("main").weight.detach(), 1 / self.steps)  # type: ignore[operator]


def test_a_watched_validation_leaves_the_weights_of_the_last_step() -> None:
    def trained(steps: int, **how: object) -> ImageModel:
        model = _model()
        config = settings(steps=steps, batch_budget=12, validate_every=1, learning_rate=0.5)
        result = Trainer(model, [_task("train")], config=config, **how).train()  # type: ignore[arg-type]
        assert (result.best is None) == ("validation" not in how or how.get("monitor", "") is None)
        return model

    # The labels of the check are others: it gets worse and worse, and the first validation is the best.
    inputs, targets = _data().inputs, (_data().targets + 1) % 3
    check = [Task("check", ArrayData(inputs, targets), cross_entropy, head="main")]
    watched, plain = trained(4, validation=check, monitor=None), trained(4)
    selected = trained(4, validation=check, monitor="loss")
    assert all(torch.equal(p, q) for p, q in zip(watched.parameters(), plain.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(selected.parameters(), plain.parameters(), strict=True))


def test_a_watched_validation_stands_in_the_history_and_cannot_stop_early() -> None:
    config = settings(steps=3, batch_budget=12, validate_every=1)
    result = Trainer(_model(), [_task("train")], config=config, validation=[_task("check")], monitor=None).train()
    assert [set(entry) >= {"error", "loss"} for entry in result.history] == [True] * 3
    with pytest.raises(ConfigError, match="needs a figure to monitor, but the validation is only watched"):
        impatient = settings(steps=3, batch_budget=12, validate_every=1, patience=1)
        Trainer(_model(), [_task("train")], config=impatient, validation=[_task("check")], monitor=None)


def test_an_unlabelled_stream_with_a_head_has_logits_and_a_hook_follows_each_step() -> None:
    model, follower = _model(), _Follower()
    target = Stream("target", ArrayData(_data(3).inputs), head="main")
    streams = [_task("train"), target]
    Trainer(model, streams, [(1.0, follower)], config=settings(steps=3, batch_budget=12)).train()
    assert follower.steps == 3 and follower.mean.abs().max() > 0
    with pytest.raises(ValueError, match="has no head and therefore no logits"):
        plain = [_task("train"), Stream("target", target.data)]
        Trainer(_model(), plain, [(1.0, _Follower())], config=settings(steps=1, batch_budget=12)).train()


def test_images_of_bytes_become_floats_and_augmentation_is_seeded() -> None:
    def flipped(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        turn = torch.rand(len(batch), generator=generator) < 0.5
        return torch.where(turn[:, None, None, None], batch.flip(-1), batch)

    images = torch.arange(4 * 6, dtype=torch.uint8).reshape(4, 1, 2, 3) * 10
    data = ArrayData(images, augment=flipped)
    plain = data.collate([3, 0])
    assert torch.equal(plain.inputs, images[[3, 0]].float() / 255) and plain.targets.tolist() == [-1, -1]
    one, other = (data.collate(range(4), torch.Generator().manual_seed(2)).inputs for _ in range(2))
    assert torch.equal(one, other) and not torch.equal(one, data.collate(range(4)).inputs)
    with pytest.raises(ValueError, match="4 inputs have 3 targets"):
        ArrayData(images, torch.zeros(3))


def test_the_inverse_schedule_is_that_of_the_paper() -> None:
    config = TrainerConfig(steps=100, warmup=0.0, schedule="inverse")
    assert [scale_at(step, config) for step in (0, 50)] == pytest.approx([1.0, 6**-0.75])
    with pytest.raises(ConfigError, match="`trainer.momentum` is that of `sgd`"):
        TrainerConfig(momentum=0.9)
    assert ImageTrainerConfig().precision == "fp32" and ImageTrainerConfig().batch_budget == 64


def test_momentum_is_the_optimisers() -> None:
    config = TrainerConfig(optimizer="sgd", momentum=0.9, steps=2, precision="fp32", validate_every=0, batch_budget=12)
    trainer = Trainer(_model(), [_task("train")], config=config)
    trainer.train()
    assert trainer.optimizer.defaults["momentum"] == 0.9
