"""Defines streams and tasks: what a trainer reads, and what the model makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from asr_transfer.data.batching import Batch, Data, LengthBuckets
from asr_transfer.data.mixture import MixedBuckets, temperature_shares
from asr_transfer.errors import ConfigError


@dataclass(frozen=True)
class Output:
    """What the model made of a batch.

    Attributes:
        logits: (batch, frames, tokens) or (batch, classes) float; None for a stream without a head.
        lengths: (batch,) valid frames of the logits; None without a time axis.
        taps: outputs of the modules that an objective asked for, by dotted path.
        batch: batch that went in.
    """

    logits: torch.Tensor | None
    lengths: torch.Tensor | None
    taps: Mapping[str, torch.Tensor]
    batch: Batch

    def valid(self) -> torch.Tensor:
        """Return booleans, True at output positions that are not padding: (batch, frames) or (batch,)."""
        logits = self.require_logits()
        if self.lengths is None:
            return torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        return torch.arange(logits.shape[1], device=logits.device) < self.lengths[:, None]

    def count(self) -> torch.Tensor:
        """Return the number of output positions, the unit in which every loss is stated."""
        return self.valid().sum()

    def require_logits(self) -> torch.Tensor:
        """Return the logits of a stream with a head."""
        if self.logits is None:
            raise ValueError("this stream has no head and therefore no logits; give it a `head`.")
        return self.logits

    def vectors(self, tap: str, level: str) -> torch.Tensor:
        """Return a tap's vectors without padding.

        Args:
            tap: dotted path of a module that the objective declared.
            level: `frames` for (all valid frames, dim), `utterance` for the (batch, dim) means over valid frames.
        """
        if level not in ("frames", "utterance"):
            raise ValueError(
                f"The 'level' parameter of vectors must be 'frames' or 'utterance', got '{level}' instead."
            )
        value = self.taps[tap]
        if self.lengths is None:
            return value.flatten(1)
        if value.shape[1] != int(self.lengths.max()):
            raise ValueError(f"tap '{tap}' has {value.shape[1]} frames; only taps after the subsampling are supported.")
        keep = torch.arange(value.shape[1], device=value.device) < self.lengths[:, None]
        if level == "frames":
            return value[keep]
        # Not a product: padding may hold anything, and zero times NaN is NaN.
        return value.masked_fill(~keep[:, :, None], 0).sum(1) / self.lengths[:, None]


Criterion = Callable[[Output], tuple[torch.Tensor, torch.Tensor]]
"""Returns (summed loss, number of output positions); the trainer divides once."""


class Metric(Protocol):
    """Collects outputs of a validation and sums them up."""

    def update(self, output: Output) -> None:
        """Take in a batch."""
        ...

    def summary(self) -> dict[str, float]:
        """Return named figures, smaller is better; the names are the same before the first update."""
        ...


@dataclass(frozen=True)
class Stream:
    """Unlabelled data under a name.

    Attributes:
        name: name by which objectives know it.
        data: data set to read.
        budget: padded cost of a batch; None takes the trainer's.
        augment: whether batches are randomly augmented.
        together: label of each item, such as its speaker: a batch then holds items of one label; None mixes all items.
        spare: number of items of a label that each of its batches leaves out at least, for what needs others of it.
        domain: domain whose statistics BatchNorm takes and keeps, apart from those of other domains, while scales and
            shifts are shared; None for the model's own statistics. Streams of different domains run in passes of their
            own. The trainer makes the statistics; see `models.domains`.
        joint: whether batches may share a pass with those of other streams of the same domain; False keeps them out of
            the others' statistics in training.
        head: name of the model's head that gives logits, for objectives to read; None for none.
    """

    name: str
    data: Data
    budget: int | None = field(default=None, kw_only=True)
    augment: bool = field(default=True, kw_only=True)
    together: Sequence[str] | None = field(default=None, kw_only=True)
    spare: int = field(default=0, kw_only=True)
    domain: str | None = field(default=None, kw_only=True)
    joint: bool = field(default=True, kw_only=True)
    head: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Task(Stream):
    """Labelled data under a name, with its loss.

    Attributes:
        criterion: the loss of an output.
        head: name of the model's head.
        weight: weight of this task's mean loss in the total; 0 runs the stream for objectives only.
        metric: function that makes a fresh metric for each validation.
    """

    criterion: Criterion
    head: str = field(kw_only=True)
    weight: float = 1.0
    metric: Callable[[], Metric] | None = None


@dataclass(frozen=True)
class Mixture:
    """Several tasks, such as one per language, that share batches; each item goes through its own task's head.

    A batch holds items of similar length of any of the tasks, and of some tasks none: then nothing of that task's head
    is trained in the step. The loss is the sum of the tasks' losses over the sum of their output positions, so that
    every frame counts the same and a mixture of one task is that task. For objectives, each task is a stream of its
    own name, absent from the outputs of a batch that has no item of it. In a validation, the tasks' figures are
    averaged, each task counting the same.

    Attributes:
        name: name of the whole.
        tasks: each task's weight multiplies its loss.
        alpha: tasks are sampled in proportion to their speech to this power: 1 takes the speech as it is, 0 as much of
            every task.
        shares: share of each task in the frames, by its name, instead of `alpha`; normalised to add up to 1.
        weight: weight of the mixture's mean loss in the total.
        budget: padded cost of a batch; None takes the trainer's.
        apart: whether a batch holds items of one task alone.
    """

    name: str
    tasks: tuple[Task, ...]
    alpha: float = field(default=0.5, kw_only=True)
    shares: Mapping[str, float] | None = field(default=None, kw_only=True)
    weight: float = field(default=1.0, kw_only=True)
    budget: int | None = field(default=None, kw_only=True)
    apart: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ConfigError(f"the mixture '{self.name}' has no tasks; give at least one.")
        if any(task.together is not None for task in self.tasks):
            raise ConfigError(f"the mixture '{self.name}' mixes tasks in a batch, so none of them can be `together`.")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"the mixture '{self.name}' needs an `alpha` from 0 to 1, got {self.alpha}.")
        if self.shares is not None:
            names = [task.name for task in self.tasks]
            if sorted(self.shares) != sorted(names):
                raise ConfigError(
                    f"the mixture '{self.name}' has the tasks {', '.join(sorted(names))} but shares for "
                    f"{', '.join(sorted(self.shares))}; give each task its share."
                )
            if not all(0 < share < float("inf") for share in self.shares.values()):
                raise ConfigError(f"the shares of the mixture '{self.name}' must be numbers above 0.")

    def sampling(self) -> dict[str, float]:
        """Return the share of each task in the frames that are sampled, by name."""
        names = [task.name for task in self.tasks]
        if self.shares is not None:
            total = sum(self.shares.values())
            return {name: self.shares[name] / total for name in names}
        amounts = [float(task.data.costs().sum()) for task in self.tasks]
        return dict(zip(names, temperature_shares(amounts, self.alpha), strict=True))


def members(group: Stream | Mixture) -> tuple[Stream, ...]:
    """Return the streams of a mixture, or the stream itself."""
    return group.tasks if isinstance(group, Mixture) else (group,)


def make_buckets(group: Stream | Mixture, budget: int, seed: int, rank: int = 0, world: int = 1) -> LengthBuckets:
    """Return what orders the items of a stream, or of all tasks of a mixture numbered through, into batches."""
    if isinstance(group, Mixture):
        costs = [task.data.costs() for task in group.tasks]
        names = [task.name for task, own in zip(group.tasks, costs, strict=True) for _ in own] if group.apart else None
        return MixedBuckets(costs, list(group.sampling().values()), group.budget or budget, seed, rank, world, names)
    return LengthBuckets(group.data.costs(), group.budget or budget, seed, rank, world, group.together, group.spare)


def deal(group: Stream | Mixture, items: np.ndarray) -> Iterator[tuple[Stream, list[int]]]:
    """Yield each stream that has some of `items`, with its own items in their order."""
    first = 0
    for stream in members(group):
        size = len(stream.data.costs())
        own = items[(items >= first) & (items < first + size)] - first
        if len(own):
            yield stream, own.tolist()
        first += size


def mean_loss(group: Stream | Mixture, outputs: Mapping[str, Output]) -> torch.Tensor | None:
    """Return the weighted mean loss per output position of a task or mixture, or None where there is nothing to sum."""
    loss, count = None, None
    for stream in members(group):
        if isinstance(stream, Task) and stream.weight and stream.name in outputs:
            own, positions = stream.criterion(outputs[stream.name])
            loss = stream.weight * own if loss is None else loss + stream.weight * own
            count = positions if count is None else count + positions
    if loss is None or count is None:
        return None
    return (group.weight * loss if isinstance(group, Mixture) else loss) / count
