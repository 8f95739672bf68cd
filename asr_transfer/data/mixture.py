"""Samples items of several languages into batches, by temperature, as a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asr_transfer.data.batching import LengthBuckets


def temperature_shares(amounts: Sequence[float], alpha: float) -> list[float]:
    """Return the shares p ∝ amount^alpha: as they are for 1, equal for 0 (Arivazhagan et al. 2019, alpha = 1 / T).

    Args:
        amounts: speech of each language, each above 0.
        alpha: power of the amounts, from 0 to 1; 0.3 to 0.5 are usual.
    """
    weights = (np.asarray(amounts, dtype=float) / max(amounts)) ** alpha
    return [float(share) for share in weights / weights.sum()]


class MixedBuckets(LengthBuckets):
    """Batches of items of similar length from several sets, of which each has its share.

    Items are numbered through all sets. An epoch holds the next items of each set's own endless passes, so many that
    their summed costs have the shares asked for; inside a set every item comes equally often. An epoch is as long as
    the set drawn most often needs to come once, but has at least `BATCHES` batches where there is speech enough: in
    long epochs items that come several times would share batches with themselves, in short ones there would be too
    few to find items of similar length. With shares as the amounts are, or one set, the batches are those of
    `LengthBuckets`.

    Args:
        costs: (items,) cost of each item of each set.
        shares: share of each set in the summed costs; they add up to 1.
        budget: greatest padded cost of a batch; an item above it makes a batch alone.
        seed: random seed of jitter and order.
        rank, world: this process's share under `torchrun`.
        labels: label of each item, through all sets, where a batch is to hold items of one; None mixes them.
    """

    BATCHES = 20
    _PARTS = 2**20
    """Items per epoch are kept in such parts of an item, for sums of floats would drift."""

    def __init__(
        self,
        costs: Sequence[np.ndarray],
        shares: Sequence[float],
        budget: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(np.concatenate(list(costs)), budget, seed, rank, world, labels)
        amounts = [int(np.sum(part)) for part in costs]
        wanted = [(amount, share) for amount, share in zip(amounts, shares, strict=True) if share > 0]
        once = min(amount / share for amount, share in wanted)
        length = max(once, min(sum(amounts), self.BATCHES * budget))
        self._sizes = [len(part) for part in costs]
        self._firsts = np.cumsum([0, *self._sizes])
        self._quotas = [
            round(self._PARTS * len(part) * share * length / amount)
            for part, amount, share in zip(costs, amounts, shares, strict=True)
        ]

    def _items(self, number: int) -> np.ndarray:
        parts = []
        for index, (size, quota) in enumerate(zip(self._sizes, self._quotas, strict=True)):
            begin, end = number * quota // self._PARTS, (number + 1) * quota // self._PARTS
            for turn in range(begin // size, -(-end // size)):
                order = np.random.default_rng((self._seed, index, turn, 1)).permutation(size)
                own = order[max(begin - turn * size, 0) : end - turn * size]
                # In their own order, so that a whole pass is what `LengthBuckets` sees.
                parts.append(self._firsts[index] + np.sort(own))
        return np.concatenate(parts)
