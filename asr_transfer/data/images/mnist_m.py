"""Makes MNIST-M: digits in front of patches of photographs, the target domain of domain-adversarial training.

A pixel is the difference between the digit's and the photograph's, |digit - patch|, in each colour (Ganin et al.,
Domain-adversarial training of neural networks, 2016). The photographs are other ones than theirs, which lie in no
package; source-only accuracy comes out as they report it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from asr_transfer.data.images.images import Images
from asr_transfer.data.images.pictures import decode, is_picture
from asr_transfer.data.images.reading import read_fetched
from asr_transfer.errors import DataError
from asr_transfer.fetched import fetched_images

REDUCED = 4
"""Factor by which photographs are made smaller, so that a patch shows things and not the grain."""

TEST_EVERY = 5
"""Every so many photographs, one is kept for the test split; train and test share none."""


def mnist_m(split: str, seed: int = 0) -> Images:
    """Make MNIST-M of the fetched sets `mnist` and `photographs`: each digit of a split before a patch of its own.

    Args:
        split: `train` or `test`.
        seed: Random seed of the patches.

    Returns:
        (items, 3, 28, 28) images in the order of MNIST's digits, with their labels.

    Raises:
        DataError: One of the two was not fetched.
    """
    digits = read_fetched("mnist", split)
    return in_front_of(digits, photographs(split), np.random.default_rng((seed, split == "test")))


def photographs(split: str, reduced: int = REDUCED) -> list[torch.Tensor]:
    """Return the fetched photographs of a split, `train` or `test`, as (3, height, width) bytes each.

    Raises:
        DataError: They were not fetched, or one is damaged.
    """
    files = sorted(file for file in fetched_images("photographs").rglob("*") if is_picture(file))
    chosen = [file for number, file in enumerate(files) if (number % TEST_EVERY == TEST_EVERY - 1) == (split == "test")]
    return [decode(file, True, reduced) for file in chosen]


def in_front_of(digits: Images, backgrounds: Sequence[torch.Tensor], random: np.random.Generator) -> Images:
    """Return grey images before random patches of backgrounds: the absolute difference, in each colour.

    Args:
        digits: (items, 1, height, width) images.
        backgrounds: (3, height, width) bytes each.
        random: Source of the patches.

    Raises:
        DataError: There is no background, or one is smaller than the images.
    """
    items, _, height, width = digits.pixels.shape
    if not backgrounds or any(one.shape[1] < height or one.shape[2] < width for one in backgrounds):
        raise DataError(f"the backgrounds must be at least {height} × {width} pixels each, and one must be given.")
    chosen = random.integers(len(backgrounds), size=items)
    places = random.random((items, 2))
    pixels = torch.empty(items, 3, height, width, dtype=torch.uint8)
    for item, number in enumerate(chosen):
        background = backgrounds[number]
        top = int(places[item, 0] * (background.shape[1] - height + 1))
        left = int(places[item, 1] * (background.shape[2] - width + 1))
        patch = background[:, top : top + height, left : left + width].to(torch.int16)
        pixels[item] = (digits.pixels[item].to(torch.int16) - patch).abs().to(torch.uint8)
    return Images(pixels, digits.labels, digits.classes)
