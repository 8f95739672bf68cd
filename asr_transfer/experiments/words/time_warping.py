"""Compares sequences of vectors by dynamic time warping (Sakoe and Chiba 1978), many pairs at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional


def warped_distances(sequences: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return (sequences, sequences) the distance of every pair.

    It is the least sum, over the ways to align the two, of 1 less the cosine of aligned vectors, a step of both
    counting twice, divided by the two lengths (the symmetric form of the paper): 0 of a sequence and itself.

    Args:
        sequences: Vectors of each, (frames, dim).
    """
    lengths = np.array([len(own) for own in sequences])
    padded = torch.nn.utils.rnn.pad_sequence([functional.normalize(own.float(), dim=1) for own in sequences], True)
    found = np.zeros((len(sequences), len(sequences)), np.float32)
    for number, length in enumerate(lengths):
        others = padded[number:]
        # Frames of this sequence, frames of the others, others: the innermost loop is over all pairs at once.
        costs = (1 - torch.einsum("id,njd->ijn", padded[number, :length], others)).contiguous().numpy()
        before = np.full((costs.shape[1] + 1, len(others)), np.inf, np.float32)
        before[0] = 0
        for row in costs:
            best = np.minimum(before[:-1] + 2 * row, before[1:] + row)
            now = np.full_like(before, np.inf)
            for column, cost in enumerate(row):
                now[column + 1] = np.minimum(best[column], now[column] + cost)
            before = now
        ends = before[lengths[number:], np.arange(len(others))] / (length + lengths[number:])
        found[number, number:] = found[number:, number] = ends
    return torch.from_numpy(found)
