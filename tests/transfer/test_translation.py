"""A translator of images between two domains: each part is trained by its own loss, and styles are a domain's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from asr_transfer.config import ImageConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.models.image import ImageModel
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.forward import run_together
from asr_transfer.training.streams import Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.translation import ImageTranslation, Translator
from tests.small import different, settings, snapshot

DOUBLE = torch.float64
BOTH = pytest.mark.parametrize("style", [0, 3], ids=["unit", "munit"])


def _images(seed: int, items: int = 8, side: int = 8) -> torch.Tensor:
    return torch.rand(items, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def _model() -> ImageModel:
    torch.manual_seed(0)
    return ImageModel(ImageConfig(channels=(3,), norm=False), {"main": 2}).double()


def _streams(side: int = 8) -> dict[str, Stream]:
    labels = torch.arange(8) % 2
    task = Task("source", ArrayData(_images(1, side=side), labels), cross_entropy, head="main", domain="source")
    return {"source": task, "target": Stream("target", ArrayData(_images(2, side=side)), domain="target")}


def _made(style: int) -> tuple[ImageModel, ImageTranslation, dict[str, Any]]:
    model, streams = _model(), _streams()
    objective = ImageTranslation("source", "target", style, width=4)
    objective.setup(model, streams)
    parts = {name: (stream, stream.data.collate(range(4))) for name, stream in streams.items()}
    return model, objective, run_together(model, parts, dict.fromkeys(parts, ()))


@BOTH
def test_each_part_is_trained_by_its_own_loss_alone(style: int) -> None:
    model, objective, outputs = _made(style)
    torch.manual_seed(5)
    loss = objective.forward(model, outputs)
    groups = [list(model.parameters()), list(objective.discriminators.parameters())]
    got = [torch.autograd.grad(loss, group, retain_graph=True) for group in groups]

    # The same random numbers, and the losses of the two groups written out.
    torch.manual_seed(5)
    source, target = outputs["source"].batch, outputs["target"].batch
    translator = objective.translator
    made = []
    for side, images in enumerate((source.inputs, target.inputs)):
        content, _ = translator.read(images, side)  # type: ignore[operator]
        noisy = content if style else content + torch.randn_like(content)
        drawn = images.new_empty(4, style).normal_() if style else None
        made.append(translator.write(noisy, 1 - side, drawn).detach())  # type: ignore[operator]
    wanted = functional.cross_entropy(model.head("main")(model(made[0])[0]), source.targets)
    judged = torch.zeros((), dtype=DOUBLE)
    for side, (real, fake) in enumerate(((source.inputs, made[1]), (target.inputs, made[0]))):
        verdicts = [objective.discriminators[side](own) for own in (real, fake)]
        judged = judged - verdicts[0].sigmoid().log().mean() - (1 - verdicts[1].sigmoid()).log().mean()
    for found, value, group in zip(got, (wanted, judged), groups, strict=True):
        for one, other in zip(found, torch.autograd.grad(value, group), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_styles_are_each_domains_own_and_content_is_shared() -> None:
    torch.manual_seed(0)
    translator = Translator(1, 4, 3).double()
    content, style = translator.read(_images(1), 0)
    other = translator.read(_images(1), 1)[1]
    assert style is not None and other is not None and not torch.allclose(style, other)
    plain, changed = (translator.write(content, 1, value) for value in (style, style + 1))
    assert plain.shape == _images(1).shape and not torch.allclose(plain, changed)
    assert Translator(1, 4).read(_images(1).float(), 0)[1] is None


def _trained(streams: dict[str, Stream], *objectives: Any, **changes: Any) -> ImageModel:
    model = _model()
    config = settings(**{"steps": 3, "batch_budget": 8, "optimizer": "adamw", "learning_rate": 0.01, **changes})
    Trainer(model, list(streams.values()), objectives, config=config).train()
    return model


@BOTH
def test_weight_zero_is_training_without_bit_for_bit(style: int) -> None:
    plain = snapshot(_trained(_streams(), max_gradient_norm=0.05))
    objective = ImageTranslation("source", "target", style, 4)
    assert not different(snapshot(_trained(_streams(), (0.0, objective), max_gradient_norm=0.05)), plain)
    assert different(snapshot(_trained(_streams(), (1.0, objective), max_gradient_norm=0.05)), plain)


@BOTH
def test_a_translator_learns_to_keep_images(style: int) -> None:
    levels = torch.linspace(0.1, 0.9, 8, dtype=DOUBLE)[:, None, None, None].expand(8, 1, 8, 8)
    streams = {
        "source": Task("source", ArrayData(levels, torch.arange(8) % 2), cross_entropy, head="main", domain="source"),
        "target": Stream("target", ArrayData(1 - levels / 2), domain="target"),
    }
    objective = ImageTranslation("source", "target", style, 4)
    _trained(streams, (1.0, objective), steps=80)
    content, own = objective.translator.read(levels, 0)  # type: ignore[operator]
    lost = functional.l1_loss(objective.translator.write(content, 0, own), levels)  # type: ignore[operator]
    assert float(lost) < 0.6 * float((levels - levels.mean()).abs().mean())
    assert objective.translated(levels).shape == levels.shape


def test_what_cannot_be_translated_is_refused() -> None:
    streams = _streams(side=6)
    with pytest.raises(ConfigError, match="sides are multiples of 4"):
        ImageTranslation("source", "target").setup(_model(), streams)
    streams["source"] = Stream("source", streams["source"].data)
    with pytest.raises(ConfigError, match="the stream 'source' is no task"):
        ImageTranslation("source", "target").setup(_model(), streams)
