"""Computes the parts of Whisper's decoder (Radford et al. 2022), named as in its published weights.

Hidden vectors are (batch, time, dim). Norms stand before what they feed; keys have no bias.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import nn
from torch.nn import functional

from asr_transfer.config import MOST_LAYERS, Channels
from asr_transfer.models.pretrained.whisper_layers import Front
from asr_transfer.ranges import Count, Range, Ranged

SILENCE = 2.0
"""How far below its loudest value silence lies in a recording's whisper-mel features: 8 powers of ten, divided by 4."""
LEAST, BEHIND = 600, 100
"""Frames, of 10 ms, of the shortest window in training, and of the silence that is left behind the last sound there."""


@dataclass
class Kept:
    """Keys and values that a decoder layer need not compute again.

    Attributes:
        own: those of the tokens so far, (rows, heads, tokens, dim) each; None before the first.
        states: those of the encoder's states, (batch, heads, frames, dim) each.
    """

    states: tuple[torch.Tensor, torch.Tensor]
    own: tuple[torch.Tensor, torch.Tensor] | None = None


@dataclass
class DecoderState:
    """What decoding keeps between tokens.

    Attributes:
        layers: keys and values of each decoder layer.
        length: number of tokens so far.
    """

    layers: list[Kept] = field(default_factory=list)
    length: int = 0

    def pick(self, rows: torch.Tensor) -> None:
        """Go on with these (n,) rows of the hypotheses, of the same utterances in the same order."""
        for kept in self.layers:
            if kept.own is not None:
                kept.own = (kept.own[0][rows], kept.own[1][rows])

    def keep(self, items: torch.Tensor) -> None:
        """Go on with these (n,) utterances, each with one row."""
        self.pick(items)
        for kept in self.layers:
            kept.states = (kept.states[0][items], kept.states[1][items])


@dataclass(frozen=True)
class DecoderSizes(Ranged, section="decoder"):
    """Sizes of a published decoder, which is as wide as the encoder.

    Attributes:
        layers: Number of layers.
        heads: Number of attention heads.
        feed_forward: Width inside the feed-forward parts.
        tokens: Number of tokens.
        positions: Greatest number of tokens of a text, the prompt's included.
        prompt: Number of tokens that every text follows: 4 of a model of many languages, 2 of one of English alone.
        alignment: Layer and attention head, counted from 0, of each head that tells when a word was said; other
            programs find the times of words by them. None where nobody said which they are.
    """

    layers: Annotated[int, Range(at_least=1, at_most=MOST_LAYERS)]
    heads: Count
    feed_forward: Channels
    tokens: Annotated[int, Range(at_least=1, at_most=10_000_000)]
    positions: Annotated[int, Range(at_least=8, at_most=100_000)] = 448
    prompt: Count = 4
    alignment: tuple[tuple[int, int], ...] = ()


