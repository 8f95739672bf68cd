"""USPS as text: LIBSVM's pairs and the rows of The Elements of Statistical Learning."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.data.images import read_images
from asr_transfer.errors import DataError

VALUES = np.round(np.random.default_rng(0).uniform(-1, 1, (3, 256)), 4)
DIGITS = (6, 0, 9)
ROWS = [[f"{value:.4f}" for value in row] for row in VALUES]
PAIRS = "".join(
    f"{digit + 1} {' '.join(f'{n}:{value}' for n, value in enumerate(row, start=1))}\n"
    for digit, row in zip(DIGITS, ROWS, strict=True)
)
TABLE = "".join(f"{digit}.0000 {' '.join(row)} \n" for digit, row in zip(DIGITS, ROWS, strict=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("usps.bz2", bz2.compress(PAIRS.encode())),
        ("usps", PAIRS.encode()),
        ("zip.train.gz", gzip.compress(TABLE.encode())),
        ("zip.train", TABLE.encode()),
    ],
)
def test_every_form_holds_the_same(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    images = read_images(tmp_path, "train")
    assert images.pixels.shape == (3, 1, 16, 16) and images.pixels.dtype == torch.uint8
    assert np.abs(images.pixels.numpy().reshape(3, 256) / 127.5 - 1 - VALUES).max() <= 1 / 255 + 1e-6
    assert images.labels is not None and tuple(images.labels.tolist()) == DIGITS


def test_pixels_that_are_not_named_are_paper(tmp_path: Path) -> None:
    (tmp_path / "usps.t").write_text("3 1:1 256:0\n")
    images = read_images(tmp_path, "test")
    assert images.pixels.flatten().tolist() == [255, *[0] * 254, 128]


def test_hdf5_is_refused_by_the_name_of_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "usps.h5").write_bytes(b"\x89HDF")
    with pytest.raises(DataError, match=r"usps\.h5: is HDF5, which is not read here; get LIBSVM's usps\.bz2"):
        read_images(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("usps", b"3 1:1\n4 1:x\n", r"usps line 2: is no image of USPS \(could not convert string to float: 'x'\)"),
        ("usps", b"3 1:1\n4 257:1\n", r"usps line 2: is no image of USPS \(pixel 257\)"),
        ("usps", b"3 1:1\n4 1\n", "usps line 2: is no image of USPS"),
        ("usps", b"3 1:1\n4 1:1.5\n", "usps line 2: has brightness outside of -1 to 1"),
        ("usps", b"3 1:1\n4 1:nan\n", "usps line 2: has brightness outside of -1 to 1"),
        ("usps", b"3 1:1\n11 1:1\n", "usps: the label of image 2 is 10"),
        ("usps", b"", "usps: holds no images"),
        ("usps", b"3 1:1\n\xff\n", "usps line 2: is not UTF-8 text"),
        ("usps.bz2", bz2.compress(PAIRS.encode())[:-9], r"usps\.bz2: is a damaged packed file"),
        ("zip.train.gz", gzip.compress(TABLE.encode())[:-9], r"zip\.train\.gz: is a damaged packed file"),
        ("zip.train", b"3 1 1\n", r"zip\.train line 1: is no image of USPS"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as raised:
        read_images(tmp_path, "train")
    assert "\n" not in str(raised.value)
