"""scikit-learn's digits, divided by a seed."""

from __future__ import annotations

import pytest
import torch

from asr_transfer.data.images import small_digits
from asr_transfer.errors import DataError


def test_each_digit_is_in_one_split() -> None:
    train, test = small_digits("train"), small_digits("test")
    assert (len(train), len(test)) == (1347, 450) and train.pixels.shape[1:] == (1, 8, 8)
    assert train.pixels.dtype == torch.uint8 and train.pixels.max() == 255
    assert test.labels is not None and torch.bincount(test.labels).min() > 30
    both = torch.cat([train.pixels, test.pixels]).flatten(1)
    assert len(both.unique(dim=0)) == 1797


def test_the_division_and_the_size_are_given() -> None:
    assert small_digits("test", 28).pixels.shape == (450, 1, 28, 28)
    assert not torch.equal(small_digits("test").pixels, small_digits("test", seed=1).pixels)
    with pytest.raises(DataError, match=r"no split 'dev'"):
        small_digits("dev")
