"""EWC's Fisher information is that of the model's own labels, one by one, and its penalty has the known optima."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np
import pytest
import torch

from asr_transfer.config import EncoderName
from asr_transfer.data.batching import ArrayData, Batch
from asr_transfer.errors import ConfigError
from asr_transfer.training.criteria import cross_entropy, ctc
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.ewc import EWC, fisher_information
from asr_transfer.transfer.l2sp import L2SP
from tests.small import HeadOnly, Recorder, ToySpeech, different, settings, small_model, snapshot, speech_task


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _classifier(items: int = 6, seed: int = 1) -> tuple[HeadOnly, Task]:
    data = ArrayData(_random(items, 4, seed=3), torch.zeros(items, dtype=torch.long))
    return HeadOnly(4, 3, seed=seed), Task("t", data, criterion=cross_entropy, head="main")


def _one_sequence(frames: int = 4) -> Task:
    """Return a CTC task of one item whose own label is beside the point."""

    class Data:
        def costs(self) -> np.ndarray:
            return np.array([frames])

        def collate(self, items: Any, augment: torch.Generator | None = None) -> Batch:
            index = torch.as_tensor(items)
            inputs = torch.cat([_random(1, frames, 3, seed=5), torch.full((1, 2, 3), 7.0, dtype=torch.float64)], 1)
            return Batch(index, inputs, torch.tensor([[1, 1, 1]]), torch.tensor([frames]), torch.tensor([3]))

    return Task("t", Data(), criterion=ctc, head="main")


def _assert_within_sampling_error(estimate: torch.Tensor, mean: torch.Tensor, fourth: torch.Tensor, n: int) -> None:
    """Compare a mean of n squared gradients with the exact one, in standard errors from the exact fourth moment."""
    error = ((fourth - mean.square()) / n).sqrt()
    deviations = (estimate - mean) / error
    assert float(deviations.abs().max()) < 5
    assert float((error / mean).max()) < 0.15, "the estimate must be sharp enough to tell"


def test_fisher_of_softmax_regression_is_the_expected_one_whatever_the_labels_of_the_data() -> None:
    model, task = _classifier()
    assert isinstance(task.data, ArrayData)
    n = 6 * 1000
    fisher = fisher_information(model, task, n, seed=4)
    p = model.linear(task.data.inputs).softmax(-1).detach()
    x = task.data.inputs
    # ∂ log p(y) / ∂W_kj = ([y = k] - p_k) x_j, so its square has the mean p_k (1 - p_k) x_j².
    for name, factor in (("linear.weight", x[:, None, :]), ("linear.bias", torch.ones(6, 1, 1).double())):
        second = (p * (1 - p))[:, :, None] * factor**2
        fourth = (p * (1 - p) ** 4 + (1 - p) * p**4)[:, :, None] * factor**4
        _assert_within_sampling_error(
            fisher[name].reshape(3, -1), second.mean(0).reshape(3, -1), fourth.mean(0).reshape(3, -1), n
        )
    other = Task("t", ArrayData(x, torch.full((6,), 2)), criterion=cross_entropy, head="main")
    few = fisher_information(model, task, 60, seed=4)
    assert not different(few, fisher_information(model, other, 60, seed=4))
    assert different(few, fisher_information(model, task, 60, seed=5))


def test_fisher_of_ctc_is_the_mean_over_all_label_sequences() -> None:
    model, task, n = HeadOnly(3, 3, seed=2), _one_sequence(), 4000
    inputs = task.data.collate([0]).inputs[0, :4]
    probabilities = model.linear(inputs).softmax(-1)
    likelihood: dict[tuple[int, ...], torch.Tensor] = {}
    for path in itertools.product(range(3), repeat=4):
        labels = tuple(token for token, _ in itertools.groupby(path) if token)
        probability = torch.stack([probabilities[t, k] for t, k in enumerate(path)]).prod()
        likelihood[labels] = likelihood.get(labels, torch.zeros(()).double()) + probability
    assert () in likelihood and float(sum(likelihood.values()).detach()) == pytest.approx(1)
    parameters = dict(model.named_parameters())
    second = {name: torch.zeros_like(p) for name, p in parameters.items()}
    fourth = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for probability in likelihood.values():
        gradients = torch.autograd.grad(probability.log(), list(parameters.values()), retain_graph=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            second[name] += probability.detach() * gradient**2
            fourth[name] += probability.detach() * gradient**4
    fisher = fisher_information(model, task, n)
    for name in parameters:
        _assert_within_sampling_error(fisher[name], second[name], fourth[name], n)


def test_a_sure_model_without_speech_draws_empty_sequences() -> None:
    model = HeadOnly(3, 3)
    with torch.no_grad():
        model.linear.weight.zero_()
        model.linear.bias.copy_(torch.tensor([40.0, 0.0, 0.0]))
    fisher = fisher_information(model, _one_sequence(), 8)
    assert all(torch.isfinite(f).all() and float(f.max()) < 1e-12 for f in fisher.values())


def test_the_square_of_a_batch_mean_is_far_smaller() -> None:
    batch, repeats = 32, 200
    model, task = _classifier(items=batch)
    assert isinstance(task.data, ArrayData)
    fisher = fisher_information(model, task, batch * 20)["linear.weight"].sum()
    generator, squares = torch.Generator().manual_seed(1), torch.zeros(()).double()
    for _ in range(repeats):
        log_probs = model.linear(task.data.inputs).log_softmax(-1)
        drawn = torch.multinomial(log_probs.exp().detach(), 1, generator=generator)
        (gradient,) = torch.autograd.grad(log_probs.gather(1, drawn).mean(), [model.linear.weight])
        squares += gradient.square().sum() / repeats
    # The mean of B independent gradients of mean zero has 1/B of their variance.
    assert float(squares / fisher) == pytest.approx(1 / batch, rel=0.25)


def test_few_examples_are_different_items_and_many_are_all_items_equally_often() -> None:
    class Counting(ToySpeech):
        def collate(self, items: Any, augment: torch.Generator | None = None) -> Batch:
            assert augment is None
            seen.extend(items)
            return super().collate(items, augment)

    model = small_model(dtype=torch.float64)
    for examples, wanted in ((5, 5), (12, 12), (30, 12)):
        seen: list[int] = []
        fisher_information(model, speech_task(Counting(dtype=torch.float64)), examples)
        assert len(seen) == len(set(seen)) == wanted


@pytest.mark.parametrize("encoder", get_args(EncoderName))
def test_computing_leaves_the_model_as_it_was(encoder: EncoderName) -> None:
    model = small_model(encoder=encoder, heads={"main": 5, "other": 3}, dropout=0.5).train()
    model.encoder.layers[0].eval()
    frozen = model.encoder.norm.weight.requires_grad_(False)
    before, modes = snapshot(model), [module.training for module in model.modules()]
    first = fisher_information(model, speech_task(), 6)
    assert not different(before, snapshot(model))
    assert modes == [module.training for module in model.modules()]
    assert all(parameter.grad is None for parameter in model.parameters()) and not frozen.requires_grad
    assert set(first) == {name for name, _ in model.named_parameters()} - {"encoder.norm.weight"}
    assert not first["heads.other.weight"].any() and first["heads.main.weight"].any()
    # Dropout is off: the same draws give the same values, whatever torch's own random state.
    torch.manual_seed(99)
    assert not different(first, fisher_information(model, speech_task(), 6))


def test_the_optimum_is_that_of_training_on_both_when_the_old_loss_is_quadratic_and_diagonal() -> None:
    """With H the old loss's Hessian and θ* its optimum, new loss + EWC(F = H, λ = 1) is new + old loss."""
    inputs, targets = _random(20, 3, seed=5), _random(20, seed=6)
    curvature, optimum = torch.tensor([[0.0, 2.0, 30.0]]).double(), _random(1, 3, seed=7)

    def squares(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
        error = output.require_logits().squeeze(-1) - output.batch.targets
        return error.square().sum() / 2, torch.tensor(1)

    model = HeadOnly(3, 1, bias=False)
    task = Task("t", ArrayData(inputs, targets), criterion=squares, head="main")
    held = EWC(1.0, fisher={"linear.weight": curvature}, reference={"linear.weight": optimum.clone()}, normalise=False)
    Trainer(model, [task], [(1.0, held)], config=settings(steps=600, learning_rate=0.02)).train()
    joint = torch.linalg.solve(
        inputs.T @ inputs + torch.diag(curvature[0]), inputs.T @ targets + curvature[0] * optimum[0]
    )
    torch.testing.assert_close(model.linear.weight.detach()[0], joint, rtol=1e-8, atol=1e-10)
    alone = torch.linalg.solve(inputs.T @ inputs, inputs.T @ targets)
    assert (joint - alone).abs().max() > 1e-2


def test_the_gradient_is_weight_times_fisher_times_the_way_gone_and_zero_at_the_start() -> None:
    model, source = small_model(seed=1, dtype=torch.float64), small_model(seed=2, dtype=torch.float64)
    model.encoder.layers[0].convolution.weight.requires_grad_(False)
    fisher = {name: _random(*p.shape, seed=i).abs() for i, (name, p) in enumerate(model.named_parameters())}
    values = torch.cat([fisher[n].flatten() for n, p in model.named_parameters() if p.requires_grad])
    objective = EWC(0.7, fisher=fisher, reference=source.state_dict())
    objective.setup(model, {})
    objective.forward(model, {}).backward()
    way = {name: p.detach() - source.state_dict()[name] for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, 0.7 * fisher[name] / values.mean() * way[name])
        else:
            assert parameter.grad is None
    model.zero_grad()
    held = EWC(0.7, fisher=fisher)
    held.setup(model, {})
    penalty = held.forward(model, {})
    penalty.backward()
    assert penalty.item() == 0
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_a_uniform_fisher_is_l2sp_at_any_scale() -> None:
    model, reference = HeadOnly(4, 3, seed=1), snapshot(HeadOnly(4, 3, seed=2))
    l2sp = L2SP(0.3, reference=reference)
    l2sp.setup(model, {})
    for scale in (1e-6, 1.0, 5e4):
        uniform = {name: torch.full_like(p, scale) for name, p in model.named_parameters()}
        held = EWC(0.3, fisher=uniform, reference=reference)
        held.setup(model, {})
        torch.testing.assert_close(held.forward(model, {}), l2sp.forward(model, {}), rtol=1e-12, atol=0)


def test_fisher_is_taken_at_the_reference_not_where_training_starts() -> None:
    model, task = _classifier(seed=1)
    source, _ = _classifier(seed=2)
    before = snapshot(model)
    held = EWC(1.0, "t", reference=source.state_dict(), examples=60, seed=3, normalise=False)
    held.setup(model, {"t": task})
    assert not different(before, snapshot(model))
    wanted = fisher_information(source, task, 60, seed=3)
    way = {name: p.detach() - source.state_dict()[name] for name, p in model.named_parameters()}
    expected = sum((wanted[name] * way[name].square()).sum() for name in wanted) / 2
    torch.testing.assert_close(held.forward(model, {}).detach(), expected)


def test_a_head_of_another_size_is_free() -> None:
    model, source = small_model(seed=1, heads={"main": 7}), small_model(seed=2)
    fisher = {name: torch.ones_like(p) for name, p in source.named_parameters()}
    objective = EWC(1.0, fisher=fisher, reference=source.state_dict())
    objective.setup(model, {})
    objective.forward(model, {}).backward()
    assert model.heads["main"].weight.grad is None and model.encoder.norm.weight.grad is not None


def _weights(objectives: Any, steps: int = 5, learning_rate: float = 0.05) -> list[dict[str, torch.Tensor]]:
    recorder, model = Recorder(), small_model(seed=1, dtype=torch.float64)
    task = speech_task(ToySpeech(dtype=torch.float64))
    config = settings(steps=steps, learning_rate=learning_rate)
    Trainer(model, [task], [*objectives, (1.0, recorder)], config=config).train()
    return [*recorder.weights, snapshot(model)]


def test_weight_zero_is_plain_fine_tuning_step_by_step_and_a_large_one_holds() -> None:
    plain = _weights([])
    assert different(plain[0], plain[1])
    for one, other in zip(plain, _weights([(1.0, EWC(0.0, "speaker", examples=8))]), strict=True):
        assert not different(one, other)
    held = _weights([(1.0, EWC(1.0, "speaker", examples=8))])
    trained = [name for name, _ in small_model().named_parameters()]

    def way(weights: list[dict[str, torch.Tensor]]) -> float:
        return float(sum((weights[-1][name] - weights[0][name]).square().sum() for name in trained))

    assert way(held) < 0.98 * way(plain)


def test_what_cannot_be_is_refused() -> None:
    model, task = _classifier()
    for options, message in (
        ({"weight": -1.0, "stream": "t"}, "`weight`"),
        ({"weight": float("nan"), "stream": "t"}, "`weight`"),
        ({"weight": 1.0}, "one of the two"),
        ({"weight": 1.0, "stream": "t", "fisher": {}}, "one of the two"),
        ({"weight": 1.0, "stream": "t", "examples": 0}, "`examples`"),
    ):
        with pytest.raises(ConfigError, match=message):
            EWC(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'raw' has no head"):
        Trainer(small_model(), [Stream("raw", ToySpeech())], [(1.0, EWC(1.0, "raw"))], config=settings())
    with pytest.raises(ConfigError, match="reads the stream 'sauce'"):
        Trainer(model, [task], [(1.0, EWC(1.0, "sauce"))], config=settings())
    with pytest.raises(ConfigError, match="EWC replaces weight decay"):
        Trainer(model, [task], [(1.0, EWC(1.0, "t"))], config=settings(weight_decay=0.01, optimizer="adamw"))
    for bad in ({}, {"linear.weight": torch.zeros(3, 4)}, {"linear.weight": torch.full((3, 4), float("nan"))}):
        with pytest.raises(ConfigError, match="no trainable weight to hold"):
            EWC(1.0, fisher=bad).setup(model, {})
    other = Task("t", task.data, criterion=lambda output: cross_entropy(output), head="main")
    with pytest.raises(ConfigError, match="'t' has another"):
        fisher_information(model, other)
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        fisher_information(model.requires_grad_(False), task)
