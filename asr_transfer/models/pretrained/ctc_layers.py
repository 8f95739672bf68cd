"""Runs the layers of Transformers' CTC models one by one, each family's with what they ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from asr_transfer.models.encoders import valid_frames


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
    bias = bias[None].expand(hidden.shape[0], -1, -1, -1).flatten(0, 1)  # not `len`, which a graph would keep
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
