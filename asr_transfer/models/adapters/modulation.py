"""Holds networks by which a summary of a speaker's speech scales and shifts a model's layers, trained with the model.

Feature-wise linear modulation (FiLM; Perez et al. 2018), by a speaker's statistics as in sequence summaries (Vesely et
al. 2016): mean and deviation, over time, of what the front end makes of his speech. No transcript is needed. They are a
part of the model that acts only through an adapter `film`, which holds the summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from asr_transfer.errors import ConfigError, class_of
from asr_transfer.models.adapters.kind import KINDS, SEED
from asr_transfer.models.adapters.speaker_parts import SpeakerPart, adds, give, part_of
from asr_transfer.models.contract import Model

FARTHEST = 3.0
"""Deviations of the training speakers from their middle, beyond which a voice counts as no farther."""

NARROWEST = 1e-3
"""Least deviation of the training speakers: a channel in which they do not differ tells nothing."""


class Modulation(SpeakerPart):
    """A projection of a speaker's statistics to a summary, and for each layer a matrix of scales and one of shifts.

    Args:
        dims: channels of each layer by its path.
        channels: channels of what is listened to, whose means and deviations over time are the statistics.
        size: numbers in a summary.

    Attributes:
        middle, spread: (2 · channels,) mean and deviation of the training speakers' statistics.
    """

    part: ClassVar[str] = "modulation"
    endings: ClassVar[tuple[str, ...]] = ("-scale", "-shift")
    middle: torch.Tensor
    spread: torch.Tensor

    def __init__(self, dims: Mapping[str, int], channels: int, size: int) -> None:
        super().__init__(dims, size)
        self.channels = channels
        random = torch.Generator().manual_seed(SEED)
        drawn = torch.randn(size, 2 * channels, generator=random, dtype=torch.float64) / (2 * channels) ** 0.5
        self.projection = nn.Parameter(drawn.float(), requires_grad=False)
        self.register_buffer("middle", torch.zeros(2 * channels))
        self.register_buffer("spread", torch.ones(2 * channels))

    def summary(self, statistics: torch.Tensor) -> torch.Tensor:
        """Map (..., 2 · channels) statistics to (..., size) summaries; those of the training speakers' middle are 0."""
        lies = (statistics.to(self.middle.device) - self.middle) / self.spread.clamp(min=NARROWEST)
        return nn.functional.linear(lies.clamp(-FARTHEST, FARTHEST).to(self.projection.dtype), self.projection)

    def settle(self, statistics: torch.Tensor) -> None:
        """Take the middle and the spread from (speakers, 2 · channels) statistics of the training speakers."""
        self.middle.copy_(statistics.mean(0))
        self.spread.copy_(statistics.std(0, correction=0))


def sums_of(hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return (batch, 1 + 2 · channels) sums over the valid frames: their number, the values, and their squares.

    Sums of several utterances add up to those of all of them.

    Args:
        hidden: (batch, frames, channels) vectors.
        lengths: (batch,) valid frames.
    """
    valid = (torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None].to(hidden.device))[:, :, None]
    kept = hidden.double() * valid
    return torch.cat([lengths[:, None].to(kept), kept.sum(1), kept.square().sum(1)], dim=1)


def statistics_of(sums: torch.Tensor) -> torch.Tensor:
    """Return the (..., 2 · channels) means and deviations that (..., 1 + 2 · channels) sums stand for."""
    count, (values, squares) = sums[..., :1].clamp(min=1), sums[..., 1:].chunk(2, dim=-1)
    mean = values / count
    return torch.cat([mean, (squares / count - mean.square()).clamp(min=0).sqrt()], dim=-1)


@adds(Modulation)
def add_modulation(model: Model, size: int) -> Modulation:
    """Give a model what modulates it by summaries of a length, all without effect, and return it.

    Raises:
        ConfigError: the model's front end is not trained here, or there is none whose statistics could be taken.
    """
    if model.published() or not model.front_end() or not model.sequential:
        raise ConfigError(
            f"`film` goes by statistics of a front end that is trained with it, which {class_of(model)} does not "
            "have; take `lhuc` or `speaker-code`."
        )
    dims = {place.path: place.dim for place in KINDS["film"].places(model)}
    return give(model, Modulation(dims, model.front_end()[-1].dim, size))


def modulation_of(model: nn.Module) -> Modulation | None:
    """Return what was trained with a model to modulate it; None where there is nothing."""
    return part_of(model, Modulation)


@torch.no_grad()
def heard_sums(model: Model, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the (batch, 1 + 2 · channels) sums of what a model's front end makes of (batch, time, dim) inputs."""
    device = next(model.parameters()).device
    return sums_of(*model.run(0, len(model.front_end()), inputs.to(device), lengths.to(device)))
