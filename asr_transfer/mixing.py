"""Mixes samples of a recording that comes in pieces: to another rate, faster, and of several channels to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

LEAST_OF_UNRELATED = 0.5
"""Level of the channels' mean below which they cancel each other, as a share of what unrelated channels would leave."""


def loudest_of_cancelling(pieces: Iterable[np.ndarray]) -> int | None:
    """Return the loudest of channels that cancel each other in their mean; None where they do not, or are not several.

    Args:
        pieces: consecutive (samples, channels) of a recording.
    """
    count, sums, squares = 0, np.zeros(1), np.zeros(1)
    for piece in pieces:
        if piece.shape[1] == 1:  # as most recordings have: nothing that could cancel
            return None
        every = np.concatenate([piece, piece.mean(axis=1, keepdims=True)], axis=1, dtype=np.float64)
        count, sums, squares = count + len(every), sums + every.sum(0), squares + np.square(every).sum(0)
    if count == 0 or len(sums) <= 2:
        return None
    # Deviations, not powers: a constant offset is not sound.
    *levels, mean = np.sqrt(np.maximum(squares / count - np.square(sums / count), 0))
    unrelated = np.sqrt(np.square(levels).sum()) / len(levels)
    return int(np.argmax(levels)) if mean < LEAST_OF_UNRELATED * unrelated else None


def resampled(pieces: Iterable[np.ndarray], rate: float, wanted: float) -> Iterator[np.ndarray]:
    """Yield consecutive pieces at another rate: the bits that converting them as one gives."""
    if rate == wanted:
        yield from pieces
        return
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    held = np.zeros(0, np.float32)  # one behind, since the last piece must be known as such
    for number, piece in enumerate(pieces):
        if number:
            yield stream.resample_chunk(held)
        held = piece
    yield stream.resample_chunk(held, last=True)
