"""Models of images under the contract: layers, penalties, adapters, columns and folders, by the trainer of speech."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.ingredients import STREAM
from asr_transfer.adaptation.methods import METHODS
from asr_transfer.adaptation.own_statistics import ADABN
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.config import ImageConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.folder import load_any, load_model, save_model
from asr_transfer.models.image import ImageModel
from asr_transfer.models.progressive import Lateral, ProgressiveImageModel
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.metrics import ClassificationError
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Copy, Freeze, TransferPlan
from tests.small import different, settings, snapshot
from tests.spaces import STARTS

LAYERS = (5, 6, 4)
LISTENING = ("lin", "pseudo-label", "suta", "warp", "warp-untranscribed", "replay", "none", FILM, ADABN, *STARTS)
"""Methods that are about speech, or nothing to train."""
TRAINED = {
    "front-end": ("encoder.layers.0.",),
    "first-layers": ("encoder.layers.0.", "encoder.layers.1."),
    "last-layers": ("encoder.layers.2.", "heads.shapes."),
    "head": ("heads.shapes.",),
    "lhuc": ("adapters.lhuc.",),
    "lora": ("adapters.lora.",),
    "residual-adapter": ("adapters.residual-adapter.",),
    "speaker-code": ("adapters.speaker-code.",),
}
"""What a method trains; others train everything."""


def _pictures(count: int = 24, seed: int = 0, light: float = 1.0) -> ArrayData:
    """Return pictures of 8 × 8 of lines that lie, stand or fall, in noise."""
    generator = torch.Generator().manual_seed(seed)
    pictures = 0.2 * torch.randn(count, 1, 8, 8, generator=generator)
    labels = torch.arange(count) % 3
    for picture, label, place in zip(pictures, labels, torch.randint(1, 7, (count,), generator=generator), strict=True):
        if label == 0:
            picture[0, place] += light
        elif label == 1:
            picture[0, :, place] += light
        else:
            picture[0] += light * torch.eye(8)
    return ArrayData(pictures, labels)


def _task(data: ArrayData, name: str = STREAM, head: str = "shapes") -> Task:
    return Task(name, data, criterion=cross_entropy, head=head, metric=ClassificationError)


def _source() -> ImageModel:
    torch.manual_seed(1)
    model = ImageModel(ImageConfig(channels=LAYERS), {"shapes": 3})
    config = settings(steps=60, batch_budget=24, optimizer="adamw", learning_rate=0.02)
    result = Trainer(model, [_task(_pictures(48))], config=config, validation=[_task(_pictures(48, 9))]).train()
    assert result.history[-1]["error"] < 0.1
    return model


@pytest.fixture(scope="module")
def source() -> ImageModel:
    """Return a model that knows the lines; no test may change it."""
    return _source()


def _adapted(source: ImageModel, name: str, **changes: Any) -> tuple[ImageModel, float]:
    """Return a copy that a method made used to faint lines, and its last loss on them."""
    method = build(name, source, MethodSettings(rank=2, bottleneck=3, code=4, **changes))
    model, data = copy.deepcopy(source), _pictures(12, 5, light=-1.0)
    config = settings(steps=8, batch_budget=24, optimizer="adamw", learning_rate=0.02)
    check = Task("check", data, criterion=cross_entropy, head="shapes")
    objectives, plan = list(method.objectives), method.plan
    result = Trainer(model, [_task(data)], objectives, plan, config, [check]).train()
    return model, result.history[-1]["loss"]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in LISTENING])
def test_a_method_trains_what_it_says_and_helps(name: str, source: ImageModel) -> None:
    before, (model, loss) = snapshot(source), _adapted(source, name)
    after = snapshot(model)
    moved = {n for n in after if n not in before or not torch.equal(after[n], before[n])}
    everything = tuple(n for n, _ in source.named_parameters())
    wanted = TRAINED.get(name, everything)
    assert moved == {n for n, _ in model.named_parameters() if n.startswith(wanted)}
    assert loss < _loss(source)


def _loss(model: nn.Module) -> float:
    data = _pictures(12, 5, light=-1.0)
    with torch.no_grad():
        logits = model.head("shapes")(model.eval()(data.inputs)[0])  # type: ignore[operator]
    return float(nn.functional.cross_entropy(logits, data.targets))


def test_held_weights_move_less(source: ImageModel) -> None:
    def way(model: nn.Module) -> float:
        return sum(float((p - q).square().sum()) for p, q in zip(model.parameters(), source.parameters(), strict=True))

    assert way(_adapted(source, "l2sp", alpha=30.0)[0]) < 0.5 * way(_adapted(source, "full")[0])


def test_biases_alone_are_a_plan_of_selectors(source: ImageModel) -> None:
    """BitFit (Ben Zaken et al. 2022)."""
    model, data = copy.deepcopy(source), _pictures(12, 5, light=-1.0)
    plan = TransferPlan(Copy("**", source), Freeze("** - **.bias"))
    Trainer(model, [_task(data)], plan=plan, config=settings(steps=3, batch_budget=24)).train()
    moved = different(snapshot(model), snapshot(source))
    assert moved == {*(f"encoder.layers.{n}.norm.bias" for n in range(3)), "heads.shapes.bias"}


def test_adapters_of_pictures_stand_on_selected_layers(source: ImageModel) -> None:
    model, _ = _adapted(source, "residual-adapter", blocks="encoder.layers.2")
    added = {name for name, _ in model.named_parameters() if name.startswith("adapters.")}
    assert added == {f"adapters.residual-adapter.encoder.layers.2.{part}" for part in ("down", "up")}


def test_an_input_network_is_for_speech(source: ImageModel) -> None:
    with pytest.raises(ConfigError, match="`lin` transforms the features of speech, but ImageModel"):
        build("lin", source, MethodSettings()).plan.apply(copy.deepcopy(source))


def _column(source: ImageModel) -> ProgressiveImageModel:
    torch.manual_seed(3)
    return ProgressiveImageModel(source, ImageModel(ImageConfig(channels=(3, 8, 5)), {"faint": 3}), rank=4)


def test_a_column_of_other_widths_listens_to_maps(source: ImageModel) -> None:
    model, data = _column(source), _pictures(16, 5, light=-1.0)
    assert [tuple(lateral.down.shape) for lateral in model.laterals] == [(4, 5), (4, 6)]  # type: ignore[union-attr]
    alone = copy.deepcopy(model._own()).eval()
    with torch.no_grad():
        logits = model.eval().head("faint")(model(data.inputs)[0])
        assert torch.equal(logits, alone.head("faint")(alone(data.inputs)[0])), "at first it is the column alone"
    before, start = snapshot(source), snapshot(model)
    config = settings(steps=40, batch_budget=24, optimizer="adamw", learning_rate=0.02)
    check = _task(_pictures(48, 7, light=-1.0), "check", "faint")
    result = Trainer(model, [_task(data, head="faint")], config=config, validation=[check]).train()
    assert result.history[-1]["error"] < 0.4
    assert not different(snapshot(model.base), before)
    moved = different(snapshot(model), start)
    assert {f"laterals.{n}.{part}" for n in range(2) for part in ("up", "down", "alpha")} <= moved
    with torch.no_grad():
        old = source.eval().head("shapes")(source(data.inputs)[0])
        assert torch.equal(model.eval().head("shapes")(model(data.inputs)[0]), old)


def test_a_lateral_is_a_convolution_of_width_one(source: ImageModel) -> None:
    model, data = _column(source).eval(), _pictures(4, 5)
    lateral = model.laterals[0]
    assert isinstance(lateral, Lateral)
    with torch.no_grad():
        for tensor in lateral.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(2)))
        below = source.eval().encoder.layers[0](data.inputs)  # type: ignore[union-attr,operator,index]
        inner = torch.relu(nn.functional.conv2d(lateral.alpha * below, lateral.down[:, :, None, None]))
        own = model._own()
        hidden = own.encoder.layers[0](data.inputs) + nn.functional.conv2d(inner, lateral.up[:, :, None, None])  # type: ignore[union-attr,operator,index]
        for layer in own.encoder.layers[1:]:  # type: ignore[union-attr,index]
            hidden = layer(hidden)
        torch.testing.assert_close(model(data.inputs)[0][:, :5], hidden.mean((2, 3)))


def test_copies_of_columns_are_their_own(source: ImageModel) -> None:
    model = _column(source)
    other, before = copy.deepcopy(model), snapshot(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    assert not different(snapshot(model), before)
    data = _pictures(4)
    assert not torch.allclose(other.eval()(data.inputs)[0], model.eval()(data.inputs)[0])


@pytest.mark.parametrize("make", [lambda model: model, _column], ids=["image", "progressive-images"])
def test_a_model_of_images_is_a_folder_like_others(
    make: Callable[[ImageModel], Any], source: ImageModel, tmp_path: Path
) -> None:
    model, data = make(_adapted(source, "lora")[0]), _pictures(4)
    save_model(tmp_path / "model", model, "# A card", {})
    again = load_any(tmp_path / "model")
    assert type(again) is type(model) and again.head_names() == model.head_names()
    assert not different(snapshot(again), snapshot(model))
    with torch.no_grad():
        assert torch.equal(again(data.inputs)[0], model.eval()(data.inputs)[0])
    with pytest.raises(ModelError, match=r"config.yaml: `kind` is '.*image.*', which listens to no speech"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            ImageModel(ImageConfig(channels=(3, 8)), {"faint": 3}),
            "has 1 places .* the base has 2; give it as many layers",
        ),
        (ImageModel(ImageConfig(channels=LAYERS), {"shapes": 3}), "the base has a head 'shapes' already"),
    ],
)
def test_columns_that_do_not_fit_are_refused(column: ImageModel, message: str, source: ImageModel) -> None:
    with pytest.raises(ConfigError, match=message):
        ProgressiveImageModel(source, column)
