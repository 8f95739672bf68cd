"""Makes digits like those of USPS out of MNIST's: 16 × 16 pixels that a digit fills, with thicker, softer strokes.

USPS itself lies in no package; `read_images` reads a copy. Its digits were cut out and scaled to fill the image, and
scanned coarsely, which is what is done here to MNIST's: the box of the ink is scaled to the whole image (narrow digits
stay narrow), then strokes are made thicker and blurred by a seeded amount each. The writers are MNIST's: that part of
the real shift is missing, for which `small_digits`, of other writers, is the third domain.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from asr_transfer.data.images.images import Images
from asr_transfer.data.images.reading import read_fetched

SIDE = 16
"""Height and width of USPS's images."""

_INK = 64
"""Brightness from which a pixel counts as ink."""
_FINER = 3
"""Factor by which digits are drawn finer than they come out."""
_NARROWEST = 0.8
"""Width, in parts of the height, below which a digit is not stretched to the full width but stays narrow."""
_THICKER, _SOFTER = (0.0, 0.6), (0.25, 0.6)
"""Bounds of the share of strokes made a pixel thicker, and of the deviation of the blur in pixels."""


def usps_like(split: str, seed: int = 0) -> Images:
    """Make USPS-like digits of the fetched set `mnist`.

    Args:
        split: `train` or `test`.
        seed: Random seed of the strokes.

    Returns:
        (items, 1, 16, 16) images in the order of MNIST's digits, with their labels.

    Raises:
        DataError: MNIST was not fetched.
    """
    return filling(read_fetched("mnist", split), np.random.default_rng((seed, split == "test")))


def filling(digits: Images, random: np.random.Generator) -> Images:
    """Return digits that fill 16 × 16 pixels, with strokes that are thicker and softer.

    Args:
        digits: (items, 1, height, width) images, white on black.
        random: Source of the thickness and softness of each.
    """
    parts = [_filling(part, random) for part in torch.split(digits.pixels, 4096)]
    return Images(torch.cat(parts), digits.labels, digits.classes)


def _filling(pixels: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    items, _, height, width = pixels.shape
    top, bottom = _ends((pixels[:, 0] >= _INK).any(2))
    left, right = _ends((pixels[:, 0] >= _INK).any(1))
    high, wide = bottom - top, right - left
    wide = torch.maximum(wide, _NARROWEST * high)
    theta = torch.zeros(items, 2, 3, dtype=torch.float64)
    theta[:, 0, 0], theta[:, 1, 1] = wide / width, high / height
    theta[:, 0, 2], theta[:, 1, 2] = (left + right) / width - 1, (top + bottom) / height - 1
    fine = SIDE * _FINER
    grid = affine_grid(theta, [items, 1, fine, fine], align_corners=False).float()
    large = grid_sample(pixels.float() / 255, grid, align_corners=False)
    thicker = torch.nn.functional.max_pool2d(large, _FINER, 1, _FINER // 2)
    share = torch.from_numpy(random.uniform(*_THICKER, (items, 1, 1, 1))).float()
    inked = share * thicker + (1 - share) * large
    soft = _blurred(inked, torch.from_numpy(random.uniform(*_SOFTER, items)).float() * _FINER)
    small = torch.nn.functional.avg_pool2d(soft, _FINER)
    brightest = small.amax((1, 2, 3), keepdim=True).clamp_min(1e-3)
    return (small / brightest * 255).round().clamp(0, 255).to(torch.uint8)


def _ends(inked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, for (items, places), the first place of ink and the one behind the last; without ink, both ends."""
    places = torch.arange(inked.shape[1], dtype=torch.float64)
    first = torch.where(inked, places, torch.inf).amin(1)
    last = torch.where(inked, places, -torch.inf).amax(1)
    blank = ~inked.any(1)
    return first.masked_fill(blank, 0), (last + 1).masked_fill(blank, inked.shape[1])


def _blurred(images: torch.Tensor, deviations: torch.Tensor) -> torch.Tensor:
    """Return (items, 1, height, width) images, each blurred by a Gaussian of its own deviation in pixels."""
    reach = 3 * _FINER
    places = torch.arange(-reach, reach + 1.0)
    kernels = torch.exp(-0.5 * (places / deviations[:, None]) ** 2)
    kernels /= kernels.sum(1, keepdim=True)
    rows = pad(images.transpose(0, 1), (reach,) * 4, mode="constant")
    across = conv2d(rows, kernels[:, None, None, :], groups=len(images))
    return conv2d(across, kernels[:, None, :, None], groups=len(images)).transpose(0, 1)
