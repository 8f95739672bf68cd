"""A network that is fed images which it was not made for says so in a sentence, instead of the shapes of products."""

from __future__ import annotations

import pytest
import torch

from asr_transfer.config import ImageConfig
from asr_transfer.errors import ConfigError
from asr_transfer.models.image import ImageModel


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 8, 8), "have 3 channels but the model takes 1; set `model.inputs`"),
        ((2, 1, 9, 8), "have 9 × 8 pixels but the model's dense layers were made for 8 × 8; set `model.size`"),
    ],
)
def test_what_does_not_fit_is_named(shape: tuple[int, ...], message: str) -> None:
    model = ImageModel(ImageConfig(channels=(3,), size=8, dense=(4,)), {"main": 2})
    with pytest.raises(ConfigError, match=message):
        model(torch.zeros(shape))
    assert model(torch.zeros(2, 1, 8, 8))[0].shape == (2, 4)


def test_without_dense_layers_any_size_fits() -> None:
    model = ImageModel(ImageConfig(channels=(3,), size=8), {"main": 2})
    assert model(torch.zeros(2, 1, 11, 7))[0].shape == (2, 3)
