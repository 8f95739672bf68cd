"""Files of the IDX format, and the sentences that damaged ones get."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.data.images import read_images
from asr_transfer.errors import DataError


def idx(values: np.ndarray) -> bytes:
    """Return an IDX file of unsigned bytes."""
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def idx_files() -> dict[str, bytes]:
    """Return the four files of a made-up set: 6 training and 3 test images of 4 × 5 pixels, three classes."""
    random = np.random.default_rng(0)
    files = {}
    for split, items in (("train", 6), ("t10k", 3)):
        files[f"{split}-images-idx3-ubyte"] = idx(random.integers(0, 256, (items, 4, 5), np.uint8))
        files[f"{split}-labels-idx1-ubyte"] = idx(np.arange(items, dtype=np.uint8) % 3)
    return files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the made-up set somewhere below it."""
    (tmp_path / "raw").mkdir()
    for name, content in idx_files().items():
        (tmp_path / "raw" / name).write_bytes(content)
    return tmp_path


def test_images_and_labels(folder: Path) -> None:
    train, test = read_images(folder, "train"), read_images(folder, "test")
    values = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)
    assert train.pixels.dtype == torch.uint8 and np.array_equal(train.pixels.numpy(), values[:, None])
    assert train.labels is not None and train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert train.labels.dtype == torch.int64 and train.classes == ("0", "1", "2")
    assert len(test) == 3


def test_packed_files_and_other_spellings_are_the_same(folder: Path) -> None:
    plain = read_images(folder, "test")
    for file in list((folder / "raw").iterdir()):
        name = file.name.replace("-idx", ".idx").replace("t10k", "mine-test")
        (folder / "raw" / f"{name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    packed = read_images(folder, "mine-test")
    assert torch.equal(packed.pixels, plain.pixels)
    assert packed.labels is not None and plain.labels is not None and torch.equal(packed.labels, plain.labels)


def test_without_a_file_of_labels_there_are_none(folder: Path) -> None:
    (folder / "raw/t10k-labels-idx1-ubyte").unlink()
    assert read_images(folder, "test").labels is None


def test_named_classes_and_another_size(folder: Path) -> None:
    images = read_images(folder, "train", size=8, classes=("a", "b", "c", "d"))
    assert images.classes == ("a", "b", "c", "d") and images.pixels.shape == (6, 1, 8, 8)
    assert images.pixels.dtype == torch.uint8


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("images-idx3", lambda c: b"\0\0\x0d\x03" + c[4:], "begins with the bytes 00 00 0d 03, but an IDX file of im"),
        ("images-idx3", lambda c: b"", "begins with the bytes of no file, for it is empty"),
        ("labels-idx1", lambda c: b"\0\0\x08\x03" + c[4:], "an IDX file of labels with 00 00 08 01; give"),
        ("images-idx3", lambda c: c[:9], "is cut off within its header; download"),
        ("images-idx3", lambda c: c[:-7], "holds 113 bytes behind its header, which says 6 × 4 × 5 = 120; it is cut"),
        ("labels-idx1", lambda c: c + b"\n", "holds 7 bytes behind its header, which says 6 = 6; something was added"),
        ("images-idx3", lambda c: gzip.compress(c)[:-9], r"is a damaged \.gz file"),
        ("images-idx3", lambda c: idx(np.zeros((0, 4, 5), np.uint8)), "holds no images"),
        ("labels-idx1", lambda c: idx(np.zeros(5, np.uint8)), "holds 5 labels for 6 images"),
        ("images-idx3", lambda c: b"\0\0\x08\x03" + b"\xff" * 12, "4294967295 × 4294967295 × 4294967295"),
    ],
)  # fmt: skip
def test_damaged_files(folder: Path, name: str, change: object, said: str) -> None:
    file = folder / f"raw/train-{name}-ubyte"
    assert callable(change)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=said) as raised:
        read_images(folder, "train")
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_a_label_of_no_class(folder: Path) -> None:
    with pytest.raises(DataError, match=r"the label of image 3 is 2, but the 2 classes have the numbers 0 to 1"):
        read_images(folder, "train", classes=("a", "b"))


@pytest.mark.parametrize(
    ("split", "said"),
    [("trian", r"holds no split 'trian'\. Did you mean 'train'\?"), (None, "name one of them: test, train")],
)
def test_a_split_must_be_one_that_is_there(folder: Path, split: str | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_images(folder, split)
