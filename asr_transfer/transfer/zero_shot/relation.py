"""Learns how well an item and a class vector go together, by a small network over both: the relation network.

Its zero-shot form: the class is told by its vector, not by examples (Sung et al., "Learning to compare: relation
network for few-shot learning", 2018).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import one_hot

from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output
from asr_transfer.transfer.zero_shot.embedding import headed


class ClassRelation(TrainedObjective):
    """Squared error of the relation r(x, v) to 1 where the vector is that of the item's class, to 0 elsewhere.

    r is a sigmoid over a layer over the item's features and the mapped class vector side by side. The layer's part for
    the features is a head of the model, which has `units` outputs; its part for the class vectors is here.

    Args:
        stream: name of the stream, whose labels are rows of the class vectors.
        head: name of the head.
        tap: dotted path of the module that the head stands on.
        class_vectors: (classes, size) vectors of the seen classes.
        units: units of the layer, which are the head's outputs.
        hidden: units of the layer that maps class vectors.
        pace: factor on the learning rate of what is kept here.
        seed: random seed of the initial weights.
    """

    def __init__(
        self,
        stream: str,
        head: str,
        tap: str,
        class_vectors: torch.Tensor,
        units: int = 64,
        hidden: int = 64,
        pace: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.streams, self.taps, self.head, self.pace = (stream,), (tap,), head, pace
        self.vectors: torch.Tensor
        self.register_buffer("vectors", class_vectors)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.side = nn.Sequential(nn.Linear(class_vectors.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, units))
            self.relation = nn.Linear(units, 1)
        self.to(class_vectors.dtype)

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the error of an item, summed over the classes."""
        output = outputs[self.streams[0]]
        found = self._relations(headed(model, self.head, output, self.taps[0]), self.vectors).sigmoid()
        wanted = one_hot(output.batch.targets, len(self.vectors)).to(found)
        return (found - wanted).square().sum(1).mean()

    @torch.no_grad()
    def scores(self, embedded: torch.Tensor, class_vectors: torch.Tensor) -> torch.Tensor:
        """Return (items, classes) log odds of the relation; `embedded` are the head's (items, units) outputs."""
        return self._relations(embedded, class_vectors.to(self.vectors))

    def _relations(self, embedded: torch.Tensor, class_vectors: torch.Tensor) -> torch.Tensor:
        layer = torch.relu(embedded[:, None].to(class_vectors) + self.side(class_vectors))
        found: torch.Tensor = self.relation(layer).squeeze(-1)
        return found
