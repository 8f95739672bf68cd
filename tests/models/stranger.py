"""A model as another house builds it: shaped like Hugging Face's encoders, nothing in it called as in ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from asr_transfer.data.inputs import Inputs, LogMel, Waveform
from asr_transfer.models.contract import Block, SpeechModel, register


@dataclass
class StrangerConfig:
    """Sizes under other names, as a class of its own; without bands it listens to waveforms."""

    hidden_size: int = 8
    num_hidden_layers: int = 3
    num_mel_bins: int = 8
    conv_stride: int = 3


class _Attention(nn.Module):
    """Self-attention of one head with four projections, as `transformers` writes it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(size, size), nn.Linear(size, size)
        self.v_proj, self.out_proj = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        scores = self.q_proj(hidden) @ self.k_proj(hidden).transpose(1, 2) / hidden.shape[2] ** 0.5
        weights = scores.masked_fill(~mask[:, None, :], -1e9).softmax(-1)
        attended: torch.Tensor = self.out_proj(weights @ self.v_proj(hidden))
        return attended


class _Layer(nn.Module):
    """A block of attention and feed-forward layers, which returns a tuple."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention = _Attention(size)
        self.layer_norm = nn.LayerNorm(size)
        self.feed_forward = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))
        self.final_layer_norm = nn.LayerNorm(size)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor]:
        hidden = self.layer_norm(hidden + self.attention(hidden, attention_mask))
        return (self.final_layer_norm(hidden + self.feed_forward(hidden)),)


class _Extractor(nn.Module):
    """A convolution without padding: `(length - 3) // stride + 1` frames."""

    def __init__(self, config: StrangerConfig) -> None:
        super().__init__()
        self.conv = nn.Conv1d(config.num_mel_bins or 1, config.hidden_size, 3, config.conv_stride)
        self.stride = config.conv_stride

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = nn.functional.gelu(self.conv(inputs.transpose(1, 2))).transpose(1, 2)
        return hidden, (lengths - 3) // self.stride + 1


@register("stranger")
class Stranger(SpeechModel):
    """An encoder with a feature extractor, a projection and layers of attention."""

    sequential: ClassVar[bool] = True

    def __init__(self, config: StrangerConfig, heads: Mapping[str, int]) -> None:
        super().__init__()
        size = config.hidden_size
        self.config = config
        self.feature_extractor = _Extractor(config)
        self.feature_projection = nn.Linear(size, size)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(_Layer(size) for _ in range(config.num_hidden_layers))
        self.make_heads(size, heads)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.run(0, len(self.blocks()), inputs, lengths)

    def run(
        self, first: int, last: int, hidden: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for block in self.blocks()[first:last]:
            module = self.get_submodule(block.path)
            if block.role == "front-end":
                hidden, lengths = module(hidden, lengths)
            elif block.role == "between":
                hidden = module(hidden)
            else:
                mask = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
                (hidden,) = module(hidden, attention_mask=mask)
        return hidden, lengths

    def blocks(self) -> list[Block]:
        size = self.config.hidden_size
        layers = [Block(f"encoder.layers.{n}", size) for n in range(self.config.num_hidden_layers)]
        return [Block("feature_extractor", size, "front-end"), Block("feature_projection", size, "between"), *layers]

    @property
    def inputs(self) -> Inputs:
        return LogMel(mels=self.config.num_mel_bins) if self.config.num_mel_bins else Waveform()

    def frames(self, length: int) -> int:
        return (length - 3) // self.config.conv_stride + 1

    def describe(self) -> dict[str, Any]:
        return {"sizes": asdict(self.config)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> Stranger:
        return cls(StrangerConfig(**plain["sizes"]), heads)
