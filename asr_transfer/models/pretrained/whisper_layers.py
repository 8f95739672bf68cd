"""Computes the parts of Whisper's encoder (Radford et al. 2022), named and numbered as in its published weights.

Utterances of any length run side by side, their padding masked; on 30 seconds the outputs are the published ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import nn

from asr_transfer.config import MOST_LAYERS, Channels
from asr_transfer.errors import ConfigError
from asr_transfer.models.encoders import valid_frames
from asr_transfer.ranges import Count, Range, Ranged


@dataclass(frozen=True)
class WhisperSizes(Ranged, section="encoder"):
    """Sizes of a published encoder.

    Attributes:
        mels: Number of mel bands.
        dim: Width of the layers.
        layers: Number of layers.
        heads: Number of attention heads.
        feed_forward: Width inside the feed-forward parts.
        positions: Number of stored positions, two hundredths of a second each.
    """

    mels: Count
    dim: Channels
    layers: Annotated[int, Range(at_least=1, at_most=MOST_LAYERS)]
    heads: Count
    feed_forward: Channels
    positions: Annotated[int, Range(at_least=1, at_most=100_000)] = 1500

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % self.heads:
            raise ConfigError(f"`encoder.dim` must be a multiple of `encoder.heads`, got {self.dim} and {self.heads}.")


class Front(nn.Module):
    """Two convolutions over time, the second with stride 2, and the sinusoids of the positions."""

    def __init__(self, sizes: WhisperSizes) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(sizes.mels, sizes.dim, 3, padding=1)
        self.conv2 = nn.Conv1d(sizes.dim, sizes.dim, 3, stride=2, padding=1)
        # As published they are weights, though nobody trains them.
        self.positions = nn.Parameter(sinusoids(sizes.positions, sizes.dim), requires_grad=False)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) to ((batch, half of the frames, dim), (batch,) lengths)."""
        keep = valid_frames(lengths, x.shape[1])[:, None, :]
        y = nn.functional.gelu(self.conv1(x.transpose(1, 2) * keep)) * keep
        y = nn.functional.gelu(self.conv2(y)).transpose(1, 2)
        stored, dim = self.positions.shape
        positions = self.positions if y.shape[1] <= stored else sinusoids(y.shape[1], dim).to(y)
        return y + positions[: y.shape[1]], (lengths - 1) // 2 + 1


class SelfAttention(nn.Module):
    """Attention of every frame to all valid ones."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.v_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
        """Map (batch, time, dim) and (batch, 1, 1, time) booleans, None where all are valid, to the same shape."""
        q, k, v = (
            part(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = nn.functional.scaled_dot_product_attention(q, k, v, keep)
        projected: torch.Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected


class Layer(nn.Module):
    """A block of attention and feed-forward parts, each behind its norm."""

    def __init__(self, sizes: WhisperSizes) -> None:
        super().__init__()
        self.self_attn = SelfAttention(sizes.dim, sizes.heads)
        self.self_attn_layer_norm = nn.LayerNorm(sizes.dim)
        self.fc1, self.fc2 = nn.Linear(sizes.dim, sizes.feed_forward), nn.Linear(sizes.feed_forward, sizes.dim)
        self.final_layer_norm = nn.LayerNorm(sizes.dim)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, dim) to the same shape."""
        keep = None if bool((lengths == x.shape[1]).all()) else valid_frames(lengths, x.shape[1])[:, None, None, :]
        x = x + self.self_attn(self.self_attn_layer_norm(x), keep)
        y: torch.Tensor = self.fc2(nn.functional.gelu(self.fc1(self.final_layer_norm(x))))
        return x + y


def sinusoids(length: int, dim: int) -> torch.Tensor:
    """Return the (length, dim) sines and cosines by which a frame's position is told (Vaswani et al. 2017)."""
    half = dim // 2
    rates = torch.exp(-math.log(10_000) / max(1, half - 1) * torch.arange(half))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
