"""Reads IDX, the format of MNIST and of sets like it: `train-images-idx3-ubyte` and its labels, plain or as .gz.

A file begins with two zero bytes, the type of its values, the number of its axes, and a big-endian length for each
(LeCun, Cortes & Burges, The MNIST database of handwritten digits, 1998).
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from asr_transfer.data.images.images import Images, require_labels
from asr_transfer.errors import DataError
from asr_transfer.textfiles import read_bytes

_NAME = re.compile(r"(?:(?P<split>.+)[-_.])?images?[-_.]idx3[-_.]ubyte(?P<packed>\.gz)?", re.IGNORECASE)
_UNSIGNED_BYTES = 0x08
_AGAIN = "download or copy the file again"


def find(folder: Path, classes: Sequence[str] | None) -> dict[str, Callable[[], Images]]:
    """Return readers of the splits below a folder, by name; `t10k`, as MNIST calls it, is `test`."""
    found: dict[str, Callable[[], Images]] = {}
    for file in sorted(folder.rglob("*idx3*")):
        if (match := _NAME.fullmatch(file.name)) and file.is_file():
            split = re.sub("t10k", "test", match["split"] or "all", flags=re.IGNORECASE)
            found.setdefault(split, partial(read_pair, file, _labels_beside(file), classes))
    return found


def _labels_beside(images: Path) -> Path | None:
    """Return the file of the labels of a file of images, packed or not, or None where there is none."""
    name = re.sub("images", "labels", images.name, flags=re.IGNORECASE)
    plain = re.sub("idx3", "idx1", name, flags=re.IGNORECASE).removesuffix(".gz")
    return next((path for end in ("", ".gz") if (path := images.with_name(plain + end)).is_file()), None)


def read_pair(images: Path, labels: Path | None, classes: Sequence[str] | None = None) -> Images:
    """Read a file of images and that of their labels.

    Args:
        images: File of three axes: images, rows, columns.
        labels: File of one axis; None where the images have none.
        classes: Names of the classes; by default their numbers, up to the greatest among the labels.

    Raises:
        DataError: A file is cut or no IDX file of bytes, or the labels do not belong to the images.
    """
    pixels = torch.from_numpy(read_idx(images, 3)).unsqueeze(1)
    if not pixels.numel():
        raise DataError(f"{images}: holds no images; {_AGAIN}.")
    if labels is None:
        return Images(pixels, None, tuple(classes or ()))
    numbers = torch.from_numpy(read_idx(labels, 1)).long()
    greatest = int(numbers.max()) if len(numbers) else 0
    names = tuple(classes) if classes else tuple(str(number) for number in range(greatest + 1))
    require_labels(numbers, len(pixels), len(names), labels)
    return Images(pixels, numbers, names)


def read_idx(file: Path, axes: int) -> np.ndarray:
    """Read a file of unsigned bytes with so many axes, packed or not.

    Raises:
        DataError: It cannot be read, is cut, or is none.
    """
    content = read_bytes(file, "give a file of the IDX format")
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{file}: is a damaged .gz file ({str(error).rstrip('.')}); {_AGAIN}.") from None
    magic = bytes((0, 0, _UNSIGNED_BYTES, axes))
    if content[:4] != magic:
        raise DataError(
            f"{file}: begins with the bytes {content[:4].hex(' ') or 'of no file, for it is empty'}, but an IDX file "
            f"of {'images' if axes == 3 else 'labels'} with {magic.hex(' ')}; give the right file."
        )
    if len(content) < 4 + 4 * axes:
        raise DataError(f"{file}: is cut off within its header; {_AGAIN}.")
    shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    wanted, there = int(np.prod(shape, dtype=object)), len(content) - 4 - 4 * axes
    if wanted != there:
        raise DataError(
            f"{file}: holds {there:,} bytes behind its header, which says {' × '.join(map(str, shape))} = {wanted:,}; "
            f"{'it is cut off' if there < wanted else 'something was added'}, {_AGAIN}."
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()
