"""Scales hidden units one by one: learning hidden unit contributions (Swietojanski and Renals 2014)."""

from __future__ import annotations

import torch
from torch import nn

from asr_transfer.models.adapters.kind import Adapter, register
from asr_transfer.models.contract import Block, Model


@register("lhuc")
class Lhuc(Adapter):
    """Learning hidden unit contributions: h' = 2σ(r)⊙h (Swietojanski and Renals 2014), r = 0 at the start.

    It acts where the model says that its hidden units are (`Model.units`).
    """

    @staticmethod
    def places(model: Model) -> list[Block]:
        """See `Adapter.places`."""
        return model.units()

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        for unit in self.chosen(model):
            self.after(model, unit.path, _Scale(unit.dim, unit.axis))


class _Scale(nn.Module):
    """Factors 2σ(r) on the channels, which are an axis of hidden vectors."""

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.r = nn.Parameter(torch.empty(channels, dtype=torch.float64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.r)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        behind = (1,) * (-1 - self.axis if self.axis < 0 else hidden.dim() - 1 - self.axis)
        return hidden * (2 * torch.sigmoid(self.r)).view(-1, *behind)
