"""A model with an entry for speech and one for images passes both through the same middle layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.config import FeatureConfig, ImageConfig, ModelConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.models import kinds
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.folder import load_any, save_model
from asr_transfer.models.image import ImageModel
from asr_transfer.models.shared_middle import SharedMiddle
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Freeze, TransferPlan
from tests.small import MELS, different, settings, snapshot


def _model(layers: int = 2) -> SharedMiddle:
    torch.manual_seed(0)
    features = FeatureConfig(mels=MELS)
    speech = AcousticModel(ModelConfig("tdnn", layers=1, dim=6, channels=5, features=features, dropout=0.0), {})
    return SharedMiddle(speech, ImageModel(ImageConfig(channels=(3, 4)), {}), layers, 7, {"heard": 3, "seen": 2})


def _images(items: int = 6) -> ArrayData:
    return ArrayData(torch.rand(items, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(items) % 2)


class _Heard:
    """Noise of several lengths with classes."""

    def costs(self) -> object:
        import numpy as np

        return np.array([20, 26, 32, 38])

    def collate(self, items: object, augment: object = None) -> object:
        from asr_transfer.data.batching import Batch

        index = torch.as_tensor(items)
        lengths = torch.tensor([20, 26, 32, 38])[index]
        inputs = torch.zeros(len(index), int(lengths.max()), MELS)
        for row, length in enumerate(lengths.tolist()):
            inputs[row, :length] = torch.randn(length, MELS, generator=torch.Generator().manual_seed(length))
        return Batch(index, inputs, index % 3, lengths)


def test_both_tasks_train_the_middle_in_one_step_and_their_own_entry() -> None:
    heard = Task("heard", _Heard(), cross_entropy, head="heard")  # type: ignore[arg-type]
    seen = Task("seen", _images(), cross_entropy, head="seen")
    config = settings(steps=1, batch_budget=200)

    def moved(*tasks: Task) -> set[str]:
        model = _model()
        before = snapshot(model)
        Trainer(model, tasks, config=config).train()
        return {name.partition(".")[0] + "." + name.split(".")[1] for name in different(snapshot(model), before)}

    assert {"entries.speech", "middle.0", "heads.heard"} <= moved(heard) and "entries.images" not in moved(heard)
    assert {"entries.speech", "entries.images", "middle.0", "heads.seen", "heads.heard"} <= moved(heard, seen)


def test_a_recording_alone_and_in_a_batch_gives_the_same_vector() -> None:
    model, data = _model().eval(), _Heard()
    batch = data.collate([3, 0])
    joint = model(batch.inputs, batch.lengths)[0]  # type: ignore[attr-defined]
    alone = data.collate([0])
    torch.testing.assert_close(joint[1:], model(alone.inputs, alone.lengths)[0])  # type: ignore[attr-defined]
    assert joint.shape == model(_images(2).inputs)[0].shape == (2, 7)


def test_a_frozen_middle_keeps_its_random_weights() -> None:
    model = _model()
    before = snapshot(model)
    seen = Task("seen", _images(), cross_entropy, head="seen")
    Trainer(model, [seen], plan=TransferPlan(Freeze("middle.**")), config=settings(steps=2, batch_budget=6)).train()
    changed = different(snapshot(model), before)
    assert changed and not any(name.startswith("middle.") for name in changed)


def test_it_is_described_saved_and_made_again(tmp_path: Path) -> None:
    model = _model().eval()
    save_model(tmp_path / "model", model, "# card\n", {})
    again = load_any(tmp_path / "model").eval()
    assert kinds.describe(again) == kinds.describe(model)
    images = _images(3).inputs
    assert torch.equal(again(images, None)[0], model(images)[0])
    assert [block.path for block in model.layers()] == ["middle.0", "middle.1"]
    with pytest.raises(ConfigError, match="`layers` of the shared middle must be at least 1"):
        _model(0)
