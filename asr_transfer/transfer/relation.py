"""Learns how alike a query and a class are, as relation networks do (Sung et al., "Learning to compare", 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from asr_transfer.data.episodes import EpisodeShape
from asr_transfer.training.few_shot import divided
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output, Stream


class Relation(TrainedObjective):
    """Squared error of a small network that says, from 0 to 1, whether a query is of a class.

    The network is fed a query's vector beside the sum of the class's examples' vectors, and works on vectors in place
    of the paper's maps. The model is trained through it.

    Args:
        stream: Name of a stream of episodes whose head gives the vectors.
        shape: Sizes of its episodes.
        dim: Size of the vectors.
        hidden: Units of the network's hidden layer.
    """

    def __init__(self, stream: str, shape: EpisodeShape, dim: int, hidden: int = 64) -> None:
        super().__init__()
        self.streams: Sequence[str] = (stream,)
        self._stream, self._shape = stream, shape
        self.network = nn.Sequential(nn.Linear(2 * dim, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """See `Objective.setup`: nothing is to be prepared."""

    def score(self, examples: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        """Return (episodes, queries, ways) how alike each query and each class are, from 0 to 1; see `Scorer`."""
        classes = examples.sum(2)[:, None].expand(-1, queries.shape[1], -1, -1)
        each = queries[:, :, None].expand(-1, -1, classes.shape[2], -1)
        related: torch.Tensor = self.network(torch.cat([classes, each], -1)).squeeze(-1)
        return related

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the mean over queries of the squared errors, summed over classes."""
        output = outputs[self._stream]
        found = self.score(*divided(output.require_logits(), self._shape))
        wanted = functional.one_hot(output.batch.targets, self._shape.ways).to(found.dtype)
        return (found - wanted).square().sum(-1).mean()
