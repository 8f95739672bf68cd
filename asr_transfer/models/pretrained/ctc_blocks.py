"""Runs the parts of Transformers' CTC models one by one, at each recording's own length.

Every block is called as `block(hidden, lengths)`. What lies behind a recording's end never reaches its frames: alone
and in a batch it gives the same, group norms and stacked convolutions included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from asr_transfer.models.encoders import valid_frames


class Front(Protocol):
    """A front end that says how many frames it leaves."""

    def frames(self, length: int) -> int:
        """Return how many frames an input of so many time steps leaves."""
        ...


def shortened(length: Any, kernels: Sequence[int], strides: Sequence[int], padding: int = 0) -> Any:
    """Return what convolutions leave of a length, an integer or a tensor of integers; it may be below 1."""
    for kernel, stride in zip(kernels, strides, strict=True):
        length = (length + 2 * padding - kernel) // stride + 1
    return length


class WaveFront(nn.Module):
    """Convolutions over the waveform (Schneider et al. 2019), without padding, with group norm, layer norms or none.

    A recording that is shorter than their window is heard with silence behind it, as one frame.

    Args:
        layers: layers with a `conv`, an `activation` and mostly a `layer_norm`.
    """

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers
        self.kernels = [layer.conv.kernel_size[0] for layer in layers]  # type: ignore[union-attr]
        self.strides = [layer.conv.stride[0] for layer in layers]  # type: ignore[union-attr]
        self.window = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            self.window = (self.window - 1) * stride + kernel

    def frames(self, length: int) -> int:
        """Return how many frames so many samples leave."""
        return max(1, int(shortened(length, self.kernels, self.strides)))

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, samples, 1) and (batch,) lengths to (batch, frames, channels) and lengths."""
        hidden = nn.functional.pad(inputs.transpose(1, 2), (0, max(0, self.window - inputs.shape[1])))
        for layer, kernel, stride in zip(self.layers, self.kernels, self.strides, strict=True):
            hidden = layer.conv(hidden)  # type: ignore[operator, union-attr]
            lengths = shortened(lengths, [kernel], [stride]).clamp(min=1)
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                hidden = _group_norm(norm, hidden, lengths)
            elif norm is not None:
                hidden = norm(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = layer.activation(hidden)  # type: ignore[operator, union-attr]
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
        self.window = 1
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
            self.window = (self.window - 1) * stride + kernel

    def frames(self, length: int) -> int:
        """Return how many frames so many frames of features leave."""
        return max(1, int(shortened(length, self.kernels, self.strides, self.padding)))

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) and (batch,) lengths to (batch, frames, dim) and lengths."""
        inputs = nn.functional.pad(inputs, (0, 0, 0, max(0, self.window - inputs.shape[1])))
        mask = (valid_frames(lengths, inputs.shape[1]),) if self.masked else ()
        hidden = self.subsample(inputs, *mask) * self.scale
        return hidden, shortened(lengths, self.kernels, self.strides, self.padding).clamp(min=1)


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
        for step in self.steps:
            if getattr(step, "batch_norm", None) is not None:
                heard = step.batch_norm(heard) * mask  # type: ignore[operator]
            heard = step.conv(heard)[:, :, : hidden.shape[1]]  # type: ignore[operator]
            if getattr(step, "layer_norm", None) is not None:
                heard = step.layer_norm(heard.transpose(1, 2)).transpose(1, 2)  # type: ignore[operator]
            heard = step.activation(heard) * mask  # type: ignore[operator]
        summed = (summed + heard).transpose(1, 2)
        dropped: torch.Tensor = self.dropout(summed if self.norm is None else self.norm(summed))
        return dropped


class Layer(nn.Module):
    """A layer of attention that hears the valid frames alone.

    Args:
        inner: layer as its family has it.
        arguments: function from the hidden vectors (batch, frames, dim) and the mask of valid frames (batch, frames),
            None where all are valid, to the named arguments of `inner`.

    Attributes:
        checkpointing: Whether its activations are computed anew for the gradient instead of being kept.
    """

    def __init__(
        self, inner: nn.Module, arguments: Callable[[torch.Tensor, torch.Tensor | None], dict[str, Any]]
    ) -> None:
        super().__init__()
        self.inner = inner
        self.arguments = arguments
        self.checkpointing = False

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, frames, dim) and (batch,) lengths to the same size."""
        mask = valid_frames(lengths, hidden.shape[1])
        run = partial(self.inner, **self.arguments(hidden, None if bool(mask.all()) else mask))
        again = self.checkpointing and self.training and torch.is_grad_enabled()
        output = checkpoint(run, hidden, use_reentrant=False) if again else run(hidden)
        result: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return result


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