class Attention(nn.Module):
    """Scaled dot-product attention of several heads."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, dim)
        self.q_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def keys_and_values(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, dim) to keys and values, (batch, heads, time, dim / heads) each."""
        return self._divided(self.k_proj(hidden)), self._divided(self.v_proj(hidden))

    def forward(
        self, hidden: torch.Tensor, keys_and_values: tuple[torch.Tensor, torch.Tensor], causal: bool = False
    ) -> torch.Tensor:
        """Map (rows, time, dim) hidden vectors to the same shape.

        Rows may be several to an utterance of the keys and values, which none of them is repeated for.
        """
        keys, values = keys_and_values
        rows, time, dim = hidden.shape
        query = self.q_proj(hidden).view(len(keys), -1, dim)
        found = functional.scaled_dot_product_attention(self._divided(query), keys, values, is_causal=causal)
        mapped: torch.Tensor = self.out_proj(found.transpose(1, 2).reshape(rows, time, dim))
        return mapped

    def _divided(self, vectors: torch.Tensor) -> torch.Tensor:
        batch, time, dim = vectors.shape
        return vectors.view(batch, time, self.heads, dim // self.heads).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's states, and a feed-forward network."""

    def __init__(self, dim: int, sizes: DecoderSizes) -> None:
        super().__init__()
        self.self_attn = Attention(dim, sizes.heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.encoder_attn = Attention(dim, sizes.heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, sizes.feed_forward), nn.Linear(sizes.feed_forward, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, hidden: torch.Tensor, kept: Kept) -> torch.Tensor:
        """Map (rows, tokens, dim) of new tokens to the same shape, and add their keys and values to `kept`.

        Several new tokens can only be the first ones.
        """
        normed = self.self_attn_layer_norm(hidden)
        keys, values = self.self_attn.keys_and_values(normed)
        if kept.own is not None:
            keys, values = torch.cat([kept.own[0], keys], 2), torch.cat([kept.own[1], values], 2)
        kept.own = (keys, values)
        hidden = hidden + self.self_attn(normed, kept.own, causal=hidden.shape[1] > 1)
        hidden = hidden + self.encoder_attn(self.encoder_attn_layer_norm(hidden), kept.states)
        fed: torch.Tensor = self.fc2(functional.gelu(self.fc1(self.final_layer_norm(hidden))))
        return hidden + fed


class Window(Front):
    """The encoder's front end with silence behind what is shorter than a window.

    In training, windows end a while behind the last sound of their batch: recordings of a few seconds cost a seventh,
    and what is learnt from them holds in whole windows, which everything else hears.
    """

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) to ((batch, frames, dim), (batch,) lengths), all of them a whole window."""
        steps = 2 * len(self.positions)
        filled = _filled(x, lengths, steps)
        if self.training:
            steps = min(steps, max(LEAST, _heard(filled) + BEHIND) // 2 * 2)
        return super().forward(filled[:, :steps], torch.full_like(lengths, steps))


class Embedding(nn.Module):
    """Vectors of tokens, which are also what logits are made by, and of their learnt positions."""

    def __init__(self, tokens: int, dim: int, positions: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(tokens, dim)
        self.positions = nn.Parameter(torch.zeros(positions, dim))

    def forward(self, tokens: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Map (rows, n) tokens, the first of them at position `first`, to (rows, n, dim)."""
        vectors: torch.Tensor = self.tokens(tokens)
        return vectors + self.positions[first : first + tokens.shape[1]]


class TiedHead(nn.Module):
    """Logits of tokens by the decoder's own vectors of them; it has no weights of its own."""

    def __init__(self, embedding: Embedding) -> None:
        super().__init__()
        self._embedding = (embedding,)  # in a tuple, for it is no part of this one

    @property
    def out_features(self) -> int:
        """Number of tokens."""
        return self._embedding[0].tokens.num_embeddings

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map (..., dim) to (..., tokens)."""
        return functional.linear(hidden, self._embedding[0].tokens.weight)


def _heard(features: torch.Tensor) -> int:
    """Return the frames of (batch, steps, mels) features up to the last one of any row that is not as its window ends.

    A window that speech does not fill ends in silence, masked bands included.
    """
    sounding = (features != features[:, -1:]).any(2)
    return int((sounding * torch.arange(1, features.shape[1] + 1, device=features.device)).amax())


def _filled(features: torch.Tensor, lengths: torch.Tensor, steps: int) -> torch.Tensor:
    """Return (batch, steps, mels) features with those of silence behind the valid ones."""
    if features.shape[1] == steps and bool((lengths == steps).all()):
        return features
    inside = (torch.arange(steps, device=features.device) < lengths[:, None])[:, :, None]
    padded = functional.pad(features, (0, 0, 0, max(0, steps - features.shape[1])))[:, :steps]
    loudest = padded.masked_fill(~inside, -torch.inf).amax((1, 2), keepdim=True)
    return torch.where(inside, padded, loudest - SILENCE)
