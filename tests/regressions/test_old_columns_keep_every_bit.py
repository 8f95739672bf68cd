"""Heads of old columns answer with the bits they had: their vectors lie in memory as they did without a new column."""

from __future__ import annotations

import torch

from asr_transfer.config import ImageConfig
from asr_transfer.models.image import ImageModel
from asr_transfer.models.progressive import ProgressiveImageModel


def _column(seed: int, head: str) -> ImageModel:
    torch.manual_seed(seed)
    return ImageModel(ImageConfig(channels=(4, 5), size=8, halve=(0,), dense=(7,)), {head: 10}).eval()


@torch.no_grad()
def test_old_answers_are_the_same_bits_below_any_number_of_columns() -> None:
    first = _column(0, "one")
    second = ProgressiveImageModel(first, _column(1, "two"), rank=3)
    third = ProgressiveImageModel(second, _column(2, "three"), rank=3)
    images = torch.rand(60, 1, 8, 8)
    for model in (second, third):
        assert torch.equal(first.head("one")(first(images)[0]), model.head("one")(model(images)[0]))
    assert torch.equal(second.head("two")(second(images)[0]), third.head("two")(third(images)[0]))
