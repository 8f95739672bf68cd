"""Distortions: seeded, of another kind for every image, and within their bounds."""

from __future__ import annotations

import numpy as np
import torch

from asr_transfer.data.images.distortion import ANGLE, SHIFT, distorted

BARS = torch.zeros(200, 1, 32, 32, dtype=torch.uint8)
BARS[:, :, 6:26, 15:17] = 255


def _turned(seed: int = 0, strength: float = 1.0) -> torch.Tensor:
    return distorted(BARS, strength, np.random.default_rng(seed))


def test_the_seed_decides() -> None:
    assert torch.equal(_turned(), _turned())
    assert not torch.equal(_turned(), _turned(1))
    assert torch.equal(_turned(strength=0), BARS)


def test_every_image_is_distorted_in_its_own_way() -> None:
    assert len({image.numpy().tobytes() for image in _turned()}) == 200


def test_a_bar_stays_about_where_it_was() -> None:
    """Centres move by the shift at most, bends aside, and to no side on the whole; bars lean by the angle."""
    mass = _turned().float()[:, 0]
    mass /= mass.sum((1, 2), keepdim=True)
    places = torch.arange(32.0) - 15.5
    centres = torch.stack([(mass.sum(1) * places).sum(1), (mass.sum(2) * places).sum(1)], 1)
    assert centres.abs().max() < 32 * (SHIFT + 0.1)
    assert centres.std(0).min() > 0.5 and centres.mean(0).abs().max() < 0.4
    x, y = places[None, None] - centres[:, 0, None, None], places[None, :, None] - centres[:, 1, None, None]
    lean = torch.rad2deg(torch.atan2((mass * x * y).sum((1, 2)), (mass * y * y).sum((1, 2))))
    assert ANGLE / 3 < lean.std() < 2 * ANGLE and lean.mean().abs() < 3


def test_channels_are_distorted_together() -> None:
    colour = distorted(BARS.expand(-1, 3, -1, -1), 1.0, np.random.default_rng(0))
    assert torch.equal(colour, _turned().expand(-1, 3, -1, -1))
