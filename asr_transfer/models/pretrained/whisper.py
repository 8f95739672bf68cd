"""Has Whisper, the encoder and the decoder (Radford et al. 2022): windows of 30 s in, tokens out one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.data.inputs import Inputs, WhisperMel
from asr_transfer.errors import ConfigError
from asr_transfer.models import contract
from asr_transfer.models.contract import Block, SequenceModel, register
from asr_transfer.models.pretrained.whisper_decoder_layers import (
    DecoderLayer,
    DecoderSizes,
    DecoderState,
    Embedding,
    Kept,
    TiedHead,
    Window,
)
from asr_transfer.models.pretrained.whisper_layers import Layer, WhisperSizes
from asr_transfer.plain import checked, to_plain

STEPS = 100
"""Steps of whisper-mel features in a second, two of which make a frame."""


@register("whisper")
class Whisper(SequenceModel):
    """Whisper's encoder and decoder under the contract.

    Blocks are the front end, the encoder's layers and norm, the decoder's embedding, layers and norm. The heads map by
    the embedding, so that they have no weights of their own.

    Args:
        sizes: Sizes of the encoder.
        decoder: Sizes of the decoder.
        heads: Number of tokens by name of the head.
    """

    sequential: ClassVar[bool] = True
    takes_heads: ClassVar[bool] = False
    pace: ClassVar[float] = 0.3

    def __init__(self, sizes: WhisperSizes, decoder: DecoderSizes, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes, self.decoder_sizes = sizes, decoder
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.front = Window(sizes)
        self.encoder.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.encoder.norm = nn.LayerNorm(sizes.dim)
        self.decoder.embedding = Embedding(decoder.tokens, sizes.dim, decoder.positions)
        self.decoder.layers = nn.ModuleList(DecoderLayer(sizes.dim, decoder) for _ in range(decoder.layers))
        self.decoder.norm = nn.LayerNorm(sizes.dim)
        self.make_heads(1, heads)
        for name in heads:
            self.heads[name] = TiedHead(self.decoder.embedding)

    @property
    def inputs(self) -> Inputs:
        """See `SpeechModel.inputs`."""
        return WhisperMel(mels=self.sizes.mels, least_seconds=self.window)

    @property
    def window(self) -> float:
        """See `SequenceModel.window`."""
        return 2 * self.sizes.positions / STEPS

    @property
    def prompt(self) -> int:
        """See `SequenceModel.prompt`."""
        return self.decoder_sizes.prompt

    @property
    def most_tokens(self) -> int:
        """See `SequenceModel.most_tokens`."""
        return self.decoder_sizes.positions

    def frames(self, length: int) -> int:
        """See `SpeechModel.frames`: every window is as long as any."""
        return self.sizes.positions

    def frame_shift(self) -> float:
        """See `SpeechModel.frame_shift`."""
        return 2 / STEPS

    def blocks(self) -> list[Block]:
        """See `Model.blocks`."""
        dim = self.sizes.dim
        return [
            Block("encoder.front", dim, "front-end"),
            *(Block(f"encoder.layers.{n}", dim) for n in range(self.sizes.layers)),
            Block("encoder.norm", dim, "between"),
            Block("decoder.embedding", dim, "between"),
            *(Block(f"decoder.layers.{n}", dim) for n in range(self.decoder_sizes.layers)),
            Block("decoder.norm", dim, "between"),
        ]

    def hearing(self) -> int:
        """See `Model.hearing`."""
        return self.sizes.layers + 2

    def own_parts(self, head: str) -> list[str]:
        """See `Model.own_parts`: nothing, for all heads map by one embedding."""
        return []

    def held(self) -> list[str]:
        """See `Model.held`: the embedding, which makes the logits too and is half of the smaller models."""
        return ["decoder.embedding"]

    def run(
        self, first: int, last: int, hidden: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Model.run`; of the blocks of the encoder."""
        for block in self.blocks()[first : min(last, self.hearing())]:
            module = self.get_submodule(block.path)
            if block.role == "front-end":
                hidden, lengths = module(hidden, lengths)
            else:
                hidden = module(hidden, lengths) if block.role == "layer" else module(hidden)
        return hidden, lengths

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) features to the encoder's states, (batch, frames, dim), and their lengths."""
        return self.run(0, self.hearing(), inputs, lengths)

    def begin(self, states: torch.Tensor) -> DecoderState:
        """See `SequenceModel.begin`."""
        layers = [self.get_submodule(block.path) for block in self._decoder_layers()]
        return DecoderState([Kept(layer.encoder_attn.keys_and_values(states)) for layer in layers])  # type: ignore

    def follow(self, tokens: torch.Tensor, state: contract.DecoderState) -> torch.Tensor:
        """See `SequenceModel.follow`."""
        assert isinstance(state, DecoderState)
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
        return {"encoder": to_plain(self.sizes), "decoder": to_plain(self.decoder_sizes)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> Whisper:
        """See `Model.from_plain`."""
        sizes: WhisperSizes = checked(WhisperSizes, plain.get("encoder"), where, "encoder")
        decoder: DecoderSizes = checked(DecoderSizes, plain.get("decoder"), where, "decoder")
        if set(heads.values()) - {decoder.tokens}:
            raise ConfigError(f"{where}: `heads` must have the {decoder.tokens} tokens of `decoder`.")
        if sizes.dim % sizes.heads or sizes.dim % decoder.heads:
            raise ConfigError(f"{where}: `dim`, {sizes.dim}, must be a multiple of the attention heads.")
        return cls(sizes, decoder, heads)
