"""Makes batches: what a model is fed, and in which order, as a pure function of the seed and the step.

Nothing here keeps state: the batch of step k is the same whether training ran from the start or was resumed at k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of some items.

    Attributes:
        items: (batch,) indices of the items in their data, for looking up what was computed once per item.
        inputs: (batch, time, ...) padded with zeros, or (batch, ...) for inputs without a time axis.
        targets: (batch, labels) padded with zeros, or (batch,) class indices.
        lengths: (batch,) valid time steps of the inputs; None for inputs without a time axis.
        target_lengths: (batch,) valid labels; None for class indices.
    """

    items: torch.Tensor
    inputs: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor | None = None
    target_lengths: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with every tensor but `items` on `device`."""
        if torch.device(device).type == "cpu":
            return self
        return replace(
            self,
            inputs=self.inputs.to(device),
            targets=self.targets.to(device),
            lengths=None if self.lengths is None else self.lengths.to(device),
            target_lengths=None if self.target_lengths is None else self.target_lengths.to(device),
        )


class Data(Protocol):
    """What a stream reads: items with a cost each, and a way to make a batch of some of them."""

    def costs(self) -> np.ndarray:
        """Return (items,) the cost of each item in a batch: its frames, or 1."""
        ...

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Make a batch of `items`; with a generator, randomly augmented."""
        ...


STRETCH = 4
"""Times its budget that a batch of few items may cost."""

Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
"""Changes (batch, ...) float inputs at random; the generator decides."""


class ArrayData:
    """Items without a time axis, such as images, held in memory.

    Args:
        inputs: (items, ...) float tensor; or uint8 of 0 to 255, which batches hold as floats from 0 to 1.
        targets: (items,) class indices, or (items, ...) what another criterion needs; None for items without labels,
            whose batches have the label -1, which no loss of classes takes.
        augment: Change of a batch in training; None for none.
    """

    def __init__(
        self, inputs: torch.Tensor, targets: torch.Tensor | None = None, augment: Augment | None = None
    ) -> None:
        self.inputs = inputs
        self.targets = torch.full((len(inputs),), -1) if targets is None else targets
        if len(self.targets) != len(inputs):
            raise ValueError(f"{len(inputs)} inputs have {len(self.targets)} targets; give one each.")
        self.augment = augment

    def costs(self) -> np.ndarray:
        """Return a cost of 1 for every item."""
        return np.ones(len(self.inputs), dtype=np.int64)

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Return the batch of `items`, changed at random where there is a generator and a way to."""
        index = torch.as_tensor(items)
        inputs = self.inputs[index]
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 255
        if augment is not None and self.augment is not None:
            inputs = self.augment(inputs, augment)
        return Batch(index, inputs, self.targets[index])


class LengthBuckets:
    """Shuffled batches of items of similar length within a budget of padded cost.

    Every epoch sees every item once. Items are sorted by cost with a little seeded jitter, cut into batches whose
    padded cost stays within `budget`, and the batches are shuffled.

    Args:
        costs: (items,) cost of each item.
        budget: greatest padded cost of a batch; an item above it makes a batch alone.
        seed: random seed of jitter and order.
        rank, world: this process's share under `torchrun`: each takes every world-th batch.
        labels: label of each item, such as its speaker, where a batch is to hold items of one; None mixes them.
        spare: number of items of a label that each of its batches leaves out at least, where it has so many.
    """

    JITTER = 0.02
    """Relative: enough to vary who shares a batch, little enough to keep padding under a few per cent."""

    def __init__(
        self,
        costs: np.ndarray,
        budget: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        labels: Sequence[str] | None = None,
        spare: int = 0,
    ) -> None:
        if len(costs) == 0:
            raise ValueError("there are no items to make batches of.")
        self._labels = None if labels is None else np.asarray(labels)
        self._costs, self._budget, self._seed = np.asarray(costs), budget, seed
        self._rank, self._world, self._spare = rank, world, spare
        self._epochs: list[list[np.ndarray]] = []
        self._ends: list[int] = []

    def batch(self, step: int) -> np.ndarray:
        """Return the items of this process's batch at `step` (0 is the first)."""
        position = step * self._world + self._rank
        while not self._ends or self._ends[-1] <= position:
            epoch = self._epoch(len(self._ends))
            self._ends.append((self._ends[-1] if self._ends else 0) + len(epoch))
            self._epochs.append(epoch)
            if len(self._epochs) > 2:
                self._epochs[-3] = []
        number = int(np.searchsorted(self._ends, position, side="right"))
        epoch = self._epochs[number] or self._epoch(number)
        return epoch[position - (self._ends[number - 1] if number else 0)]

    def _epoch(self, number: int) -> list[np.ndarray]:
        random = np.random.default_rng((self._seed, number))
        items = self._items(number)
        jitter = 1 + self.JITTER * random.standard_normal(len(items))
        order = items[np.lexsort((random.random(len(items)), self._costs[items] * jitter))]
        parts = [order]
        if self._labels is not None:
            own = self._labels[order]
            parts = [order[own == label] for label in np.unique(own)]
        batches = [
            batch
            for part in parts
            for batch in cut(part, self._costs, self._budget, most=max(1, len(part) - self._spare))
        ]
        return [batches[index] for index in random.permutation(len(batches))]

    def _items(self, number: int) -> np.ndarray:
        """Return the items of an epoch; a subclass may leave some out or repeat some."""
        return np.arange(len(self._costs))


def cut(order: np.ndarray, costs: np.ndarray, budget: int, least: int = 1, most: int | None = None) -> list[np.ndarray]:
    """Cut `order` into runs whose padded cost (items × dearest item) stays within `budget`.

    A run of fewer than `least` items may cost up to `STRETCH` times as much; none has more than `most`.
    """
    batches, first, dearest = [], 0, 0
    for position, item in enumerate(order):
        dearest_with, count = max(dearest, int(costs[item])), position - first
        allowed = budget if count >= least else STRETCH * budget
        if count and (dearest_with * (count + 1) > allowed or count == most):
            batches.append(order[first:position])
            first, dearest = position, int(costs[item])
        else:
            dearest = dearest_with
    batches.append(order[first:])
    return batches


def sequential(data: Data, budget: int, least: int = 1) -> Iterator[Batch]:
    """Yield every item once, shortest first, without augmentation, in batches as `cut` makes them."""
    costs = data.costs()
    if len(costs):
        for items in cut(np.argsort(costs, kind="stable"), costs, budget, least):
            yield data.collate(items.tolist())
