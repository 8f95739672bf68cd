"""SVHN's cropped digits out of files of MATLAB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from asr_transfer.data.images import read_images
from asr_transfer.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), np.uint8)
LABELS = np.array([[1], [10], [9], [2]], np.uint8)


def test_ten_stands_for_nought(tmp_path: Path) -> None:
    for split in ("train", "extra"):
        savemat(tmp_path / f"{split}_32x32.mat", {"X": PIXELS, "y": LABELS})
    images = read_images(tmp_path, "extra")
    assert images.pixels.shape == (4, 3, 32, 32) and images.pixels.dtype == torch.uint8
    assert np.array_equal(images.pixels[2].numpy(), PIXELS[..., 2].transpose(2, 0, 1))
    assert images.labels is not None and images.labels.tolist() == [1, 0, 9, 2]
    assert images.classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"X": PIXELS}, "lacks the variable y; download"),
        ({"X": PIXELS, "y": LABELS[:3]}, "holds 3 labels for 4 images"),
        ({"X": PIXELS, "y": LABELS + 1}, "the label of image 2 is 11, but the 10 classes"),
        ({"X": PIXELS / 255, "y": LABELS}, "`X` is 32 × 32 × 3 × 4 of float64, not"),
        ({"X": PIXELS[..., 0], "y": LABELS[:1]}, "`X` is 32 × 32 × 3 of uint8, not height"),
        ({"X": PIXELS, "y": "one"}, "or `y` holds no numbers"),
        (b"no MATLAB", r"is no file of MATLAB that can be read \(.+\); download it again"),
    ],
)
def test_damaged_files(tmp_path: Path, held: Any, said: str) -> None:
    file = tmp_path / "train_32x32.mat"
    file.write_bytes(held) if isinstance(held, bytes) else savemat(file, held)
    with pytest.raises(DataError, match=said) as raised:
        read_images(tmp_path, "train")
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("kept", [10, 130, 200, 5000])
def test_a_cut_file(tmp_path: Path, kept: int) -> None:
    savemat(tmp_path / "train_32x32.mat", {"X": PIXELS, "y": LABELS}, do_compression=True)
    (tmp_path / "train_32x32.mat").write_bytes((tmp_path / "train_32x32.mat").read_bytes()[:kept])
    with pytest.raises(DataError, match=r"train_32x32\.mat: (is no file of MATLAB|lacks the variable)"):
        read_images(tmp_path, "train")
