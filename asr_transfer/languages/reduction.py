"""Share of errors that one system makes less than another, over all seeds, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr_transfer.errors import DataError
from asr_transfer.evaluation.scoring import Alignments
from asr_transfer.evaluation.significance import LEVEL, RESAMPLES, resampled_sums


@dataclass(frozen=True)
class Reduction:
    """A system against another one.

    Attributes:
        share: of the other's errors that it makes less; negative where it makes more.
        low, high: its interval at `LEVEL`.
        p: two-sided, that the two err alike.
    """

    share: float
    low: float
    high: float
    p: float


def reduction(
    before: Sequence[Alignments], after: Sequence[Alignments], resamples: int = RESAMPLES, seed: int = 0
) -> Reduction:
    """Compare two systems, run with the same seeds on the same utterances.

    Seeds are resampled, then the utterances of each; with one seed, speakers and their utterances (Bisani and Ney
    2004).

    Args:
        before: the other system's results by seed.
        after: the system's, in the same order.
        resamples: of the bootstrap.
        seed: decides them.

    Raises:
        DataError: there is no seed, or the utterances differ.
    """
    if not before or len(before) != len(after):
        raise DataError(f"{len(before)} and {len(after)} seeds cannot be compared; run both with the same ones.")
    for one, other in zip(before, after, strict=True):
        if one.ids != other.ids or one.references != other.references:
            raise DataError("the systems were scored on different utterances; compare them on the same ones.")
    errors = np.stack([np.concatenate([a.errors for a in side]) for side in (before, after)])
    clusters = [str(number) for number, a in enumerate(before) for _ in a.ids]
    if len(before) == 1:
        clusters = list(before[0].speakers)
    sums = resampled_sums(errors, clusters, resamples, seed)
    changes = sums[1] - sums[0]
    below, above = int((changes < 0).sum()), int((changes > 0).sum())
    low, high = np.quantile(1 - sums[1] / np.maximum(sums[0], 1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    total = errors.sum(1)
    return Reduction(
        1 - float(total[1]) / max(1, int(total[0])),
        low,
        high,
        min(1.0, 2 * (resamples - max(below, above) + 1) / (resamples + 1)),
    )


def pooled_rate(seeds: Sequence[Alignments]) -> float:
    """Return a system's error rate over all seeds."""
    return sum(int(a.errors.sum()) for a in seeds) / max(1, sum(int(a.reference.sum()) for a in seeds))
