"""Frozen blocks of a model of images run once over each image, and training above them is training the whole model."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch

from asr_transfer.config import ImageConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.models.image import ImageModel
from asr_transfer.training.activations import TOGETHER, ArrayActivations, Stored, above, stored_depth
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.metrics import ClassificationError
from asr_transfer.training.streams import Mixture, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Done, Freeze, TransferPlan
from tests.small import different, settings, snapshot

COUNT = TOGETHER + 6
"""More images than run together."""


def _images(seed: int = 0) -> ArrayData:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(COUNT) % 3
    noise = 0.3 * torch.randn(COUNT, 1, 8, 8, generator=generator, dtype=torch.float64)
    return ArrayData(noise + labels[:, None, None, None] * torch.eye(8), labels)


def _model(dense: tuple[int, ...] = ()) -> ImageModel:
    torch.manual_seed(2)
    model = ImageModel(ImageConfig(channels=(4, 5, 6), size=8, dense=dense), {"shapes": 3}).double()
    model(_images(1).inputs)  # statistics of its own
    return model


def _task(data: ArrayData, name: str = "shapes") -> Task:
    return Task(name, data, cross_entropy, head="shapes", metric=ClassificationError)


@pytest.mark.parametrize(("frozen", "dense"), [(1, ()), (2, (7,)), (3, (7,)), (4, (7,)), (3, ())])
def test_the_weights_are_those_of_the_plain_path(frozen: int, dense: tuple[int, ...]) -> None:
    data, config = _images(), settings(steps=6, batch_budget=16, validate_every=3)
    plain, ours = _model(dense), _model(dense)
    plan = TransferPlan(Freeze(" | ".join(block.path for block in plain.blocks()[:frozen])))
    before = snapshot(plain)
    whole = Trainer(plain, [_task(data)], plan=plan, config=config, validation=[_task(data)], monitor=None).train()
    applied = plan.apply(ours)
    depth = stored_depth(ours, masked=False)
    assert depth == frozen
    tasks = Stored(ours).feed_all([_task(data)], depth)
    rest = above(ours, depth)
    found = Trainer(rest, tasks, plan=Done(applied), config=config, validation=tasks, monitor=None).train()
    assert different(before, snapshot(ours)), "nothing was learnt"
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-9, atol=1e-12)
    for own, other in zip(found.history, whole.history, strict=True):
        assert own == pytest.approx(other)
    assert rest.head_names() == ["shapes"] and rest.blocks() == ours.blocks()[depth:]


def test_each_image_runs_once_and_is_the_same_bits_whichever_is_asked_for_first() -> None:
    model, data, log = _model(), _images(), Counter[str]()
    TransferPlan(Freeze("encoder.layers[:2]")).apply(model)
    model.get_submodule("encoder.layers.0.conv").register_forward_hook(lambda *call: log.update(seen=len(call[2])))
    stored = Stored(model)
    first, again = stored.feed(data, 2), stored.feed(data, 2)
    assert first is again and stored.feed(data, 0) is data
    batch = first.collate([COUNT - 1, 3])
    assert batch.inputs.shape == (2, 5, 4, 4) and batch.targets.tolist() == data.targets[[COUNT - 1, 3]].tolist()
    for item in range(COUNT):
        first.collate([item])
    assert log["seen"] == COUNT
    assert torch.equal(ArrayActivations(data, copy.deepcopy(model), 2).collate([3]).inputs[0], batch.inputs[1])
    assert model.training, "the blocks above keep their mode"


def test_what_cannot_be_stored_is_refused() -> None:
    model = _model()
    changed = ArrayData(torch.zeros(2, 1, 8, 8), torch.zeros(2).long(), augment=lambda inputs, generator: inputs)
    with pytest.raises(ValueError, match="changed at random"):
        Stored(model).feed(changed, 1)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ArrayActivations(_images(), model, 0)
    elsewhere = Task("far", _images(), cross_entropy, head="shapes", domain="far")
    with pytest.raises(ConfigError, match="the task 'far' is of the domain 'far'"):
        Stored(model).feed_all([Mixture("both", (_task(_images()), elsewhere))], 1)
