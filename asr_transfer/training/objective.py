"""Defines the protocols that methods fulfil: an objective adds to the loss, a plan prepares the model.

The trainer knows nothing else of any method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import nn

from asr_transfer.data.batching import Batch
from asr_transfer.training.streams import Output, Stream

Weight = float | Callable[[float], float]
"""A constant, or a function of the progress from 0 to 1."""


class Objective(Protocol):
    """An addition to the training loss.

    Attributes:
        streams: names of the streams whose outputs it reads.
        taps: dotted paths of the modules whose outputs it reads.
        replaces_weight_decay: whether it pulls weights somewhere itself, so that the optimiser must not.
    """

    streams: Sequence[str]
    taps: Sequence[str]
    replaces_weight_decay: bool

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Prepare once, after the plan was applied and before the first step."""
        ...

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return a scalar loss in the unit of the tasks: per output position."""
        ...


class TrainedObjective(nn.Module):
    """Base of objectives with parameters of their own, such as a discriminator, or with figures to show.

    The trainer trains these parameters with its one optimiser, keeps them in checkpoints and never makes them a part
    of the model. A subclass defines `setup` and `forward`, `around` where it acts on the model while a batch runs, and
    `stepped` where it follows the model.

    Attributes:
        progress: progress of the training, from 0 to 1; the trainer sets it before each `forward`.
        pace: factor on the learning rate of its parameters.
    """

    streams: Sequence[str] = ()
    taps: Sequence[str] = ()
    replaces_weight_decay: bool = False
    progress: float = 0.0
    pace: float = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._noted: dict[str, list[torch.Tensor]] = {}

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """See `Objective.setup`."""

    @contextmanager
    def around(self, model: nn.Module, parts: Mapping[str, tuple[Stream, Batch]], share: float) -> Iterator[None]:
        """Enclose the forward and the backward pass of a batch in training: do nothing.

        Args:
            model: model that is trained; it must be afterwards as it was, but for its gradients.
            parts: stream and batch, on the model's device, by name.
            share: share of the optimiser's step that the batch has.
        """
        yield

    def stepped(self, model: nn.Module) -> None:
        """Follow a step of the optimiser, such as a teacher whose weights are a moving average: do nothing.

        It does not follow a step that was skipped. What it changes must be a parameter or buffer of this objective, for
        these are kept in checkpoints.
        """

    def note(self, name: str, value: torch.Tensor) -> None:
        """Keep a scalar of this step for `figures`."""
        total, count = self._noted.get(name, (torch.zeros(()), torch.zeros(())))
        self._noted[name] = [total + value.detach().float(), count + 1]

    def figures(self) -> dict[str, float]:
        """Return the mean of each noted scalar since the last call; the trainer adds them to its history."""
        means = {name: float(total / count) for name, (total, count) in self._noted.items()}
        self._noted = {}
        return means

    def get_extra_state(self) -> dict[str, list[torch.Tensor]]:
        """Keep what is noted in checkpoints, so that a resumed run shows the same figures."""
        return {name: [part.cpu() for part in parts] for name, parts in self._noted.items()}

    def set_extra_state(self, state: dict[str, list[torch.Tensor]]) -> None:
        """Take it from a checkpoint."""
        self._noted = dict(state)


class AppliedPlan(Protocol):
    """What a plan did to a model."""

    @property
    def learning_rate_factors(self) -> Mapping[str, float]:
        """Factors on the learning rate by parameter name; 1 where absent."""
        ...


class Plan(Protocol):
    """Prepares a model for training: copies, freezes, resets."""

    def apply(self, model: nn.Module) -> AppliedPlan:
        """Change `model` in place and say what was done."""
        ...
