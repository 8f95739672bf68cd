"""CIFAR-10 in its binary version and as strips of PNG; the pickled version is refused unopened."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from asr_transfer.data.images import read_fetched, read_images
from asr_transfer.data.images.cifar import CIFAR10
from asr_transfer.errors import DataError
from asr_transfer.fetched import fetched_images

ITEMS = 3


def _pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (ITEMS, 3, 32, 32), np.uint8)


def _binary(folder: Path) -> Path:
    for name, seed in (("data_batch_1", 1), ("data_batch_2", 2), ("test_batch", 3)):
        labels = np.arange(ITEMS, dtype=np.uint8)[:, None] + 3 * seed - 3
        records = np.concatenate([labels, _pixels(seed).reshape(ITEMS, -1)], 1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def _strips(folder: Path) -> Path:
    for name, seed in (("data_batch_1", 1), ("data_batch_2", 2), ("test_batch", 3)):
        rows = _pixels(seed).transpose(0, 2, 3, 1).reshape(ITEMS, 1024, 3)
        Image.fromarray(rows).save(folder / f"{name}.png")
    (folder / "train_lables.json").write_text(json.dumps(list(range(6))))
    (folder / "test_lables.json").write_text(json.dumps([6, 7, 8]))
    return folder


@pytest.mark.parametrize("write", [_binary, _strips])
def test_both_forms_hold_the_same(tmp_path: Path, write: object) -> None:
    assert callable(write)
    train, test = read_images(write(tmp_path), "train"), read_images(tmp_path, "test")
    assert np.array_equal(train.pixels.numpy(), np.concatenate([_pixels(1), _pixels(2)]))
    assert np.array_equal(test.pixels.numpy(), _pixels(3)) and test.pixels.dtype == torch.uint8
    assert train.labels is not None and train.labels.tolist() == list(range(6))
    assert test.labels is not None and test.labels.tolist() == [6, 7, 8]
    assert train.classes == CIFAR10


class _Bomb:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.file,)  # type: ignore[return-value]


def test_a_pickle_is_refused_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(_Bomb(tmp_path / "touched")))
    with pytest.raises(DataError, match=r"data_batch_1: is the pickled version .* get the binary version ins"):
        read_images(tmp_path, "train")
    assert not (tmp_path / "touched").exists()


def _cut(folder: Path) -> None:
    file = _binary(folder) / "data_batch_2.bin"
    file.write_bytes(file.read_bytes()[:-1])


def _unknown_label(folder: Path) -> None:
    file = _binary(folder) / "data_batch_2.bin"
    file.write_bytes(b"\x0a" + file.read_bytes()[1:])


def _narrow(folder: Path) -> None:
    Image.new("RGB", (1023, 3)).save(_strips(folder) / "data_batch_2.png")


def _fewer_labels(folder: Path) -> None:
    (_strips(folder) / "train_lables.json").write_text("[1, 2, 3]")


def _wrong_label(folder: Path) -> None:
    (_strips(folder) / "train_lables.json").write_text("[1, 2, 3, 4, 5, -1]")


def _words(folder: Path) -> None:
    (_strips(folder) / "train_lables.json").write_text('["cat", 2, 3, 4, 5, 6]')


def _no_json(folder: Path) -> None:
    (_strips(folder) / "train_lables.json").write_text("[1, 2")


def _no_labels(folder: Path) -> None:
    (_strips(folder) / "train_lables.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_cut, r"data_batch_2\.bin: holds 9,218 bytes, which is no whole number of records of 3,073; it is cut off"),
        (_unknown_label, r"data_batch_2\.bin: the label of image 1 is 10, but the 10 classes have the numbers 0 to 9"),
        (_narrow, r"data_batch_2\.png: is 1,023 pixels wide, a strip of CIFAR is 1,024; download it again"),
        (_fewer_labels, r"train_lables\.json: holds 3 labels for 6 images"),
        (_wrong_label, r"train_lables\.json: the label of image 6 is -1"),
        (_words, r"train_lables\.json: is no list of whole numbers; download"),
        (_no_json, r"train_lables\.json: is no JSON"),
        (_no_labels, r"train_lables\.json: there is no such file; download it again"),
    ],
)
def test_damaged_files(tmp_path: Path, spoil: object, said: str) -> None:
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(DataError, match=said) as raised:
        read_images(tmp_path, "train")
    assert "\n" not in str(raised.value)


def test_the_fetched_set_is_whole() -> None:
    try:
        fetched_images("cifar10")
    except DataError as error:
        pytest.skip(str(error))
    test = read_fetched("cifar10", "test")
    assert test.pixels.shape == (10_000, 3, 32, 32)
    assert test.labels is not None and torch.bincount(test.labels).tolist() == [1000] * 10
