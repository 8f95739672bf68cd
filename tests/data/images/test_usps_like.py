"""Digits like those of USPS: they fill the image, narrow ones stay narrow, and strokes vary by a seed."""

from __future__ import annotations

import numpy as np
import torch

from asr_transfer.data.images import Images
from asr_transfer.data.images.usps_like import filling


def _digits() -> Images:
    pixels = torch.zeros(30, 1, 28, 28, dtype=torch.uint8)
    pixels[0::3, 0, 4:20, 12:14] = 200  # a 1 at the left and above
    pixels[1::3, 0, 8:22, 6:9] = pixels[1::3, 0, 8:22, 17:20] = 200  # as wide as high
    pixels[2::3, 0, 8:22, 6:20] = pixels[2::3, 0, 8:22, 6:20] + 255
    pixels[2::3, 0, 10:20, 8:18] = 0
    return Images(pixels, torch.arange(30) % 3, ("1", "11", "0"))


def test_digits_fill_the_image() -> None:
    images = filling(_digits(), np.random.default_rng(0))
    assert images.pixels.shape == (30, 1, 16, 16) and images.pixels.dtype == torch.uint8
    inked = images.pixels[:, 0] > 100
    assert inked.any(2).all(), "from top to bottom"
    assert inked[1::3].any(1)[:, [0, 15]].all() and inked[2::3].any(1)[:, [0, 15]].all(), "and from side to side"
    assert images.pixels.amax((1, 2, 3)).min() == 255
    assert images.labels is not None and images.labels.tolist() == [0, 1, 2] * 10


def test_a_narrow_digit_stays_narrow_and_in_the_middle() -> None:
    ones = (filling(_digits(), np.random.default_rng(0)).pixels[0::3, 0] > 100).any(1)
    assert ones.sum(1).max() <= 6
    assert (ones.float() @ (torch.arange(16.0) - 7.5) / ones.sum(1)).abs().max() <= 1


def test_strokes_vary_by_the_seed() -> None:
    first = filling(_digits(), np.random.default_rng(0)).pixels
    assert torch.equal(first, filling(_digits(), np.random.default_rng(0)).pixels)
    assert not torch.equal(first, filling(_digits(), np.random.default_rng(1)).pixels)
    assert first[2::3].float().mean((1, 2, 3)).std() > 3


def test_an_empty_image_stays_empty() -> None:
    blank = Images(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), None, ())
    assert filling(blank, np.random.default_rng(0)).pixels.max() == 0
