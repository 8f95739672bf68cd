"""Decodes image files by Pillow: PNG, JPEG and their like."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from asr_transfer.data.images.images import resize
from asr_transfer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm")
"""Endings of the files that are taken for images."""

_GREY = ("1", "L", "LA")
_TURNED = (5, 6, 7, 8)
"""Orientations of EXIF whose width is the height of what is seen."""
_ORIENTATION = 0x0112


def is_picture(file: Path) -> bool:
    """Return whether a file's name is that of an image."""
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".")


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """Open an image file; its pixels are decoded when they are asked for.

    Raises:
        ConfigError: Pillow is not installed.
        DataError: The file cannot be read, is damaged or is no image.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ConfigError("`pillow` is not installed; install it with: pip install asr-transfer[images]") from None
    try:
        with Image.open(file) as picture:
            yield picture
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).split("\n")[0]
        reason = reason.replace(f" {str(file)!r}", "").rstrip(".")
        raise DataError(f"{file}: is no image that can be read ({reason}); remove it or save it again.") from None


def decode(file: Path, colour: bool, reduced: int = 1) -> torch.Tensor:
    """Return an image as (channels, height, width) bytes, turned as its camera was held.

    Args:
        file: Image file.
        colour: Whether it has three channels, red, green and blue, or one.
        reduced: Factor by which it is made smaller, each pixel the mean of so many squared.

    Raises:
        DataError: The file cannot be read, is damaged or is no image.
    """
    with opened(file) as picture:
        from PIL import ImageOps

        turned = ImageOps.exif_transpose(picture).convert("RGB" if colour else "L")
        values = np.array(turned.reduce(reduced) if reduced > 1 else turned)
    return torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1).contiguous()


def decode_all(files: Sequence[Path], size: int | None = None) -> torch.Tensor:
    """Return images as (items, channels, height, width) bytes: with one channel where all are grey, else with three.

    Args:
        files: Image files.
        size: Height and width to bring each to, whatever its shape; by default all must have the same.

    Raises:
        DataError: A file is no image, or the images have several sizes and `size` is not given.
    """
    heads = [_head(file) for file in files]
    colour = not all(grey for _, grey in heads)
    if size is None and (other := next((n for n, (shape, _) in enumerate(heads) if shape != heads[0][0]), None)):
        (height, width), (other_height, other_width) = heads[0][0], heads[other][0]
        raise DataError(
            f"{files[other]}: is {other_width} × {other_height} pixels, but {files[0]} is {width} × {height}; "
            "give `size=` to bring all to one size."
        )
    pixels = (decode(file, colour) for file in files)
    return torch.stack([one if size is None else resize(one[None], size, size)[0] for one in pixels])


def _head(file: Path) -> tuple[tuple[int, int], bool]:
    """Return the height and width of an image, and whether it is grey."""
    with opened(file) as picture:
        width, height = picture.size
        turned = picture.getexif().get(_ORIENTATION) in _TURNED
        return (width, height) if turned else (height, width), picture.mode in _GREY or picture.mode.startswith("I")
