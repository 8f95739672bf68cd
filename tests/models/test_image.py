"""The trainer, plans and objectives made for speech run unchanged on images: digits, layers of other digits."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from asr_transfer.config import ImageConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ModelError
from asr_transfer.models.image import ImageModel
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.metrics import ClassificationError
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Result, Trainer
from asr_transfer.transfer.distillation import Distillation
from asr_transfer.transfer.l2sp import L2SP
from asr_transfer.transfer.plan import Copy, Freeze, LearningRate, TransferPlan
from tests.small import different, settings, snapshot

SHOTS = 2


def _digits(classes: range) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    chosen = np.isin(labels, list(classes))
    pixels = torch.tensor(images[chosen] / 16.0, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return pixels, torch.tensor(labels[chosen] - classes.start)


def _few(seed: int) -> tuple[ArrayData, ArrayData]:
    """Return `SHOTS` training images of each digit from 5 to 9, and the rest."""
    images, labels = _digits(range(5, 10))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    train = torch.cat([order[labels[order] == label][:SHOTS] for label in range(5)])
    rest = order[~torch.isin(order, train)][:400]
    return ArrayData(images[train], labels[train]), ArrayData(images[rest], labels[rest])


def _model(seed: int) -> ImageModel:
    torch.manual_seed(seed)
    return ImageModel(ImageConfig(channels=(16, 32, 32)), {"digits": 5})


def _task(data: ArrayData, **options: Any) -> Task:
    return Task("digits", data, criterion=cross_entropy, head="digits", metric=ClassificationError, **options)


def _fit(
    model: ImageModel,
    data: ArrayData,
    check: ArrayData,
    objectives: Any = (),
    plan: Any = None,
    steps: int = 60,
    weight: float = 1.0,
) -> Result:
    config = settings(steps=steps, batch_budget=64, optimizer="adamw", learning_rate=0.01, schedule="cosine")
    task = _task(data, weight=weight)
    return Trainer(model, [task], objectives, plan, config, [_task(check)], monitor="error").train()


def _error(result: Result) -> float:
    return result.history[-1]["error"]


@pytest.fixture(scope="module")
def source() -> ImageModel:
    """Return a model of the digits from 0 to 4."""
    images, labels = _digits(range(5))
    model = _model(0)
    result = _fit(model, ArrayData(images[:700], labels[:700]), ArrayData(images[700:], labels[700:]), steps=150)
    assert _error(result) < 0.05
    return model


def test_first_layers_of_other_digits_beat_training_from_scratch_with_few_examples(source: ImageModel) -> None:
    before = snapshot(source)
    first = [name for name in before if name.startswith(("encoder.layers.0.", "encoder.layers.1."))]
    scratch, transferred = [], []
    for seed in range(6):
        data, check = _few(seed)
        scratch.append(_error(_fit(_model(seed), data, check)))
        plan = TransferPlan(Copy("encoder.layers[:2]", source), Freeze("encoder.layers[:2]"))
        model = _model(seed)
        transferred.append(_error(_fit(model, data, check, plan=plan)))
        assert different(snapshot(model), before).isdisjoint(first)
    assert np.mean(transferred) < 0.95 * np.mean(scratch)
    assert sum(t < s for t, s in zip(transferred, scratch, strict=True)) >= 4
    assert not different(snapshot(source), before)


@pytest.mark.parametrize("method", ["distillation", "l2-sp"])
def test_conservative_training_holds_an_image_model_near_its_source(source: ImageModel, method: str) -> None:
    """Adapting to dark images forgets the light ones; both penalties forget less."""
    images, labels = _digits(range(5))
    dark = ArrayData(1 - images[:10], labels[:10])
    old = ArrayData(images[700:], labels[700:])

    def forgetting(objectives: Any, weight: float = 1.0) -> tuple[float, float]:
        model = _model(0)
        plan = TransferPlan(Copy("**", source), LearningRate("heads", 2.0))
        _fit(model, dark, dark, objectives, plan, steps=20, weight=weight)
        state, start = snapshot(model), snapshot(source)
        way = sum(float((state[n] - start[n]).square().sum()) for n, _ in model.named_parameters())
        wrong = model.head("digits")(model(old.inputs)[0]).argmax(-1) != old.targets
        return float(wrong.double().mean()), way

    plain_error, plain_way = forgetting([])
    if method == "distillation":
        held_error, _ = forgetting([(0.9, Distillation(source, "digits"))], weight=0.1)
        assert held_error <= plain_error
    else:
        _, held_way = forgetting([(1.0, L2SP(1.0, reference=source.state_dict()))])
        assert held_way < 0.5 * plain_way


def test_distillation_gives_the_teachers_answers_without_labels(source: ImageModel) -> None:
    images, labels = _digits(range(5))
    blind = ArrayData(images[:700], torch.zeros_like(labels[:700]))
    student = _model(9)
    result = _fit(
        student,
        blind,
        ArrayData(images[700:], labels[700:]),
        [(1.0, Distillation(source, "digits"))],
        steps=150,
        weight=0.0,
    )
    assert _error(result) < 0.05


def test_an_image_model_names_the_heads_that_exist() -> None:
    with pytest.raises(ModelError, match=r"no head 'digit'.*Did you mean 'digits'\?"):
        _model(0).head("digit")


def test_images_need_no_audio_library() -> None:
    code = (
        "import sys, asr_transfer.models.image, asr_transfer.data.batching, asr_transfer.transfer.plan\n"
        "print([m for m in ('soundfile', 'soxr', 'asr_transfer.audio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
