"""Has Whisper, the encoder and the decoder (Radford et al. 2022): windows of 30 s in, tokens out one by one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.data.inputs import Inputs, WhisperMel
from asr_transfer.errors import ConfigError
from asr_transfer.models.contract import Block, SequenceModel, register
from asr_transfer.models.pretrained.whisper_decoder_layers import (
    DecoderLayer,
    DecoderState,
    Embedding,
    EncoderLayer,
    Front,
    Kept,
    TiedHead,
)
from asr_transfer.plain import checked

STEPS = 100
"""Steps of whisper-mel features in a second, two of which make a frame."""


@dataclass(frozen=True)
class WhisperSizes:
    """Sizes of a Whisper.

    Attributes:
        mels: Bands of the features.
        dim: Channels of hidden vectors.
        encoder_layers, encoder_heads, encoder_inner: Layers of the encoder, their attention heads and the width inside
            their feed-forward networks.
        decoder_layers, decoder_heads, decoder_inner: The same of the decoder.
        tokens: Number of tokens.
        frames: Frames of a window, 50 a second.
        positions: Most tokens of a text, the prompt's included.
    """

    mels: int
    dim: int
    encoder_layers: int
    encoder_heads: int
    encoder_inner: int
    decoder_layers: int
    decoder_heads: int
    decoder_inner: int
    tokens: int
    frames: int = 1500
    positions: int = 448


@register("whisper")
class Whisper(SequenceModel):
    """Whisper's encoder and decoder under the contract.

    Blocks are the front end, the encoder's layers and norm, the decoder's embedding, layers and norm. The heads map by
    the embedding, so that they have no weights of their own.

    Args:
        sizes: Sizes.
        heads: Number of tokens by name of the head.
    """

    sequential: ClassVar[bool] = True

    def __init__(self, sizes: WhisperSizes, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = s = sizes
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.front = Front(s.mels, s.dim, s.frames)
        self.encoder.layers = nn.ModuleList(
            EncoderLayer(s.dim, s.encoder_heads, s.encoder_inner) for _ in range(s.encoder_layers)
        )
        self.encoder.norm = nn.LayerNorm(s.dim)
        embedding = Embedding(s.tokens, s.dim, s.positions)
        self.decoder.embedding = embedding
        self.decoder.layers = nn.ModuleList(
            DecoderLayer(s.dim, s.decoder_heads, s.decoder_inner) for _ in range(s.decoder_layers)
        )
        self.decoder.norm = nn.LayerNorm(s.dim)
        self.make_heads(1, heads)
        self._tie()

    def _tie(self) -> None:
        embedding = self.get_submodule("decoder.embedding")
        assert isinstance(embedding, Embedding)
        for name in self.heads:
            self.heads[name] = TiedHead(embedding)

    def __deepcopy__(self, memo: dict[int, Any]) -> Whisper:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        vars(made).update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        made._tie()
        return made

    @property
    def inputs(self) -> Inputs:
        """See `SpeechModel.inputs`."""
        return WhisperMel(mels=self.sizes.mels, least_seconds=self.window)

    @property
    def window(self) -> float:
        """See `SequenceModel.window`."""
        return 2 * self.sizes.frames / STEPS

    @property
    def most_tokens(self) -> int:
        """See `SequenceModel.most_tokens`."""
        return self.sizes.positions

    def frames(self, length: int) -> int:
        """See `SpeechModel.frames`: every window is as long as any."""
        return self.sizes.frames

    def frame_shift(self) -> float:
        """See `SpeechModel.frame_shift`."""
        return 2 / STEPS

    def blocks(self) -> list[Block]:
        """See `Model.blocks`."""
        dim = self.sizes.dim
        return [
            Block("encoder.front", dim, "front-end"),
            *(Block(f"encoder.layers.{n}", dim) for n in range(self.sizes.encoder_layers)),
            Block("encoder.norm", dim, "between"),
            Block("decoder.embedding", dim, "between"),
            *(Block(f"decoder.layers.{n}", dim) for n in range(self.sizes.decoder_layers)),
            Block("decoder.norm", dim, "between"),
        ]

    def hearing(self) -> int:
        """See `Model.hearing`."""
        return self.sizes.encoder_layers + 2

    def own_parts(self, head: str) -> list[str]:
        """See `Model.own_parts`: nothing, for all heads map by one embedding."""
        return []

    def run(
        self, first: int, last: int, hidden: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Model.run`; of the blocks of the encoder."""
        for block in self.blocks()[first : min(last, self.hearing())]:
            module = self.get_submodule(block.path)
            if block.role == "front-end":
                hidden, lengths = module(hidden, lengths)
            else:
                hidden = module(hidden)
        return hidden, lengths

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) features to the encoder's states, (batch, frames, dim), and their lengths."""
        return self.run(0, self.hearing(), inputs, lengths)

    def begin(self, states: torch.Tensor) -> DecoderState:
        """See `SequenceModel.begin`."""
        layers = [self.get_submodule(block.path) for block in self._decoder_layers()]
        return DecoderState([Kept(layer.encoder_attn.keys_and_values(states)) for layer in layers])  # type: ignore

    def follow(self, tokens: torch.Tensor, state: DecoderState) -> torch.Tensor:
        """See `SequenceModel.follow`."""
        hidden: torch.Tensor = self.get_submodule("decoder.embedding")(tokens, state.length)
        for block, kept in zip(self._decoder_layers(), state.layers, strict=True):
            hidden = self.get_submodule(block.path)(hidden, kept)
        state.length += tokens.shape[1]
        normed: torch.Tensor = self.get_submodule("decoder.norm")(hidden)
        return normed

    def _decoder_layers(self) -> list[Block]:
        return [block for block in self.blocks()[self.hearing() :] if block.role == "layer"]

    def describe(self) -> dict[str, Any]:
        """See `Model.describe`."""
        return {"heads": dict.fromkeys(self.heads, self.sizes.tokens), "sizes": asdict(self.sizes)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> Whisper:
        """See `Model.from_plain`."""
        sizes: WhisperSizes = checked(WhisperSizes, plain.get("sizes"), where, "sizes")
        if set(heads.values()) != {sizes.tokens}:
            raise ConfigError(f"{where}: `heads` must have the {sizes.tokens} tokens of `sizes`.")
        if min(asdict(sizes).values()) < 1 or sizes.dim % sizes.encoder_heads or sizes.dim % sizes.decoder_heads:
            raise ConfigError(f"{where}: `sizes` must be above 0, and `dim` a multiple of the heads.")
        return cls(sizes, heads)
