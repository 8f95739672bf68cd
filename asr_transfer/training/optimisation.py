"""Makes the optimiser, its parameter groups and the learning-rate schedule."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from asr_transfer.config import TrainerConfig
from asr_transfer.errors import TrainingError


def make_optimizer(
    model: nn.Module,
    config: TrainerConfig,
    factors: Mapping[str, float],
    others: Iterable[tuple[str, nn.Parameter]] = (),
) -> torch.optim.Optimizer:
    """Group the trainable parameters by learning-rate factor and weight decay and make the optimiser.

    Weight decay acts on matrices only: on biases and normalisation scales it only shifts outputs.

    Args:
        model: model that is trained.
        config: kind of optimiser, learning rate and weight decay.
        factors: factors on the learning rate, by the name of the model's parameter; 1 where absent.
        others: named parameters beside the model's, such as those of objectives.

    Raises:
        TrainingError: nothing is trainable.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in itertools.chain(model.named_parameters(), others):
        if parameter.requires_grad:
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((factors.get(name, 1.0), decay), []).append(parameter)
    if not groups:
        raise TrainingError("the plan froze every parameter, so there is nothing to train; freeze less.")
    listed = [
        {"params": parameters, "lr": config.learning_rate, "weight_decay": decay, "factor": factor}
        for (factor, decay), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(listed, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(listed, lr=config.learning_rate, fused=True)


def scale_at(step: int, config: TrainerConfig) -> float:
    """Return the factor on the learning rate for `step` (0 is the first), from 0 to 1."""
    warm = config.warmup * config.steps
    if step < warm:
        return (step + 1) / (math.ceil(warm) + 1)
    if config.schedule == "constant":
        return 1.0
    progress = (step - warm) / max(1.0, config.steps - warm)
    if config.schedule == "inverse":
        return float((1 + 10 * progress) ** -0.75)
    return 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group `rate` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
