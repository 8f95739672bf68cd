"""Changes images at random, as training wants it; a generator decides, so that a run can be repeated."""

from __future__ import annotations

import torch
from torch.nn import functional


def shifted(images: torch.Tensor, generator: torch.Generator, most: int = 2) -> torch.Tensor:
    """Return (batch, channels, height, width) images moved by up to `most` pixels each way; edges are repeated."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (most,) * 4, mode="replicate")
    moves = torch.randint(2 * most + 1, (2, count), generator=generator)
    rows = moves[0][:, None] + torch.arange(height)
    columns = moves[1][:, None] + torch.arange(width)
    items = torch.arange(count)[:, None, None]
    # Indexing puts the axis of channels last.
    return padded[items, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def dimmed(images: torch.Tensor, generator: torch.Generator, least: float = 0.6, most: float = 1.4) -> torch.Tensor:
    """Return images whose distance from their mean, in each channel, is scaled by a random factor."""
    factors = torch.empty(len(images), images.shape[1], 1, 1).uniform_(least, most, generator=generator)
    mean = images.mean((2, 3), keepdim=True)
    return mean + (images - mean) * factors.to(images.dtype)


def flipped(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images of which each is mirrored, left to right, with an even chance."""
    turned = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(turned[:, None, None, None], images.flip(-1), images)


def shifted_and_dimmed(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images moved a little and of another contrast."""
    return dimmed(shifted(images, generator), generator)
