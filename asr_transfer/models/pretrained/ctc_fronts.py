"""Computes the front ends of Transformers' CTC models, at each recording's own length.

What lies behind a recording's end never reaches its frames: alone and in a batch it gives the same, group norms
included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from asr_transfer.models.encoders import valid_frames


def shortened(length: Any, kernels: Sequence[int], strides: Sequence[int], padding: int = 0) -> Any:
    """Return what convolutions leave of a length, an integer or a tensor of integers; it may be below 1."""
    for kernel, stride in zip(kernels, strides, strict=True):
        length = (length + 2 * padding - kernel) // stride + 1
    return length


def heard_at_once(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Return how many time steps one frame is made of."""
    window = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        window = (window - 1) * stride + kernel
    return window


class WaveFront(nn.Module):
    """Convolutions over the waveform (Schneider et al. 2019), without padding, with group norm, layer norms or none.

    A recording that is shorter than their window is heard with silence behind it, as one frame.

    Args:
        layers: layers with a `conv`, an `activation` and mostly a `layer_norm`.
    """

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers
        convolutions: list[Any] = [layer.conv for layer in layers]
        self.kernels: list[int] = [one.kernel_size[0] for one in convolutions]
        self.strides: list[int] = [one.stride[0] for one in convolutions]
        self.window = heard_at_once(self.kernels, self.strides)

    def frames(self, length: int) -> int:
        """Return how many frames so many samples leave."""
        return max(1, int(shortened(length, self.kernels, self.strides)))

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, samples, 1) and (batch,) lengths to (batch, frames, channels) and lengths."""
        hidden = nn.functional.pad(inputs.transpose(1, 2), (0, max(0, self.window - inputs.shape[1])))
        layers: list[Any] = list(self.layers)
        for layer, kernel, stride in zip(layers, self.kernels, self.strides, strict=True):
            hidden = layer.conv(hidden)
            lengths = shortened(lengths, [kernel], [stride]).clamp(min=1)
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                hidden = _group_norm(norm, hidden, lengths)
            elif norm is not None:
                hidden = norm(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = layer.activation(hidden)
        return hidden.transpose(1, 2), lengths


def _group_norm(norm: nn.GroupNorm, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Normalise each channel by its own statistics over a recording's valid frames."""
    if bool((lengths == hidden.shape[2]).all()):
        normal: torch.Tensor = norm(hidden)
        return normal
    mask = valid_frames(lengths, hidden.shape[2])[:, None, :]
    whole = hidden.float()
    count = lengths[:, None, None]
    mean = (whole * mask).sum(2, keepdim=True) / count
    variance = ((whole - mean) * mask).square().sum(2, keepdim=True) / count
    scaled = (whole - mean) * torch.rsqrt(variance + norm.eps) * norm.weight[:, None] + norm.bias[:, None]
    return scaled.to(hidden.dtype)


class MelFront(nn.Module):
    """Subsampling of mel bands by convolutions over time, as Conformers have it.

    Args:
        subsample: module from (batch, time, mels) and, where it is `masked`, a mask (batch, time) to (batch, frames,
            dim).
        kernels: kernels of its convolutions over time.
        strides: their strides.
        padding: frames of silence on either side of each of them.
        scale: factor of its output.
        masked: whether it takes a mask.
    """

    def __init__(
        self,
        subsample: nn.Module,
        kernels: Sequence[int],
        strides: Sequence[int],
        padding: int = 0,
        scale: float = 1.0,
        masked: bool = False,
    ) -> None:
        super().__init__()
        self.subsample = subsample
        self.kernels, self.strides, self.padding, self.scale, self.masked = kernels, strides, padding, scale, masked
        self.window = heard_at_once(kernels, strides)

    def frames(self, length: int) -> int:
        """Return how many frames so many frames of features leave."""
        return max(1, int(shortened(length, self.kernels, self.strides, self.padding)))

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) and (batch,) lengths to (batch, frames, dim) and lengths."""
        inputs = nn.functional.pad(inputs, (0, 0, 0, max(0, self.window - inputs.shape[1])))
        mask = (valid_frames(lengths, inputs.shape[1]),) if self.masked else ()
        hidden = self.subsample(inputs, *mask) * self.scale
        return hidden, shortened(lengths, self.kernels, self.strides, self.padding).clamp(min=1)
