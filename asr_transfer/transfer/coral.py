"""Brings the covariances of two domains' features together (Deep CORAL; Sun and Saenko 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output
from asr_transfer.transfer.discriminator import two_streams, vectors_of


class CovarianceAlignment(TrainedObjective):
    """Squared distance of the two streams' covariances in a batch, over 4 dim². It does not see their means.

    Args:
        tap: dotted path of the module whose output is made alike.
        streams: names of the source and of the target.
        level: whether a vector is a frame, or the mean over an `utterance`.

    Raises:
        ConfigError: there are not two different streams.
    """

    def __init__(self, tap: str, streams: Sequence[str], level: str = "utterance") -> None:
        super().__init__()
        self.streams, self.taps = two_streams("CovarianceAlignment", streams), (tap,)
        self.tap, self.level = tap, level

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the distance."""
        source, target = vectors_of(outputs, self.streams, self.tap, self.level)
        value = (covariance(source) - covariance(target)).square().sum() / (4 * source.shape[1] ** 2)
        self.note(f"{self.tap}.covariance_distance", value)
        return value


def covariance(vectors: torch.Tensor) -> torch.Tensor:
    """Return the (dim, dim) unbiased covariance of two or more (vectors, dim); 0 of a single one."""
    centred = vectors - vectors.mean(0)
    return centred.T @ centred / max(1, len(vectors) - 1)
