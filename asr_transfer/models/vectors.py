"""Builds models of vectors that were computed beforehand, such as a frozen network's: layers of units, and heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn

from asr_transfer.models.contract import Block, Model, register
from asr_transfer.plain import as_values, checked
from asr_transfer.ranges import Range, Ranged

Units = Annotated[int, Range(at_least=1, at_most=65536)]


@dataclass(frozen=True)
class VectorConfig(Ranged, section="model"):
    """A network for vectors.

    Attributes:
        inputs: numbers of a vector.
        dense: units of the layers; without any the heads stand on the vectors themselves.
    """

    inputs: Units
    dense: tuple[Units, ...] = ()


class UnitLayer(nn.Module):
    """Linear layer and ReLU.

    Args:
        before: numbers of the input.
        after: units.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)

    def forward(self, inputs: torch.Tensor, lengths: None = None) -> torch.Tensor:
        """Map (batch, before) to (batch, after)."""
        return torch.relu(self.linear(inputs))


class AsItIs(nn.Module):
    """No layer: the vectors themselves."""

    def forward(self, inputs: torch.Tensor, lengths: None = None) -> torch.Tensor:
        """Return (batch, inputs) as they are."""
        return inputs


class VectorEncoder(nn.Module):
    """The layers; the output is the vector that heads are fed."""

    def __init__(self, config: VectorConfig) -> None:
        super().__init__()
        widths = zip((config.inputs, *config.dense), config.dense, strict=False)
        self.layers = nn.ModuleList([UnitLayer(before, after) for before, after in widths] or [AsItIs()])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (batch, inputs) to (batch, dim)."""
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs


@register("vectors")
class VectorModel(Model):
    """Layers over vectors, and named linear heads.

    Args:
        config: sizes.
        heads: number of outputs of each head, by name.
    """

    sequential: ClassVar[bool] = True

    def __init__(self, config: VectorConfig, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        self.encoder = VectorEncoder(config)
        self.make_heads((config.inputs, *config.dense)[-1], heads)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, None]:
        """Map (batch, inputs) to hidden (batch, dim); lengths stay None."""
        return self.encoder(inputs), None

    def blocks(self) -> list[Block]:
        """See `Model.blocks`; there is no front end."""
        sizes = self.config.dense or (self.config.inputs,)
        return [Block(f"encoder.layers.{number}", units) for number, units in enumerate(sizes)]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {"model": as_values(self.config)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> VectorModel:
        """See `Model.from_plain`."""
        return cls(checked(VectorConfig, plain.get("model"), where, "model"), heads)
