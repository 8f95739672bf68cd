"""Distorts images at random: turned, slanted, scaled, shifted and bent, so that no two drawings are the same.

An affine map and a smooth field of displacements (Simard, Steinkraus & Platt, Best practices for convolutional neural
networks applied to visual document analysis, 2003).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate

from asr_transfer.progress import tracked

ANGLE, SLANT, SCALE, SHIFT, BEND = 12.0, 0.2, 0.15, 0.08, 0.05
"""Greatest angle in degrees, slant, logarithm of the scale and shift in parts of the side; deviation of the bends."""

_CORNERS = 4
"""Points of a side whose displacements are drawn; those between follow smoothly."""


def distorted(pixels: torch.Tensor, strength: float, random: np.random.Generator) -> torch.Tensor:
    """Return images, each distorted in a way of its own; what enters from outside is black.

    Args:
        pixels: (items, channels, height, width) bytes.
        strength: Factor on all distortions; 0 leaves the images as they are.
        random: Source of the distortions.
    """
    if strength == 0 or not len(pixels):
        return pixels
    parts = torch.split(pixels, 4096)
    return torch.cat([_distorted(part, strength, random) for part in tracked(parts, "distorting", len(parts), "part")])


def _distorted(pixels: torch.Tensor, strength: float, random: np.random.Generator) -> torch.Tensor:
    items, _, height, width = pixels.shape
    angle, slant, scale, right, down = strength * random.uniform(-1, 1, (5, items))
    angle, scale = np.radians(ANGLE) * angle, np.exp(SCALE * scale)
    cos, sin, slant = scale * np.cos(angle), scale * np.sin(angle), SLANT * slant
    # Of what is seen at a place, where it comes from; the side of a map is 2 long.
    rows = [[cos, slant * cos - sin, 2 * SHIFT * right], [sin, slant * sin + cos, 2 * SHIFT * down]]
    grid = affine_grid(torch.tensor(np.array(rows).transpose(2, 0, 1)), [items, 1, height, width], align_corners=False)
    bends = torch.from_numpy(2 * BEND * strength * random.standard_normal((items, 2, _CORNERS, _CORNERS)))
    field = interpolate(bends, (height, width), mode="bicubic", align_corners=True)
    places = (grid + field.permute(0, 2, 3, 1)).float()
    return grid_sample(pixels.float(), places, align_corners=False).round().clamp(0, 255).to(torch.uint8)
