"""Reads USPS, digits of 16 × 16 pixels from envelopes, in the two forms that are text.

`usps.bz2` and `usps.t.bz2` are LIBSVM's: a line is a label from 1 (the digit 0) to 10 and pairs such as `7:-0.5`.
`zip.train.gz` and `zip.test.gz` are those of The Elements of Statistical Learning: a line is the digit and 256 numbers.
Brightness runs from -1 to 1 in both (Hull, A database for handwritten text recognition research, 1994).
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from asr_transfer.data.images.images import Images, require_labels
from asr_transfer.errors import DataError
from asr_transfer.textfiles import decoded, lines_of, read_bytes

_DIGITS = tuple("0123456789")
_SIDE = 16
_AGAIN = "download it again"
_SPLITS = {"usps": "train", "usps.t": "test", "zip.train": "train", "zip.test": "test"}


def find(folder: Path, classes: Sequence[str] | None) -> dict[str, Callable[[], Images]]:
    """Return readers of the splits below a folder, by name.

    Raises:
        DataError: There is the HDF5 form alone.
    """
    files = {path.name: path for name in ("usps*", "zip.t*") for path in sorted(folder.rglob(name)) if path.is_file()}
    found: dict[str, Callable[[], Images]] = {}
    for name, path in files.items():
        if split := _SPLITS.get(name.removesuffix(".bz2").removesuffix(".gz")):
            found.setdefault(split, partial(read_text_form, path, classes or _DIGITS))
    if not found and (hdf5 := files.get("usps.h5")):
        raise DataError(f"{hdf5}: is HDF5, which is not read here; get LIBSVM's usps.bz2 and usps.t.bz2 instead.")
    return found


def read_text_form(file: Path, classes: Sequence[str] = _DIGITS) -> Images:
    """Read a file of either form, packed or not.

    Raises:
        DataError: It is damaged; the sentence names the line.
    """
    libsvm = file.name.startswith("usps")
    lines = lines_of(decoded(_unpacked(file), file, _AGAIN))
    values = np.zeros((len(lines), 1 + _SIDE * _SIDE), np.float64)
    for number, line in enumerate(lines):
        try:
            if libsvm:
                label, *pairs = line.split()
                values[number, 1:] = -1
                for place, value in (pair.split(":") for pair in pairs):
                    if not 1 <= int(place) <= _SIDE * _SIDE:
                        raise ValueError(f"pixel {place}")
                    values[number, int(place)] = float(value)
                values[number, 0] = int(label) - 1
            else:
                values[number] = [float(word) for word in line.split()]
        except ValueError as error:
            raise DataError(f"{file} line {number + 1}: is no image of USPS ({error}); {_AGAIN}.") from None
    if not len(values):
        raise DataError(f"{file}: holds no images; {_AGAIN}.")
    outside = ~(np.abs(values[:, 1:]) <= 1).all(1)
    if outside.any():
        raise DataError(f"{file} line {int(outside.argmax()) + 1}: has brightness outside of -1 to 1; {_AGAIN}.")
    labels = torch.from_numpy(values[:, 0]).long()
    require_labels(labels, len(values), len(classes), file)
    pixels = np.round((values[:, 1:] + 1) * 127.5).astype(np.uint8).reshape(-1, 1, _SIDE, _SIDE)
    return Images(torch.from_numpy(pixels), labels, tuple(classes))


def _unpacked(file: Path) -> bytes:
    content = read_bytes(file)
    try:
        if content.startswith(b"BZh"):
            return bz2.decompress(content)
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: is a damaged packed file ({str(error).rstrip('.')}); {_AGAIN}.") from None
