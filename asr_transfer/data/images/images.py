"""Defines what every reader and maker of images gives: pixels, labels, and the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from asr_transfer.errors import DataError


@dataclass(frozen=True)
class Images:
    """Images of one size, in memory.

    Attributes:
        pixels: (items, channels, height, width) brightness from 0 to 255, as bytes (uint8).
        labels: (items,) numbers of their classes (int64); None where none are known.
        classes: Names of the classes, in the order of their numbers.
    """

    pixels: torch.Tensor
    labels: torch.Tensor | None
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def pick(self, items: torch.Tensor | Sequence[int] | slice) -> Images:
        """Return some of the images, by their numbers, by a (items,) mask, or by a slice."""
        index = items if isinstance(items, slice) else torch.as_tensor(items)
        return replace(self, pixels=self.pixels[index], labels=None if self.labels is None else self.labels[index])

    def resized(self, height: int, width: int | None = None) -> Images:
        """Return the images at another size: of `height` by `width`, square where there is no width."""
        return replace(self, pixels=resize(self.pixels, height, width or height))


def resize(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return (items, channels, height, width) bytes at another size, bilinear with a filter against aliasing."""
    if pixels.shape[2:] == (height, width):
        return pixels
    parts = [
        interpolate(part.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
        for part in torch.split(pixels, 4096)  # not all of a set as floats at once
    ]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])


def require_labels(labels: torch.Tensor, items: int, classes: int, where: Path | str) -> None:
    """Refuse labels that are not one for each image, or that stand for no class.

    Args:
        labels: (labels,) numbers of classes.
        items: Number of images.
        classes: Number of classes.
        where: File of the labels, for the message.

    Raises:
        DataError: There are more or fewer labels than images, or one is out of range.
    """
    if len(labels) != items:
        raise DataError(
            f"{where}: holds {len(labels):,} labels for {items:,} images; give the labels that belong to these images."
        )
    wrong = ((labels < 0) | (labels >= classes)).nonzero().flatten()
    if len(wrong):
        item = int(wrong[0])
        raise DataError(
            f"{where}: the label of image {item + 1} is {int(labels[item])}, but the {classes} classes have the "
            f"numbers 0 to {classes - 1}; mend the labels or name all classes."
        )
