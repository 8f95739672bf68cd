"""Builds the acoustic model: convolutional front end, encoder, and a named CTC head per token set."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.config import ModelConfig, Normalisation, without_later
from asr_transfer.data.inputs import Inputs, as_inputs
from asr_transfer.models.contract import Block, SpeechModel, register
from asr_transfer.models.encoders import Encoder, valid_frames
from asr_transfer.models.over_time import TimeConvolution, TimeNorm
from asr_transfer.plain import checked, to_plain


class FrontEnd(nn.Module):
    """Two strided convolutions over time, each with BatchNorm and ReLU.

    CTC leaves its all-blank phase much sooner with BatchNorm here than without.
    """

    KERNEL = 5

    def __init__(self, mels: int, channels: int, strides: tuple[int, int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "convolution": TimeConvolution(inputs, channels, self.KERNEL, stride, self.KERNEL // 2, bias=False),
                    "norm": TimeNorm(channels),
                }
            )
            for inputs, stride in zip((mels, channels), strides, strict=True)
        )
        self.strides = strides

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) to ((batch, fewer frames, channels), (batch,) lengths)."""
        x = x.transpose(1, 2)
        for layer, stride in zip(self.layers, self.strides, strict=True):
            x = torch.relu(layer["norm"](layer["convolution"](x)))  # type: ignore[index]
            lengths = (lengths - 1) // stride + 1
            x = x * valid_frames(lengths, x.shape[2])[:, None, :]
        return x.transpose(1, 2), lengths


@register("acoustic")
class AcousticModel(SpeechModel):
    """Front end, encoder and heads; `heads` are addressed by name, layers by path (`encoder.layers.0`).

    Args:
        config: sizes.
        heads: tokens (blank included) of each head, by name.
    """

    sequential: ClassVar[bool] = True
    config: ModelConfig

    def __init__(self, config: ModelConfig, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        self.frontend = FrontEnd(config.features.mels, config.channels, config.strides)
        self.encoder = Encoder(config.encoder, config.channels, config.layers, config.dim, config.dropout)
        self.make_heads(self.encoder.dim, heads)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) and (batch,) lengths to hidden (batch, frames, dim) and its (batch,) lengths."""
        hidden, lengths = self.frontend(inputs, lengths)
        return self.encoder(hidden, lengths), lengths

    @property
    def inputs(self) -> Inputs:
        """See `SpeechModel.inputs`."""
        return as_inputs(self.config.features)

    def renormalised(self, normalisation: Normalisation) -> AcousticModel:
        """See `SpeechModel.renormalised`."""
        model = copy(self)
        model.config = replace(self.config, features=replace(self.config.features, normalisation=normalisation))
        return model

    @property
    def network(self) -> ModelConfig:
        """See `SpeechModel.network`."""
        return self.config

    def frames(self, length: int) -> int:
        """See `SpeechModel.frames`."""
        return self.config.frames(length)

    def blocks(self) -> list[Block]:
        """See `Model.blocks`."""
        dim = self.encoder.dim
        # Only where the widths differ does the projection change anything.
        width = self.config.channels if isinstance(self.encoder.projection, nn.Identity) else dim
        return [
            Block("frontend", self.config.channels, "front-end"),
            Block("encoder.projection", width, "between"),
            *(Block(f"encoder.layers.{number}", dim) for number in range(len(self.encoder.layers))),
            Block("encoder.norm", dim, "between"),
        ]

    def units(self) -> list[Block]:
        """See `Model.units`: in the front end those of BatchNorm.

        A positive factor passes through the ReLU that follows, so that this is the same as behind it.
        """
        fronts = range(len(self.frontend.layers))
        norms = [Block(f"frontend.layers.{n}.norm", self.config.channels, "front-end", axis=1) for n in fronts]
        return norms + self.layers()

    def junctions(self) -> list[Block]:
        """See `Model.junctions`: from the front end's second convolution on; a projection is a part of the front."""
        second = Block("frontend.layers.1.convolution", self.config.channels, "front-end", axis=1)
        return [second, *super().junctions()[1:]]

    def run(
        self, first: int, last: int, hidden: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Model.run`."""
        for block in self.blocks()[first:last]:
            module = self.get_submodule(block.path)
            if block.role == "front-end":
                hidden, lengths = module(hidden, lengths)
            else:
                hidden = module(hidden, lengths) if block.role == "layer" else module(hidden)
        return hidden, lengths

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {"model": without_later(to_plain(self.config))}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> AcousticModel:
        """See `Model.from_plain`."""
        return cls(checked(ModelConfig, plain.get("model"), where, "model"), heads)
