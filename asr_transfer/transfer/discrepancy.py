"""Brings the features of two domains together by their maximum mean discrepancy (DAN; Long et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output
from asr_transfer.transfer.discriminator import two_streams, vectors_of

Kernel = Literal["gaussian", "linear"]

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Widths of the Gaussian kernels, as parts of the mean squared distance: no one width sees near and far vectors."""


class MeanDiscrepancy(TrainedObjective):
    """Squared maximum mean discrepancy between the vectors of two streams in a batch (Gretton et al. 2012).

    It is the distance of the means of what a kernel maps the vectors to: 0 for identical batches. The linear kernel
    gives the squared distance of the means; the sum of Gaussians sees all moments.

    Args:
        tap: dotted path of the module whose output is made alike.
        streams: names of the source and of the target.
        level: whether a vector is a frame, or the mean over an `utterance`.
        kernel: `gaussian` or `linear`.

    Raises:
        ConfigError: there are not two different streams, or the kernel is another.
    """

    def __init__(self, tap: str, streams: Sequence[str], level: str = "utterance", kernel: Kernel = "gaussian") -> None:
        super().__init__()
        if kernel not in ("gaussian", "linear"):
            raise ConfigError(
                f"The 'kernel' parameter of MeanDiscrepancy must be 'gaussian' or 'linear', got '{kernel}'."
            )
        self.streams, self.taps = two_streams("MeanDiscrepancy", streams), (tap,)
        self.tap, self.level, self.kernel = tap, level, kernel

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the squared discrepancy."""
        source, target = vectors_of(outputs, self.streams, self.tap, self.level)
        value = linear_discrepancy(source, target) if self.kernel == "linear" else discrepancy(source, target)
        self.note(f"{self.tap}.discrepancy", value)
        return value


def linear_discrepancy(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the squared distance of the means of two sets of (vectors, dim)."""
    return (source.mean(0) - target.mean(0)).square().sum()


def discrepancy(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the squared discrepancy of two sets of (vectors, dim) under a sum of Gaussian kernels.

    It is the biased estimate, which is never below 0. The kernels' widths follow the mean squared distance between all
    vectors, through which no gradient goes.
    """
    joint = torch.cat([source, target])
    distances = _squared_distances(joint)
    count = len(joint)
    scale = distances.detach().sum() / max(1, count * (count - 1))
    kernel = sum((torch.exp(-distances / (2 * width * scale).clamp_min(1e-12)) for width in WIDTHS), torch.zeros(()))
    first = len(source)
    within = kernel[:first, :first].mean() + kernel[first:, first:].mean()
    return within - 2 * kernel[:first, first:].mean()


def _squared_distances(vectors: torch.Tensor) -> torch.Tensor:
    norms = vectors.square().sum(1)
    return (norms[:, None] + norms[None] - 2 * vectors @ vectors.T).clamp_min(0)
