"""Objectives that align two domains are what their papers say: identities in float64."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from asr_transfer.config import ImageConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.models.image import ImageModel
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.forward import run_together
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.adda import AdversarialDiscriminative
from asr_transfer.transfer.confusion import DomainConfusion, SoftLabels
from asr_transfer.transfer.coral import CovarianceAlignment, covariance
from asr_transfer.transfer.discrepancy import WIDTHS, MeanDiscrepancy, discrepancy, linear_discrepancy
from asr_transfer.transfer.unlabelled import EntropyMinimisation, SelfTraining
from tests.small import ToySpeech, different, settings, small_model, snapshot, speech_task

DOUBLE = torch.float64
PAIR = ("source", "target")


def _vectors(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator, dtype=DOUBLE) + shift


def _images(seed: int, light: float = 0.0, items: int = 12) -> ArrayData:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(items, 1, 6, 6, generator=generator, dtype=DOUBLE) + light
    return ArrayData(inputs, torch.arange(items) % 3)


def _model(seed: int = 0) -> ImageModel:
    torch.manual_seed(seed)
    return ImageModel(ImageConfig(channels=(4, 6), norm=False), {"main": 3}).double()


def _streams() -> dict[str, Stream]:
    return {
        "source": Task("source", _images(1), cross_entropy, head="main"),
        "target": Stream("target", ArrayData(_images(2, 1.0).inputs), head="main"),
    }


def _outputs(model: nn.Module, streams: dict[str, Stream], tap: str = "encoder") -> dict[str, Output]:
    parts = {name: (stream, stream.data.collate(range(6))) for name, stream in streams.items()}
    return run_together(model, parts, dict.fromkeys(parts, (tap,)))


def test_identical_samples_have_no_discrepancy_and_others_have() -> None:
    x, y = _vectors(20, 0), _vectors(16, 1, 0.5)
    for measure in (discrepancy, linear_discrepancy):
        assert float(measure(x, x[torch.randperm(20)])) == pytest.approx(0.0, abs=1e-12)
        assert float(measure(x, y)) > 1e-3
    assert float(linear_discrepancy(x, y)) == pytest.approx(float((x.mean(0) - y.mean(0)).norm() ** 2))


def test_the_discrepancy_is_the_double_sum_over_kernels() -> None:
    x, y = _vectors(4, 0), _vectors(3, 1, 0.5)
    joint = [*x, *y]
    pairs = [float((a - b).square().sum()) for a in joint for b in joint]
    scale = sum(pairs) / (7 * 6)

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        distance = (a - b).square().sum()
        return float(sum(torch.exp(-distance / (2 * width * scale)) for width in WIDTHS))

    def mean(one: torch.Tensor, other: torch.Tensor) -> float:
        return sum(kernel(a, b) for a in one for b in other) / (len(one) * len(other))

    assert float(discrepancy(x, y)) == pytest.approx(mean(x, x) + mean(y, y) - 2 * mean(x, y), rel=1e-10)


def test_covariances_are_numpys_and_blind_to_means() -> None:
    x = _vectors(9, 0)
    torch.testing.assert_close(covariance(x), torch.cov(x.T))
    torch.testing.assert_close(covariance(x + 7.0), covariance(x))
    assert float(covariance(x[:1]).abs().max()) == 0.0


@pytest.mark.parametrize(
    "objective",
    [
        MeanDiscrepancy("encoder", PAIR),
        MeanDiscrepancy("encoder", PAIR, kernel="linear"),
        CovarianceAlignment("encoder", PAIR),
        DomainConfusion("encoder", PAIR, width=8),
        EntropyMinimisation("target"),
        SelfTraining("target", confidence=0.0),
    ],
    ids=["mmd", "mean", "coral", "confusion", "entropy", "self-training"],
)
def test_weight_zero_is_training_without_bit_for_bit(objective: TrainedObjective) -> None:
    def trained(objectives: list[Any]) -> dict[str, torch.Tensor]:
        model = _model()
        # Clipping bites at this norm.
        config = settings(steps=4, batch_budget=6, max_gradient_norm=0.05)
        Trainer(model, list(_streams().values()), objectives, config=config).train()
        return snapshot(model)

    plain = trained([])
    assert not different(trained([(0.0, copy.deepcopy(objective))]), plain)
    assert different(trained([(1.0, copy.deepcopy(objective))]), plain)


def test_padded_frames_never_enter() -> None:
    model = small_model(seed=1, dropout=0.0, dtype=DOUBLE).eval()
    first, second = ToySpeech(seed=1, dtype=DOUBLE), ToySpeech(seed=2, dtype=DOUBLE)
    streams: dict[str, Stream] = {
        "source": speech_task(first, name="source", augment=False),
        "target": Stream("target", second, augment=False),
    }
    for objective in (MeanDiscrepancy("encoder", PAIR, "frames"), CovarianceAlignment("encoder", PAIR, "frames")):
        outputs = _outputs(model, streams)
        before = objective.forward(model, outputs)
        for output in outputs.values():
            assert output.lengths is not None
            for row, length in zip(output.taps["encoder"], output.lengths.tolist(), strict=True):
                row.data[length:] = float("nan")
        assert torch.equal(objective.forward(model, outputs), before)


def test_adda_trains_each_side_by_its_own_loss_alone() -> None:
    model, streams = _model(), _streams()
    source = copy.deepcopy(model)
    objective = AdversarialDiscriminative("encoder", PAIR, width=8)
    objective.setup(model, streams)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)  # the target's encoder has moved away from the source's
    outputs = _outputs(model, streams)
    body, judge = list(model.encoder.parameters()), list(objective.discriminator.parameters())
    got = torch.autograd.grad(objective.forward(model, outputs), [*body, *judge])

    ours, theirs = model(streams["target"].data.collate(range(6)).inputs)[0], source(_images(1).inputs[:6])[0]
    ones, zeros = torch.ones(6, dtype=torch.long), torch.zeros(6, dtype=torch.long)
    loss = nn.functional.cross_entropy
    of_judge = (
        loss(objective.discriminator(theirs.detach()), zeros) + loss(objective.discriminator(ours.detach()), ones)
    ) / 2
    wanted = [
        *torch.autograd.grad(loss(objective.discriminator(ours), zeros), body),
        *torch.autograd.grad(of_judge, judge),
    ]
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert max(float(one.abs().max()) for one in got) > 1e-4


def test_confusion_is_least_where_the_discriminator_is_undecided() -> None:
    model, streams = _model(), _streams()
    objective = DomainConfusion("encoder", PAIR, width=8)
    objective.setup(model, streams)
    body = list(model.encoder.parameters())
    outputs = _outputs(model, streams)
    assert max(float(g.abs().max()) for g in torch.autograd.grad(objective.forward(model, outputs), body)) > 0
    last = objective.discriminator[-1]  # type: ignore[index]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
    outputs = _outputs(model, streams)
    value = objective.forward(model, outputs)
    assert float(value) == pytest.approx(2 * torch.log(torch.tensor(2.0, dtype=DOUBLE)).item())
    assert max(float(g.abs().max()) for g in torch.autograd.grad(value, body)) == 0.0


def test_soft_labels_are_the_mean_answers_of_each_class() -> None:
    model = _model()
    source = Task("source", _images(1), cross_entropy, head="main")
    target = Task("target", _images(2, items=5), cross_entropy, head="main", weight=0.0)
    objective = SoftLabels("source", "target", temperature=3.0)
    objective.setup(model, {"source": source, "target": target})
    answers = (model.head("main")(model(_images(1).inputs)[0]) / 3).softmax(-1)
    for label in range(3):
        torch.testing.assert_close(objective.labels[label], answers[_images(1).targets == label].mean(0))
    part = target.data.collate(range(5))
    output = run_together(model, {"target": (target, part)}, {"target": ()})["target"]
    own = (output.require_logits() / 3).softmax(-1).log()
    wanted = sum(-(objective.labels[label] * row).sum() for label, row in zip(part.targets, own, strict=True)) / 5
    torch.testing.assert_close(objective.forward(model, {"target": output}), wanted)
    with pytest.raises(ConfigError, match="no item of class 2"):
        objective.setup(model, {"source": Task("source", _images(1, items=2), cross_entropy, head="main")})


def test_entropy_is_that_of_even_answers_and_of_sure_ones() -> None:
    model, streams = _model(), _streams()
    objective = EntropyMinimisation("target")
    with torch.no_grad():
        model.head("main").weight.zero_()
        model.head("main").bias.zero_()
    outputs = _outputs(model, streams)
    assert float(objective.forward(model, outputs)) == pytest.approx(torch.log(torch.tensor(3.0)).item(), rel=1e-6)
    with torch.no_grad():
        model.head("main").bias[1] = 1e3
    assert float(objective.forward(model, _outputs(model, streams))) == 0.0


def test_the_teacher_is_the_moving_average_and_unsure_answers_count_nothing() -> None:
    objective = SelfTraining("target", confidence=0.0, decay=0.75)
    model, start = _model(), _model()
    Trainer(model, list(_streams().values()), [(1.0, objective)], config=settings(steps=1, batch_budget=6)).train()
    for kept, old, new in zip(objective.teacher.parameters(), start.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(kept, 0.75 * old + 0.25 * new)
    unsure = SelfTraining("target", confidence=0.999)
    unsure.setup(model, _streams())
    assert float(unsure.forward(model, _outputs(model, _streams()))) == 0.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MeanDiscrepancy("encoder", ("a", "a")), "two different streams"),
        (lambda: MeanDiscrepancy("encoder", PAIR, kernel="cubic"), "'gaussian' or 'linear', got 'cubic'"),  # type: ignore[arg-type]
        (lambda: SelfTraining("target", confidence=1.0), "'confidence' parameter of SelfTraining"),
        (lambda: SoftLabels("source", "target", 0.0), "'temperature' parameter of SoftLabels"),
    ],
)
def test_bad_parameters_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
