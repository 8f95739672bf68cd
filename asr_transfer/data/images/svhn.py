"""Reads SVHN's cropped digits: `train_32x32.mat` and its like, files of MATLAB.

`X` is (32, 32, 3, items), `y` the labels, in which 10 stands for the digit 0 (Netzer et al., Reading digits in natural
images with unsupervised feature learning, 2011).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_transfer.data.images.images import Images, require_labels
from asr_transfer.errors import DataError
from asr_transfer.textfiles import read_bytes

_DIGITS = tuple("0123456789")
_AGAIN = "download it again"


def find(folder: Path, classes: Sequence[str] | None) -> dict[str, Callable[[], Images]]:
    """Return readers of the splits below a folder, by name: `train`, `test` and `extra`."""
    files = sorted(path for path in folder.rglob("*_32x32.mat") if path.is_file())
    return {path.name.removesuffix("_32x32.mat"): partial(read_mat, path, classes or _DIGITS) for path in files}


def read_mat(file: Path, classes: Sequence[str] = _DIGITS) -> Images:
    """Read a file of cropped digits.

    Raises:
        DataError: It is damaged, lacks a variable, or the labels do not belong to the images.
    """
    held = _load(file)
    pixels, labels = held.get("X"), held.get("y")
    if pixels is None or labels is None:
        lacking = " and ".join(name for name in ("X", "y") if name not in held)
        raise DataError(f"{file}: lacks the variable {lacking}; {_AGAIN}.")
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or labels.dtype.kind not in "iuf":
        raise DataError(
            f"{file}: `X` is {' × '.join(map(str, pixels.shape))} of {pixels.dtype}, not height × width × channels × "
            f"images of uint8, or `y` holds no numbers; {_AGAIN}."
        )
    numbers = torch.from_numpy(labels.reshape(-1).astype(np.int64))
    numbers = torch.where(numbers == 10, 0, numbers)
    require_labels(numbers, pixels.shape[3], len(classes), file)
    return Images(torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))), numbers, tuple(classes))


def _load(file: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    content = io.BytesIO(read_bytes(file, _AGAIN))
    try:
        held: dict[str, Any] = loadmat(content, variable_names=("X", "y"))
    except Exception as error:  # whatever the reader meets at wrong bytes: zlib's errors, wrong lengths and types
        reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
        raise DataError(f"{file}: is no file of MATLAB that can be read ({reason}); {_AGAIN}.") from None
    return held
