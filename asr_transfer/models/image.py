"""Builds small convolutional classifiers, the counterpart of the acoustic model for images, under the same contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.config import ImageConfig
from asr_transfer.errors import ConfigError
from asr_transfer.models.contract import Block, Model, register
from asr_transfer.plain import as_values, checked


class ConvolutionLayer(nn.Module):
    """Convolution, BatchNorm where it is asked for, ReLU, and pooling where it halves the resolution so.

    Args:
        before: channels of the input.
        after: channels of the output.
        config: kernel, normalisation and way of halving.
        halves: whether it halves the resolution.
    """

    def __init__(self, before: int, after: int, config: ImageConfig, halves: bool) -> None:
        super().__init__()
        stride = 2 if halves and config.halving == "stride" else 1
        padding = config.kernel // 2 if config.padding else 0
        self.conv = nn.Conv2d(before, after, config.kernel, stride, padding, bias=not config.norm)
        self.norm = nn.BatchNorm2d(after) if config.norm else None
        self.pools = halves and config.halving == "pool"

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Map (batch, before, height, width) to (batch, after, ...); there are no lengths."""
        hidden = self.conv(inputs)
        hidden = torch.relu(hidden if self.norm is None else self.norm(hidden))
        return nn.functional.max_pool2d(hidden, 2) if self.pools else hidden


class Dense(nn.Module):
    """Linear layer over a map with its positions, BatchNorm where it is asked for, and ReLU.

    Args:
        inputs: numbers in the map of an image.
        outputs: units.
        norm: whether there is a BatchNorm.
    """

    def __init__(self, inputs: int, outputs: int, norm: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=not norm)
        self.norm = nn.BatchNorm1d(outputs) if norm else None

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Map (batch, channels, height, width) or (batch, units) to (batch, outputs)."""
        hidden = self.linear(inputs.flatten(1))
        return torch.relu(hidden if self.norm is None else self.norm(hidden))


class ImageEncoder(nn.Module):
    """The layers of an image model; the output is the vector that heads are fed."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        widths = zip((config.inputs, *config.channels), config.channels, strict=False)
        self.layers = nn.ModuleList(
            ConvolutionLayer(before, after, config, config.halves_at(number))
            for number, (before, after) in enumerate(widths)
        )
        sizes = (config.channels[-1] * config.side() ** 2, *config.dense)
        self.dense = nn.ModuleList(
            Dense(before, after, config.norm) for before, after in zip(sizes, config.dense, strict=False)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, height, width) to (batch, dim)."""
        for layer in (*self.layers, *self.dense):
            inputs = layer(inputs)
        return pooled(inputs)


def pooled(hidden: torch.Tensor) -> torch.Tensor:
    """Return the (batch, dim) means of maps over their positions, or vectors as they are."""
    return hidden.mean((2, 3)) if hidden.dim() == 4 else hidden


@register("image")
class ImageModel(Model):
    """Convolutional encoder, dense layers where there are any, and a named linear head per set of classes.

    Args:
        config: architecture.
        heads: number of classes of each head, by name.
    """

    sequential: ClassVar[bool] = True

    def __init__(self, config: ImageConfig, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.make_heads((config.dense or config.channels)[-1], heads)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, None]:
        """Map (batch, channels, height, width) to hidden (batch, dim); lengths stay None.

        Raises:
            ConfigError: the images have other channels, or another size than the dense layers were made for.
        """
        channels, height, width = inputs.shape[1:]
        if channels != self.config.inputs:
            raise ConfigError(
                f"the images have {channels} channels but the model takes {self.config.inputs}; set `model.inputs`."
            )
        if self.config.dense and (height, width) != (self.config.size, self.config.size):
            raise ConfigError(
                f"the images have {height} × {width} pixels but the model's dense layers were made for "
                f"{self.config.size} × {self.config.size}; set `model.size`."
            )
        return self.encoder(inputs), None

    def run(self, first: int, last: int, hidden: torch.Tensor, lengths: Any = None) -> tuple[torch.Tensor, Any]:
        """See `Model.run`; behind the last block, a map is averaged over its positions."""
        hidden, _ = super().run(first, last, hidden, lengths)
        return (pooled(hidden) if last >= len(self.blocks()) else hidden), None

    def blocks(self) -> list[Block]:
        """See `Model.blocks`; the first convolution is the front end."""
        maps = [
            Block(f"encoder.layers.{number}", channels, "layer" if number else "front-end", axis=1)
            for number, channels in enumerate(self.config.channels)
        ]
        return maps + [Block(f"encoder.dense.{number}", units) for number, units in enumerate(self.config.dense)]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {"model": as_values(self.config)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> ImageModel:
        """See `Model.from_plain`."""
        return cls(checked(ImageConfig, plain.get("model"), where, "model"), heads)


def image_network(config: ImageConfig, heads: Mapping[str, int]) -> Model:
    """Make a network for images, with initial weights.

    Args:
        config: architecture.
        heads: number of classes of each head, by name.
    """
    return ImageModel(config, heads)
