"""Decodes CTC greedily: the best token of every frame, repetitions merged, blanks removed (Graves et al. 2006)."""

from __future__ import annotations

import torch


def greedy(logits: torch.Tensor, lengths: torch.Tensor, blank: int = 0) -> list[list[int]]:
    """Decode a batch.

    Args:
        logits: (batch, frames, tokens).
        lengths: (batch,) valid frames.
        blank: index of the blank.

    Returns:
        Token indices of each utterance.
    """
    best = logits.argmax(-1)
    frames = torch.arange(best.shape[1], device=best.device)
    keep = (best != blank) & (frames < lengths[:, None])
    keep[:, 1:] &= best[:, 1:] != best[:, :-1]
    counts = keep.sum(1).tolist()
    return [part.tolist() for part in torch.split(best[keep].cpu(), counts)]
