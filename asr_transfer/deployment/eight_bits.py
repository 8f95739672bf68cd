"""Makes weights of eight bits smaller as far as their products need it to be right on every processor.

Processors without instructions for sums of such products (AVX-512 VNNI, AVX-VNNI) multiply what is heard, 0 … 255, by
weights, −127 … 127, and add the products of two neighbours in sixteen bits, where what does not fit is cut off: a model
would then hear one thing where it was written and another elsewhere. oneDNN advises to leave a bit of every weight
unused (Nuances of int8 computations, in its developer guide). Few neighbours are that great, so here the weights of an
output give up only what its own need, a fifth of their range in Whisper-tiny instead of half.
"""

from __future__ import annotations

import numpy as np

GREATEST = (2**15 - 1) // 255
"""Sum of two neighbouring weights whose products with the loudest that is heard still fit."""


def fitted(weights: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights with a smaller scale for each output, where it must be smaller.

    Args:
        weights: whole numbers of eight bits, of any shape.
        axis: axis over which a product of matrices sums.

    Returns:
        Whole numbers in the same shape, and the factors that they became smaller by, in that shape without the axis.
    """
    summed = np.moveaxis(weights, axis, -1).astype(np.float64)
    if summed.shape[-1] % 2:
        summed = np.concatenate([summed, np.zeros_like(summed[..., :1])], axis=-1)
    pairs = np.abs(summed[..., 0::2] + summed[..., 1::2]).max(axis=-1)
    # One less, for both of a pair may be rounded up.
    factors = np.where(pairs <= GREATEST, 1.0, (GREATEST - 1) / np.maximum(pairs, 1.0))
    return np.rint(weights * np.expand_dims(factors, axis)).astype(np.int8), factors
