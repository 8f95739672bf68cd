"""Trains a model to be adapted: each batch is judged after an adaptation to other items of the same label.

First-order MAML (Finn, Abbeel and Levine 2017), Reptile (Nichol, Achiam and Schulman 2018) and learned learning rates
(Meta-SGD; Li et al. 2017, one for each block of the model). For speakers, see Klejch et al. 2018.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_transfer.config import TrainerConfig
from asr_transfer.data.batching import Batch
from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters import PREFIX
from asr_transfer.models.contract import Model
from asr_transfer.training.forward import run
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.optimisation import make_optimizer, scale_at, set_learning_rate
from asr_transfer.training.streams import Output, Stream, Task, mean_loss

Way = Literal["fomaml", "reptile"]

HEADS = "heads"
"""Place of the weights of all heads, of which an adaptation moves one."""

ELSEWHERE = "elsewhere"
"""Place of weights that belong to no block and no head."""


class Meta(TrainedObjective):
    """Runs each batch of a task at the weights that an adaptation to other items of its label leads to.

    The adaptation is what `adapt` does: some steps of its optimiser on one batch of a few items, with normalisation
    statistics held and in full precision, after which the model is given back as it was. With `fomaml` the gradient
    there is that of the model's weights, to the first order; with `reptile` the batch is the adaptation's last step,
    and the gradient is the way gone in units of the learning rate. With no step before the batch both are plain
    training, bit for bit.

    Args:
        way: `fomaml` or `reptile`.
        moved: names of the parameters that the adaptation moves; others are as they are, trained or not.
        steps: number of steps before the batch.
        learning_rate: peak of their learning rate; at 0 `fomaml` leaves the model where it is.
        course: optimiser, course of the learning rate, and clipping of these steps.
        items: number of items that are adapted to.
        learn_rates: whether to learn, for each block, the factor on the adaptation's learning rate; they start at 1.
        pace: factor on the learning rate at which these are learnt.
        share: share of the batches that are run behind an adaptation, drawn for each; the others are plain training,
            which keeps the model good for those who are not adapted to.

    Attributes:
        places: block of each moved parameter, or `heads`, by its name.
        logarithms: logarithm of the factor of each place, in the order of `factors`; None where none is learnt.
    """

    def __init__(
        self,
        way: Way,
        moved: Sequence[str],
        steps: int,
        learning_rate: float,
        course: TrainerConfig,
        items: int = 5,
        learn_rates: bool = False,
        pace: float = 1.0,
        share: float = 1.0,
    ) -> None:
        super().__init__()
        if way not in ("fomaml", "reptile"):
            raise ConfigError(f"The 'way' of meta-learning must be 'fomaml' or 'reptile', got '{way}' instead.")
        if way == "reptile" and (learn_rates or not learning_rate > 0):
            reason = (
                "judges nothing after an adaptation, so no rates are learnt" if learn_rates else "needs a rate above 0"
            )
            raise ConfigError(f"The 'way' reptile {reason}; take 'fomaml'.")
        if not moved:
            raise ConfigError("the adaptation moves nothing, so there is nothing to learn for it; name another method.")
        self.way, self.moved, self.steps, self.learning_rate = way, tuple(moved), steps, learning_rate
        self.course = replace(course, steps=max(1, steps + (way == "reptile")))
        self.items, self.learn_rates, self.pace, self.share = items, learn_rates, pace, share
        self.places: dict[str, str] = {}
        self.logarithms: nn.Parameter | None = None
        self._labels: dict[str, np.ndarray] = {}

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Find the block of each parameter and the label of each item."""
        self.label(streams)
        assert isinstance(model, Model)
        self.places = {name: place_of(name, model) for name in self.moved}
        if self.learn_rates:
            like = next(model.parameters())
            self.logarithms = nn.Parameter(torch.zeros(len(self._listed()), device=like.device, dtype=like.dtype))

    def label(self, streams: Mapping[str, Stream]) -> None:
        """Find the label of each item of tasks; those of a task without labels have one."""
        for name, stream in streams.items():
            if isinstance(stream, Task):
                own = [name] * len(stream.data.costs()) if stream.together is None else stream.together
                self._labels[name] = np.asarray(own)

    def _listed(self) -> list[str]:
        return list(dict.fromkeys(self.places.values()))

    def factors(self) -> dict[str, float]:
        """Return the factor on the adaptation's learning rate by place; 1 where none is learnt."""
        values = [0.0] * len(self._listed()) if self.logarithms is None else self.logarithms.tolist()
        return {place: math.exp(value) for place, value in zip(self._listed(), values, strict=True)}

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return 0: what it does is done around the batch."""
        return torch.zeros((), device=next(model.parameters()).device)

    @contextmanager
    def around(self, model: nn.Module, parts: Mapping[str, tuple[Stream, Batch]], share: float) -> Iterator[None]:
        """See `TrainedObjective.around`."""
        tasks = {name: (stream, batch) for name, (stream, batch) in parts.items() if isinstance(stream, Task)}
        plain = not self.steps or not tasks or not self.share
        if plain or (self.share < 1 and float(torch.rand(())) >= self.share):
            yield
            return
        own = dict(model.named_parameters())
        moved = {name: own[name] for name in self.moved}
        trained = {parameter: parameter.requires_grad for parameter in own.values()}
        before = {parameter: parameter.grad for parameter in own.values()}
        start = {name: parameter.detach().clone() for name, parameter in moved.items()}
        try:
            among = set(moved.values())
            for parameter in trained:
                parameter.requires_grad_(parameter in among)
                parameter.grad = None
            factors = self.factors()
            rates = {name: factors[place] for name, place in self.places.items()}
            optimizer = make_optimizer(model, replace(self.course, weight_decay=0.0), rates)
            support = {name: self._others(name, stream, batch) for name, (stream, batch) in tasks.items()}
            with _statistics_held(model):
                for step in range(self.steps):
                    for name, (stream, _) in tasks.items():
                        loss = mean_loss(stream, {name: run(model, stream, support[name])})
                        if loss is not None:
                            loss.backward()  # type: ignore[no-untyped-call]
                    self._move(optimizer, moved, step)
            for parameter, flag in trained.items():
                parameter.requires_grad_(flag or parameter in among)
            yield
            with torch.no_grad():
                if self.logarithms is not None:
                    self._learn_rates(moved, start)
                if self.way == "reptile":
                    for parameter in moved.values():
                        if parameter.grad is not None:
                            parameter.grad /= share
                    self._move(optimizer, moved, self.steps)
                    for name, parameter in moved.items():
                        parameter.grad = (start[name] - parameter) * (share / self.learning_rate)
        finally:
            with torch.no_grad():
                for name, parameter in moved.items():
                    parameter.copy_(start[name])
            for parameter, flag in trained.items():
                parameter.requires_grad_(flag)
                old = before[parameter]
                if not flag:
                    parameter.grad = old
                elif old is not None:
                    parameter.grad = old if parameter.grad is None else old + parameter.grad

    def _others(self, name: str, stream: Stream, batch: Batch) -> Batch:
        """Return a batch of other items of the label that a batch has.

        Raises:
            ConfigError: the batch leaves too few.
        """
        labels, items = self._labels[name], batch.items.numpy()
        rest = np.setdiff1d(np.flatnonzero(labels == labels[items[0]]), items)
        if len(rest) < self.items:
            raise ConfigError(
                f"'{labels[items[0]]}' has {len(rest)} items beside those of a batch, fewer than the {self.items} to "
                "adapt to; take smaller batches, or leave out who has little."
            )
        chosen = rest[torch.randperm(len(rest))[: self.items].numpy()]
        return stream.data.collate(chosen.tolist()).to(batch.inputs.device)

    def _move(self, optimizer: torch.optim.Optimizer, moved: Mapping[str, nn.Parameter], step: int) -> None:
        set_learning_rate(optimizer, self.learning_rate * scale_at(step, self.course))
        if self.course.max_gradient_norm:
            nn.utils.clip_grad_norm_(list(moved.values()), self.course.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _learn_rates(self, moved: Mapping[str, nn.Parameter], start: Mapping[str, torch.Tensor]) -> None:
        """Add the gradient of the factors' logarithms: the way of each place times the loss's gradient at its end.

        To the first order, for the ways of later steps would be others as well.
        """
        assert self.logarithms is not None
        if self.logarithms.grad is None:
            self.logarithms.grad = torch.zeros_like(self.logarithms)
        rows = {place: row for row, place in enumerate(self._listed())}
        for name, parameter in moved.items():
            if parameter.grad is not None:
                way = parameter - start[name]
                self.logarithms.grad[rows[self.places[name]]] += (way * parameter.grad).sum().to(self.logarithms.dtype)


@contextmanager
def _statistics_held(model: nn.Module) -> Iterator[None]:
    """Let normalisation layers take their running statistics, and leave these as they are.

    What one label's items are like must not be seen by the next one's adaptation.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    modes = [layer.training for layer in layers]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.training = mode


def place_of(name: str, model: Model) -> str:
    """Return the block that a parameter of a model or of an adapter on it belongs to, or `heads` for all of these."""
    own = re.sub(rf"^{re.escape(PREFIX)}[^.]+\.", "", name)  # an adapter's parameter stands at its module's path
    inside = [block.path for block in model.blocks() if own.startswith(f"{block.path}.")]
    if inside:
        return inside[0]
    return HEADS if own.startswith(f"{HEADS}.") else ELSEWHERE
