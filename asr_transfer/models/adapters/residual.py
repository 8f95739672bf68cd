"""Puts a bottleneck behind every layer (Rebuffi et al. 2017; Houlsby et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from asr_transfer.models.adapters.kind import Adapter, channels_last, register
from asr_transfer.models.contract import Block, Model


@register("residual-adapter")
class ResidualAdapter(Adapter):
    """A bottleneck behind every layer: h + U ReLU(D h) (Rebuffi et al. 2017; Houlsby et al. 2019).

    U = 0 at the start; there are no biases.
    """

    measure: ClassVar[str] = "bottleneck"

    @staticmethod
    def places(model: Model) -> list[Block]:
        """See `Adapter.places`."""
        return model.layers()

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        for block in self.chosen(model):
            bottleneck = _Bottleneck(block.dim, self.size, generator)
            self.after(model, block.path, bottleneck, channels_last(bottleneck, block.axis))


class _Bottleneck(nn.Module):
    """h + U ReLU(D h)."""

    def __init__(self, dim: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(size, dim, dtype=torch.float64))
        self.up = nn.Parameter(torch.empty(dim, size, dtype=torch.float64))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.down, std=self.down.shape[1] ** -0.5, generator=generator)
        nn.init.zeros_(self.up)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(nn.functional.linear(hidden, self.down))
        return hidden + nn.functional.linear(inner, self.up)
