"""Shifts every layer by what one vector says of the speaker (Abdel-Hamid and Jiang 2013)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import nn

from asr_transfer.models.adapters.kind import Adapter, channels_last, register
from asr_transfer.models.contract import Block, Model


@register("speaker-code")
class SpeakerCode(Adapter):
    """A speaker code s and a matrix per layer: h + B_l s (Abdel-Hamid and Jiang 2013); B_l = 0, s random.

    The authors train the matrices on many speakers, each with a code of his own, and learn only the new speaker's
    code. Without a source model trained so, both are learnt from the new speaker alone, and this amounts to adapting
    biases of all layers that share a low rank.
    """

    measure: ClassVar[str] = "length"

    @staticmethod
    def places(model: Model) -> list[Block]:
        """See `Adapter.places`."""
        return model.layers()

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        self.code = nn.Parameter(torch.empty(self.size, dtype=torch.float64))
        self.reset_parameters(generator)
        for block in self.chosen(model):
            spread = _Spread(block.dim, self.size)
            self.after(model, block.path, spread, channels_last(partial(self.shift, spread), block.axis))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw a new code."""
        nn.init.normal_(self.code, generator=generator)

    def shift(self, spread: _Spread, hidden: torch.Tensor) -> torch.Tensor:
        """Return (batch, time, dim) `hidden` with the layer's bias added."""
        return hidden + (spread.weight * self.code).sum(1)  # a product of matrices would round in mixed precision


class _Spread(nn.Module):
    """The matrix that spreads a speaker code over a layer's channels."""

    def __init__(self, dim: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, size, dtype=torch.float64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