def keys_alone(hidden: torch.Tensor, mask: torch.Tensor | None) -> dict[str, Any]:
    """Return the mask as scaled dot-product attention takes it, (batch, 1, 1, frames)."""
    return {"attention_mask": None if mask is None else mask[:, None, None, :]}


def relative_bias(first: tuple[nn.Module], hidden: torch.Tensor, mask: torch.Tensor | None) -> dict[str, Any]:
    """Return what WavLM's layers take: the mask, and the bias of relative positions, which the first layer knows.

    Args:
        first: attention of the first layer, in a tuple, for it is no part of the others.
        hidden: hidden vectors (batch, frames, dim).
        mask: valid frames (batch, frames), or None.
    """
    (attention,) = first
    bias = attention.compute_bias(hidden.shape[1], hidden.shape[1])  # type: ignore[operator]
    bias = bias[None].expand(len(hidden), -1, -1, -1).reshape(-1, *bias.shape[1:])
    return {"attention_mask": mask, "position_bias": bias}


def biased_attention(
    attention: Any, hidden: torch.Tensor, mask: torch.Tensor | None, bias: torch.Tensor
) -> tuple[torch.Tensor, None]:
    """Do what WavLM's `torch_multi_head_self_attention` does, calling its linear layers, so that adapters act on them.

    Args:
        attention: attention layer.
        hidden: hidden vectors (batch, frames, dim).
        mask: valid frames (batch, frames), or None.
        bias: gated bias of relative positions, (batch × heads, frames, frames).
    """
    batch, frames, dim = hidden.shape
    query, key, value = (
        linear(hidden).view(batch, frames, attention.num_heads, -1).transpose(1, 2)
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    added = bias.view(batch, attention.num_heads, frames, frames).to(query.dtype)
    if mask is not None:
        added = added.masked_fill(~mask[:, None, None, :], -torch.inf)
    dropout = attention.dropout if attention.training else 0.0
    heard = nn.functional.scaled_dot_product_attention(query, key, value, added, dropout)
    return attention.out_proj(heard.transpose(1, 2).reshape(batch, frames, dim)), None


def both_ways(encode: tuple[nn.Module], hidden: torch.Tensor, mask: torch.Tensor | None) -> dict[str, Any]:
    """Return what Parakeet's layers take: relative positions, and a mask of queries and keys.

    Args:
        encode: module that encodes positions, in a tuple, for it has no weights and belongs to no layer.
        hidden: hidden vectors (batch, frames, dim).
        mask: valid frames (batch, frames), or None.
    """
    square = None if mask is None else (mask[:, None, :] & mask[:, :, None])[:, None]
    return {"attention_mask": square, "position_embeddings": encode[0](hidden)}


def rotary(encode: tuple[nn.Module], hidden: torch.Tensor, mask: torch.Tensor | None) -> dict[str, Any]:
    """Return what LASR's layers take: rotations, and a mask of keys; see `both_ways`."""
    frames = hidden.shape[1]
    square = None if mask is None else mask[:, None, None, :].expand(-1, 1, frames, frames)
    return {
        "attention_mask": square,
        "position_embeddings": encode[0](hidden, torch.arange(frames, device=hidden.device)[None]),
    }
