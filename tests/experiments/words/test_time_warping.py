"""Dynamic time warping: what the slow recursion says, and what any alignment must fulfil."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from asr_transfer.experiments.words.time_warping import warped_distances


def _slow(first: torch.Tensor, second: torch.Tensor) -> float:
    cost = 1 - functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T
    best: dict[tuple[int, int], float] = {(-1, -1): 0.0}
    far = float("inf")
    for i in range(len(first)):
        for j in range(len(second)):
            own = float(cost[i, j])
            best[i, j] = min(
                best.get((i - 1, j - 1), far) + 2 * own,
                best.get((i - 1, j), far) + own,
                best.get((i, j - 1), far) + own,
            )
            if (i, j) == (0, 0):
                best[i, j] = 2 * own  # the first pair begins both
    return best[len(first) - 1, len(second) - 1] / (len(first) + len(second))


def test_distances_are_those_of_the_recursion_and_zero_of_what_is_only_slower() -> None:
    random = torch.Generator().manual_seed(0)
    sequences = [torch.randn(length, 3, generator=random) for length in (4, 7, 5)]
    found = warped_distances(sequences)
    for i, first in enumerate(sequences):
        for j, second in enumerate(sequences):
            assert float(found[i, j]) == pytest.approx(_slow(first, second), abs=1e-5)
    assert torch.equal(found, found.T)
    assert float(warped_distances([sequences[0], sequences[0].repeat_interleave(2, 0)])[0, 1]) == pytest.approx(
        0, abs=1e-6
    )
