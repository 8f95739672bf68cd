"""Builds a small convolutional classifier: the image side's counterpart of the acoustic model, under the same
contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from asr_transfer.models.contract import Block, Model, register
from asr_transfer.plain import checked


@register("image")
class ImageModel(Model):
    """Convolutional encoder with a named linear head per set of classes.

    Args:
        channels: output channels of each encoder layer; layers after the first halve the resolution.
        heads: number of classes of each head, by name.
        inputs: channels of the images.
    """

    def __init__(self, channels: tuple[int, ...], heads: Mapping[str, int], inputs: int = 1) -> None:
        super().__init__()
        self.channels, self.inputs = channels, inputs
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride=1 if index == 0 else 2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            )
            for index, (before, after) in enumerate(zip((inputs, *channels), channels, strict=False))
        )
        self.make_heads(channels[-1], heads)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, None]:
        """Map (batch, channels, height, width) to hidden (batch, dim); lengths stay None."""
        for layer in self.encoder.layers:  # type: ignore[union-attr]
            inputs = layer(inputs)
        return inputs.mean((2, 3)), None

    def blocks(self) -> list[Block]:
        """See `Model.blocks`; the first convolution is the front end."""
        return [
            Block(f"encoder.layers.{number}", channels, "layer" if number else "front-end", axis=1)
            for number, channels in enumerate(self.channels)
        ]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {"channels": list(self.channels), "inputs": self.inputs}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> ImageModel:
        """See `Model.from_plain`."""
        channels: list[int] = checked(list[int], plain.get("channels"), where, "channels")
        return cls(tuple(channels), heads, checked(int, plain.get("inputs"), where, "inputs"))


def image_network(channels: tuple[int, ...], heads: Mapping[str, int]) -> Model:
    """Make a small network for grey images, with initial weights.

    Args:
        channels: output channels of each encoder layer.
        heads: number of classes of each head, by name.
    """
    return ImageModel(channels, heads)
