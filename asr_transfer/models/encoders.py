"""Builds encoders: (batch, time, channels) to (batch, time, dim), with `layers` that can be addressed one by one.

The output of a valid frame never depends on padding: recurrences run over reversed valid frames, convolutions see
zeros beyond the end, attention is masked. An utterance alone and in a batch therefore give the same result.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import nn

from asr_transfer.config import EncoderName
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.models.over_time import TimeConvolution, TimeNorm


def valid_frames(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Return (batch, size) booleans, True at frames before each length."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


class LockedDropout(nn.Module):
    """Dropout of whole channels of an utterance (Gal and Ghahramani 2016), far cheaper than one draw per frame."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, dim) to the same shape."""
        if not self.training or self.p == 0:
            return x
        keep = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= self.p
        return x * (keep / (1 - self.p)).to(x.dtype)


class _Reverse(torch.autograd.Function):
    """Reorder rows by an index that is its own inverse, so that the backward pass is the same cheap selection."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index)
        return x.flatten(0, 1).index_select(0, index).view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (index,) = ctx.saved_tensors
        return gradient.flatten(0, 1).index_select(0, index).view_as(gradient), None


def _reversed(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _Reverse.apply(x, index)  # type: ignore[no-untyped-call]
    return result


class BiLstmLayer(nn.Module):
    """A bidirectional LSTM layer as two one-directional ones, the backward one over each utterance's reversed frames.

    Reversing by index instead of packing keeps the fused kernels for padded batches.
    """

    def __init__(self, inputs: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.forward_lstm = nn.LSTM(inputs, dim, batch_first=True)
        self.backward_lstm = nn.LSTM(inputs, dim, batch_first=True)
        self.dropout = LockedDropout(dropout)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, inputs) to (batch, time, 2 * dim)."""
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            # Of frames in full precision PyTorch 2.11 asks oneDNN for a kernel that processors without AVX-512 lack.
            x = x.to(torch.get_autocast_dtype(kind))
        position = torch.arange(x.shape[1], device=x.device)
        reverse = torch.where(position < lengths[:, None], lengths[:, None] - 1 - position, position)
        reverse = (reverse + torch.arange(len(x), device=x.device)[:, None] * x.shape[1]).flatten()
        ahead, _ = self.forward_lstm(x)
        back, _ = self.backward_lstm(_reversed(x, reverse))
        result: torch.Tensor = self.dropout(torch.cat([ahead, _reversed(back, reverse)], dim=-1))
        return result


class TdnnLayer(nn.Module):
    """A residual block of convolution, BatchNorm and ReLU over time (Waibel et al. 1989; Peddinti et al. 2015)."""

    def __init__(self, dim: int, dropout: float, dilation: int) -> None:
        super().__init__()
        self.convolution = TimeConvolution(dim, dim, kernel_size=5, padding=2 * dilation, dilation=dilation)
        self.norm = TimeNorm(dim)
        self.dropout = LockedDropout(dropout)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, dim) to the same shape."""
        keep = valid_frames(lengths, x.shape[1])[:, :, None]
        y: torch.Tensor = self.norm(self.convolution((x * keep).transpose(1, 2))).transpose(1, 2)
        y = self.dropout(torch.relu(y))
        return x + y


class ConformerLayer(nn.Module):
    """A conformer block (Gulati et al. 2020) without positional encoding: its convolution tells the order."""

    HEADS = 4

    def __init__(self, dim: int, dropout: float, kernel: int = 15) -> None:
        super().__init__()
        self.feed_forward_in = _feed_forward(dim, dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, self.HEADS, dropout=dropout, batch_first=True)
        self.convolution_norm = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, 2 * dim)
        self.depthwise = TimeConvolution(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.batch_norm = TimeNorm(dim)
        self.pointwise = nn.Linear(dim, dim)
        self.feed_forward_out = _feed_forward(dim, dropout)
        self.norm = nn.LayerNorm(dim)
        self.dropout = LockedDropout(dropout)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, dim) to the same shape."""
        keep = valid_frames(lengths, x.shape[1])
        x = x + 0.5 * self.feed_forward_in(x)
        y = self.attention_norm(x)
        y, _ = self.attention(y, y, y, key_padding_mask=~keep, need_weights=False)
        x = x + self.dropout(y)
        y = nn.functional.glu(self.gate(self.convolution_norm(x)), dim=-1) * keep[:, :, None]
        y = self.batch_norm(self.depthwise(y.transpose(1, 2))).transpose(1, 2)
        x = x + self.dropout(self.pointwise(nn.functional.silu(y)))
        x = self.norm(x + 0.5 * self.feed_forward_out(x))
        return x


class Encoder(nn.Module):
    """A stack of layers with a final LayerNorm.

    Args:
        name: kind of layer.
        inputs: channels of the front end.
        layers: number of layers.
        dim: width of a layer (per direction for `bilstm`).
        dropout: after every layer.

    Attributes:
        dim: channels of the output.
    """

    def __init__(self, name: EncoderName, inputs: int, layers: int, dim: int, dropout: float) -> None:
        super().__init__()
        if name not in get_args(EncoderName):
            raise ConfigError(f"`model.encoder` is '{name}'.{nearest_hint(name, get_args(EncoderName))}")
        if name == "conformer" and dim % ConformerLayer.HEADS:
            raise ConfigError(f"`model.dim` must be a multiple of {ConformerLayer.HEADS} for a conformer, got {dim}.")
        self.projection: nn.Module = nn.Identity()
        if name == "bilstm":
            self.dim = 2 * dim
            sizes = [inputs] + [self.dim] * (layers - 1)
            stack: list[nn.Module] = [BiLstmLayer(size, dim, dropout) for size in sizes]
        else:
            self.dim = dim
            if inputs != dim:
                self.projection = nn.Linear(inputs, dim)
            if name == "tdnn":
                # Dilations 1, 2, 3 in turn: six layers of kernel 5 then see about two seconds at stride 4.
                stack = [TdnnLayer(dim, dropout, 1 + index % 3) for index in range(layers)]
            else:
                stack = [ConformerLayer(dim, dropout) for _ in range(layers)]
        self.layers = nn.ModuleList(stack)
        self.norm = nn.LayerNorm(self.dim)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, inputs) with (batch,) lengths to (batch, time, dim)."""
        x = self.projection(x)
        for layer in self.layers:
            x = layer(x, lengths)
        x = self.norm(x)
        return x


def _feed_forward(dim: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, 4 * dim),
        nn.SiLU(),
        LockedDropout(dropout),
        nn.Linear(4 * dim, dim),
        LockedDropout(dropout),
    )
