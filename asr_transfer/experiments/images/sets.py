"""Gets the sets of images that experiments are made of, by name, at one size and in one number of channels."""

from __future__ import annotations

import functools
from typing import Literal, get_args

import numpy as np
import torch

from asr_transfer.data.images import Images, mnist_m, read_fetched, usps_like
from asr_transfer.data.items import Items, describe
from asr_transfer.errors import ConfigError

DigitSet = Literal["mnist", "mnist-m", "usps-like", "optical-digits"]
"""`usps-like` are MNIST's as USPS scanned them; `optical-digits` are the 1,797 of 8 by 8 pixels that come with
scikit-learn: the test part of Alpaydin and Kaynak (1998)."""

OPTICAL = "scikit-learn"
"""Package with the optical digits."""


@functools.lru_cache(maxsize=8)
def digits(name: DigitSet, split: str) -> Images:
    """Return digits as (items, 3, 28, 28) images.

    Args:
        name: name of the set.
        split: `train` or `test`.

    Raises:
        DataError: the set was not fetched.
        ConfigError: the name is unknown, or scikit-learn is missing.
    """
    if name == "mnist-m":
        return mnist_m(split)
    if name == "mnist":
        return coloured(read_fetched("mnist", split))
    if name == "usps-like":
        return coloured(usps_like(split).resized(28))
    if name == "optical-digits":
        return coloured(_optical(split).resized(28))
    raise ConfigError(f"there is no set of digits '{name}'; take one of {', '.join(get_args(DigitSet))}.")


def coloured(images: Images) -> Images:
    """Return grey images in three equal channels, and coloured ones as they are."""
    if images.pixels.shape[1] == 3:
        return images
    return Images(images.pixels.expand(-1, 3, -1, -1), images.labels, images.classes)


def draw(images: Images, count: int, seed: int, skip: int = 0) -> Images:
    """Return `count` images, or all where there are fewer, in a seeded order behind the first `skip` of that order."""
    order = np.random.default_rng(seed).permutation(len(images))
    return images.pick(torch.from_numpy(order[skip : skip + count]))


def noted(images: Images) -> Items:
    """Return what a run record notes of images."""
    return describe(images.pixels.contiguous().numpy(), images.labels, images.classes)


def _optical(split: str) -> Images:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ConfigError(f"the optical digits come with {OPTICAL}, which is not installed; install it.") from None
    pixels, labels = load_digits(return_X_y=True)
    grey = torch.from_numpy((pixels * 255 / 16).round().astype(np.uint8)).reshape(-1, 1, 8, 8)
    found = Images(grey, torch.from_numpy(labels.astype(np.int64)), tuple(map(str, range(10))))
    return found.pick(slice(0, 1297) if split == "train" else slice(1297, None))
