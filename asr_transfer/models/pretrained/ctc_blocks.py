"""Runs what stands before and behind the layers of Transformers' CTC models.

Every block is called as `block(hidden, lengths)`. What lies behind a recording's end never reaches its frames: alone
and in a batch it gives the same, stacked convolutions included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from asr_transfer.models.encoders import valid_frames


class Projection(nn.Module):
    """A layer norm (where there is one), a linear layer to the encoder's size, and dropout."""

    def __init__(self, norm: nn.Module | None, linear: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norm, self.linear, self.dropout = norm, linear, nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, frames, channels) to (batch, frames, dim)."""
        projected: torch.Tensor = self.dropout(self.linear(hidden if self.norm is None else self.norm(hidden)))
        return projected


class Positions(nn.Module):
    """Relative positions from convolutions over time, added to what they are computed from (Baevski et al. 2020).

    Args:
        steps: modules with a `conv` and an `activation`, and some with a `batch_norm` before or a `layer_norm` behind.
        norm: norm of the sum; None for none.
        dropout: share of the sum that is dropped in training.
    """

    def __init__(self, steps: Sequence[nn.Module], norm: nn.Module | None, dropout: float) -> None:
        super().__init__()
        self.steps, self.norm, self.dropout = nn.ModuleList(steps), norm, nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, frames, dim) and (batch,) lengths to the same size."""
        mask = valid_frames(lengths, hidden.shape[1])[:, None, :]
        heard = hidden.transpose(1, 2) * mask
        summed = heard
        steps: list[Any] = list(self.steps)
        for step in steps:
            if getattr(step, "batch_norm", None) is not None:
                heard = step.batch_norm(heard) * mask
            heard = step.conv(heard)[:, :, : hidden.shape[1]]
            if getattr(step, "layer_norm", None) is not None:
                heard = step.layer_norm(heard.transpose(1, 2)).transpose(1, 2)
            heard = step.activation(heard) * mask
        summed = (summed + heard).transpose(1, 2)
        dropped: torch.Tensor = self.dropout(summed if self.norm is None else self.norm(summed))
        return dropped


class Norm(nn.Module):
    """A norm behind the last layer, called as blocks are."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, frames, dim) to the same size."""
        normal: torch.Tensor = self.norm(hidden)
        return normal


class UtteranceNorm(nn.Module):
    """Gives a recording's hidden vectors the mean 0 and the variance 1, all of them together; it has no weights."""

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, frames, dim) and (batch,) lengths to the same size."""
        mask = valid_frames(lengths, hidden.shape[1])[:, :, None]
        whole = hidden.float()
        count = lengths[:, None, None] * hidden.shape[2]
        mean = (whole * mask).sum((1, 2), keepdim=True) / count
        variance = ((whole - mean) * mask).square().sum((1, 2), keepdim=True) / count
        return ((whole - mean) * torch.rsqrt(variance + 1e-5)).to(hidden.dtype)
