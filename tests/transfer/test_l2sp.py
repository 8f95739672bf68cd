"""The penalty on the way from the source is what its paper says: gradients, limits, what it leaves alone."""

from __future__ import annotations

import pytest
import torch

from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.training.streams import Output, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.l2sp import L2SP
from tests.small import HeadOnly, settings, small_model, speech_task


def test_l2sp_gradient_is_alpha_times_the_way_gone_and_beta_times_the_new() -> None:
    model, source = small_model(seed=1, dtype=torch.float64), small_model(seed=2, dtype=torch.float64)
    reference = {n: t for n, t in source.state_dict().items() if not n.startswith("heads")}
    objective = L2SP(0.7, 0.2, reference)
    objective.setup(model, {})
    objective.forward(model, {}).backward()
    norms = {n for n, _ in model.named_parameters() if ".norm." in n}
    assert len(norms) > 4
    for name, parameter in model.named_parameters():
        if name in norms:
            assert parameter.grad is None
        elif name.startswith("heads"):
            torch.testing.assert_close(parameter.grad, 0.2 * parameter.detach())
        else:
            torch.testing.assert_close(parameter.grad, 0.7 * (parameter.detach() - reference[name]))


def test_l2sp_treats_a_head_of_another_size_as_new_and_leaves_frozen_weights_alone() -> None:
    model, source = small_model(seed=1, heads={"main": 7}), small_model(seed=2)
    model.encoder.layers[0].convolution.weight.requires_grad_(False)
    objective = L2SP(0.7, 0.2, source.state_dict())
    objective.setup(model, {})
    objective.forward(model, {}).backward()
    assert model.encoder.layers[0].convolution.weight.grad is None
    torch.testing.assert_close(model.heads["main"].weight.grad, 0.2 * model.heads["main"].weight.detach())


def test_l2sp_reaches_the_ridge_solution() -> None:
    alpha, generator = 0.5, torch.Generator().manual_seed(5)
    inputs = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(20, generator=generator, dtype=torch.float64)

    def squares(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
        error = output.require_logits().squeeze(-1) - output.batch.targets
        return error.square().sum() / 2, torch.tensor(1)

    model = HeadOnly(3, 1, bias=False)
    start = model.linear.weight.detach().clone().squeeze(0)
    task = Task("t", ArrayData(inputs, targets), criterion=squares, head="main")
    Trainer(model, [task], [(1.0, L2SP(alpha))], config=settings(steps=400, learning_rate=0.02)).train()
    gram = inputs.T @ inputs + alpha * torch.eye(3, dtype=torch.float64)
    ridge = torch.linalg.solve(gram, inputs.T @ targets + alpha * start)
    torch.testing.assert_close(model.linear.weight.detach().squeeze(0), ridge, rtol=1e-8, atol=1e-10)
    plain = torch.linalg.solve(inputs.T @ inputs, inputs.T @ targets)
    assert (ridge - plain).abs().max() > 1e-3


def test_weight_decay_beside_l2sp_is_refused_before_anything_happens() -> None:
    model = small_model()
    with pytest.raises(ConfigError, match="L2SP replaces weight decay"):
        Trainer(model, [speech_task()], [(1.0, L2SP(0.1))], config=settings(weight_decay=0.01, optimizer="adamw"))
    with pytest.raises(ConfigError, match="must not be negative"):
        L2SP(-0.1)
