"""Builds EfficientNet-Lite, and opens the fetched one, which was trained on ImageNet.

EfficientNet (Tan & Le, EfficientNet: rethinking model scaling for convolutional neural networks, 2019) without squeeze
and excitation, with ReLU6, and with a stem and a top of fixed width: the form for small devices. Its dropout and
stochastic depth are left out: they serve training from nothing, not what is built on the features here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.functional import pad

from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.fetched import fetched_images
from asr_transfer.models.contract import Block, Model, register
from asr_transfer.models.pretrained.weights import fill, read_file
from asr_transfer.plain import as_values, checked
from asr_transfer.ranges import Count, Ranged

FETCHED = "efficientnet-lite0"
"""Name that `asr-transfer fetch` knows the trained network by."""

IMAGENET = "imagenet"
"""Name of the trained network's head, with ImageNet's 1,000 classes."""

_EPSILON, _MOMENTUM = 1e-3, 0.01
"""Of the BatchNorms, as the network was trained."""


@dataclass(frozen=True)
class Stage:
    """Layers of one width, of which the first may make the map smaller.

    Attributes:
        expand: Factor by which a layer widens its input inside.
        channels: Channels of the outputs.
        repeats: Number of layers.
        kernel: Width of the convolutions, odd.
        stride: Factor by which the first layer makes height and width smaller.
    """

    expand: int
    channels: int
    repeats: int
    kernel: int
    stride: int


LITE0 = (
    *(Stage(1, 16, 1, 3, 1), Stage(6, 24, 2, 3, 2), Stage(6, 40, 2, 5, 2), Stage(6, 80, 3, 3, 2)),
    *(Stage(6, 112, 3, 5, 1), Stage(6, 192, 4, 5, 2), Stage(6, 320, 1, 3, 1)),
)
"""The stages of EfficientNet-Lite0, for images of 224 pixels."""


@dataclass(frozen=True)
class EfficientNetConfig(Ranged, section="model"):
    """Sizes of a network.

    Attributes:
        stem: Channels of the first convolution.
        stages: Stages, in the order of running.
        top: Channels of the last convolution, which are the features.

    Raises:
        ConfigError: A size is not positive, or a kernel is even.
    """

    stem: Count = 32
    stages: tuple[Stage, ...] = LITE0
    top: Count = 1280

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = [self.stem, self.top, *(number for stage in self.stages for number in vars(stage).values())]
        even = [stage for stage in self.stages if stage.kernel % 2 == 0]
        if not self.stages or even or min(sizes) < 1 or max(sizes) > 65536:
            raise ConfigError("`model` must have stages whose sizes are positive and whose kernels are odd.")


class Convolution(nn.Module):
    """Convolution without bias, and BatchNorm; the map is padded as TensorFlow does (`SAME`).

    Args:
        before: Channels of the input.
        after: Channels of the output.
        kernel: Width of the convolution.
        stride: Factor by which height and width become smaller.
        groups: Groups of channels that do not hear each other.
    """

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, _EPSILON, _MOMENTUM)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (batch, before, height, width) to (batch, after, height / stride, width / stride), rounded up."""
        if self.kernel > 1:
            sides: list[int] = []
            for length in (inputs.shape[3], inputs.shape[2]):
                missing = max((-(-length // self.stride) - 1) * self.stride + self.kernel - length, 0)
                sides += [missing // 2, missing - missing // 2]
            inputs = pad(inputs, sides)
        output: torch.Tensor = self.norm(self.conv(inputs))
        return output


class Stem(nn.Module):
    """The first convolution, which halves height and width; brightness is centred here as the network was trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(3, channels, 3, 2)

    def forward(self, inputs: torch.Tensor, lengths: None = None) -> torch.Tensor:
        """Map (batch, 3, height, width) of brightness from 0 to 1, or bytes, to (batch, channels, height / 2, ...)."""
        brightness = inputs if inputs.dtype == torch.uint8 else inputs * 255
        hidden: torch.Tensor = self.conv((brightness - 127.0) / 128.0)
        return nn.functional.relu6(hidden)


class Layer(nn.Module):
    """Inverted bottleneck: widened, each channel convolved by itself, narrowed, and added to the input where it fits.

    (Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, 2018)
    """

    def __init__(self, before: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inside = before * stage.expand
        self.widen = Convolution(before, inside) if stage.expand > 1 else None
        self.each = Convolution(inside, inside, stage.kernel, stride, inside)
        self.narrow = Convolution(inside, stage.channels)
        self.adds = stride == 1 and before == stage.channels

    def forward(self, inputs: torch.Tensor, lengths: None = None) -> torch.Tensor:
        """Map (batch, before, height, width) to (batch, channels, height / stride, width / stride)."""
        hidden = inputs if self.widen is None else nn.functional.relu6(self.widen(inputs))
        hidden = self.narrow(nn.functional.relu6(self.each(hidden)))
        assert isinstance(hidden, torch.Tensor)
        return hidden + inputs if self.adds else hidden


class Top(nn.Module):
    """The last convolution, and the mean of its map over all positions: the features."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(before, channels)

    def forward(self, inputs: torch.Tensor, lengths: None = None) -> torch.Tensor:
        """Map (batch, before, height, width) to (batch, channels)."""
        return nn.functional.relu6(self.conv(inputs)).mean((2, 3))


class Encoder(nn.Module):
    """All layers one after the other; the output is the vector that heads are fed."""

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [Stem(config.stem)]
        before = config.stem
        for stage in config.stages:
            for number in range(stage.repeats):
                layers.append(Layer(before, stage, 1 if number else stage.stride))
                before = stage.channels
        self.layers = nn.ModuleList([*layers, Top(before, config.top)])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (batch, 3, height, width) to (batch, dim)."""
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs


@register("efficientnet-lite")
class EfficientNetLite(Model):
    """EfficientNet-Lite with a named linear head per set of classes.

    Inputs are colour images of any size, as brightness from 0 to 1 or as bytes. The trained network saw 224 pixels;
    small images are better enlarged first (`Images.resized`).

    Args:
        config: Sizes.
        heads: Number of classes of each head, by name.
    """

    sequential: ClassVar[bool] = True

    def __init__(self, config: EfficientNetConfig, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.make_heads(config.top, heads)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, None]:
        """Map (batch, 3, height, width) to hidden (batch, dim); lengths stay None."""
        return self.encoder(inputs), None

    def blocks(self) -> list[Block]:
        """See `Model.blocks`; the stem is the front end, and the last block's output has no positions left."""
        config = self.config
        widths = [stage.channels for stage in config.stages for _ in range(stage.repeats)]
        middle = [Block(f"encoder.layers.{number}", width, axis=1) for number, width in enumerate(widths, start=1)]
        return [
            Block("encoder.layers.0", config.stem, "front-end", axis=1),
            *middle,
            Block(f"encoder.layers.{len(middle) + 1}", config.top),
        ]

    def stages(self) -> list[list[Block]]:
        """Return the blocks by the stage that they belong to: the stem, each of `config.stages`, and the top."""
        blocks = self.blocks()
        found = [blocks[:1]]
        for stage in self.config.stages:
            first = sum(map(len, found))
            found.append(blocks[first : first + stage.repeats])
        return [*found, blocks[-1:]]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {"model": as_values(self.config)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> EfficientNetLite:
        """See `Model.from_plain`."""
        return cls(checked(EfficientNetConfig, plain.get("model"), where, "model"), heads)


def fetched_efficientnet() -> EfficientNetLite:
    """Return the fetched EfficientNet-Lite0 in evaluation mode: 1,280 features, and the head `imagenet`.

    Raises:
        DataError: It was not fetched.
        ModelError: Its file is damaged.
    """
    folder = fetched_images(FETCHED)
    files = sorted(folder.rglob("*.pth"))
    if len(files) != 1:
        raise DataError(f"{folder}: holds {len(files)} files of weights, not one; remove it and fetch it again.")
    return read_efficientnet(files[0], EfficientNetConfig())


def read_efficientnet(file: Path, config: EfficientNetConfig) -> EfficientNetLite:
    """Read a trained network, with its head `imagenet`, from weights that are named as efficientnet_lite_pytorch does.

    Raises:
        ModelError: It is damaged, holds more than tensors, or is of another architecture.
    """
    tensors = read_file(file)
    classes = tensors.get("_fc.bias", torch.empty(0))
    if not len(classes):
        raise ModelError(f"{file}: holds no output layer '_fc'; get the whole network.")
    model = EfficientNetLite(config, {IMAGENET: len(classes)})
    top = len(model.blocks()) - 1
    fill(model, tensors, lambda name: _own_name(name, top), str(file))
    return model.eval()


_PARTS = {
    "_expand_conv": "widen.conv",
    "_bn0": "widen.norm",
    "_depthwise_conv": "each.conv",
    "_bn1": "each.norm",
    "_project_conv": "narrow.conv",
    "_bn2": "narrow.norm",
}


def _own_name(name: str, top: int) -> str | None:
    """Return the name here of a tensor of the file; `top` is the number of the last block."""
    if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
        part = _PARTS.get(match[2])
        return f"encoder.layers.{int(match[1]) + 1}.{part}.{match[3]}" if part else name
    part, _, kind = name.rpartition(".")
    outside = {
        "_conv_stem": "encoder.layers.0.conv.conv",
        "_bn0": "encoder.layers.0.conv.norm",
        "_conv_head": f"encoder.layers.{top}.conv.conv",
        "_bn1": f"encoder.layers.{top}.conv.norm",
        "_fc": f"heads.{IMAGENET}",
    }
    return f"{outside[part]}.{kind}" if part in outside else name
