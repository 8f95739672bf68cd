"""Makes tiny sets of images of ten classes, as IDX files, for experiments on images."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

SIZE = 8
NATURAL, MAN_MADE = tuple("012345"), tuple("6789")


def write_shapes(folder: Path, each: int = 40, seed: int = 0) -> Path:
    """Write `each` images of each class, bright in a row and a column of its own, to a folder of splits."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for split, count in (("train", each), ("t10k", each // 2)):
        labels = np.tile(np.arange(10, dtype=np.uint8), count)
        pixels = random.integers(0, 60, (len(labels), SIZE, SIZE), dtype=np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[label % SIZE] += 90
            image[:, (3 * label + seed) % SIZE] += 90
        _write(folder / f"{split}-images-idx3-ubyte", pixels)
        _write(folder / f"{split}-labels-idx1-ubyte", labels)
    return folder


def _write(file: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    file.write_bytes(header + values.tobytes())
