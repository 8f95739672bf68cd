"""Gives scikit-learn's digits: 1,797 of 8 × 8 pixels, by writers of whom MNIST has none.

They are the third domain of digits beside MNIST and `usps_like`: real ones, of other hands and another scan (Alpaydın &
Kaynak, Optical recognition of handwritten digits, 1998; 13 writers of the test set). scikit-learn comes with librosa.
"""

from __future__ import annotations

import numpy as np
import torch

from asr_transfer.data.images.images import Images
from asr_transfer.errors import DataError, nearest_hint

TEST_EVERY = 4
"""Every so many digits of the order below, one is for the test."""


def small_digits(split: str, size: int = 8, seed: int = 0) -> Images:
    """Return the digits of a split, white on black.

    Args:
        split: `train`, three quarters of the digits, or `test`, the others; the same writers are in both.
        size: Height and width; 8 as they are.
        seed: Random seed of the division.

    Raises:
        DataError: There is no such split.
    """
    if split not in ("train", "test"):
        raise DataError(f"the small digits have no split '{split}'.{nearest_hint(split, ('train', 'test'))}")
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    own = np.sort(order[::TEST_EVERY] if split == "test" else np.delete(order, np.s_[::TEST_EVERY]))
    images = torch.from_numpy(np.round(pixels[own] * 255 / 16).astype(np.uint8)).reshape(-1, 1, 8, 8)
    found = Images(images, torch.from_numpy(labels[own]).long(), tuple("0123456789"))
    return found.resized(size)
