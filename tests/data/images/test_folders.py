"""Folders of images: classes, alphabets of characters, images without labels, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from asr_transfer.data.images import read_images
from asr_transfer.errors import DataError


def picture(file: Path, value: int = 0, size: tuple[int, int] = (4, 3), mode: str = "L") -> Path:
    """Write an image of one brightness, of `size` (width, height)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, 0)).convert(mode).save(file)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two splits of two classes, grey."""
    for split, items in (("train", 2), ("test", 1)):
        for label, name in enumerate(("cat", "dog")):
            for item in range(items):
                picture(tmp_path / split / name / f"{item}.png", 100 * label + 10 * item)
    (tmp_path / "train/cat/notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_is_a_class(folder: Path) -> None:
    train = read_images(folder, "train")
    assert train.pixels.shape == (4, 1, 3, 4) and train.pixels.dtype == torch.uint8
    assert train.classes == ("cat", "dog") and train.labels is not None and train.labels.tolist() == [0, 0, 1, 1]
    assert len(read_images(folder, "test")) == 2
    assert torch.equal(read_images(folder / "train").pixels, train.pixels), "the folder of a split is all of it"


def test_one_image_in_colour_makes_three_channels(folder: Path) -> None:
    picture(folder / "test/cat/new.png", 9, mode="RGB")
    assert read_images(folder, "test").pixels[:, :, 0, 0].tolist() == [[0, 0, 0], [9, 9, 0], [89, 89, 89]]


def test_classes_in_the_order_of_another_split(folder: Path) -> None:
    images = read_images(folder, "test", classes=("dog", "bird", "cat"))
    assert images.labels is not None and images.labels.tolist() == [2, 0]
    with pytest.raises(DataError, match=r"cat: is no class that was named\. Did you mean 'cats'\?"):
        read_images(folder, "test", classes=("dog", "cats"))


def test_omniglots_characters_lie_below_alphabets(tmp_path: Path) -> None:
    for character in ("Greek/character01", "Greek/character02", "Latin/character01"):
        picture(tmp_path / "images_background" / character / "0001_01.png", 255, mode="1")
    picture(tmp_path / "images_evaluation/Ge_ez/character01/1.png", mode="1")
    images = read_images(tmp_path, "background")
    assert images.classes == ("Greek/character01", "Greek/character02", "Latin/character01")
    assert images.labels is not None and images.labels.tolist() == [0, 1, 2]
    assert images.pixels.shape == (3, 1, 3, 4) and images.pixels.unique().tolist() == [255]
    with pytest.raises(DataError, match=r"holds no split 'train'\. Known: background, evaluation"):
        read_images(tmp_path, "train")


def test_images_in_no_folder_have_no_labels(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg"), picture(tmp_path / "b.PNG")
    images = read_images(tmp_path)
    assert len(images) == 2 and images.labels is None and images.classes == ()


def test_images_of_several_sizes_name_two_and_the_mend(folder: Path) -> None:
    picture(folder / "train/dog/1.png", 110, (8, 9))
    said = r"train/dog/1\.png: is 8 × 9 pixels, but .*train/cat/0\.png is 4 × 3; give `size=` to bring all to one"
    with pytest.raises(DataError, match=said):
        read_images(folder, "train")
    images = read_images(folder, "train", size=6)
    assert images.pixels.shape == (4, 1, 6, 6)
    assert images.pixels.float().mean((1, 2, 3)).round().tolist() == pytest.approx([0, 9, 89, 97], abs=2)


def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    values = np.zeros((2, 6), np.uint8)
    values[:, :3] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    picture(tmp_path / "b.png", size=(2, 6))
    turned = read_images(tmp_path).pixels[0, 0]
    assert turned.shape == (6, 2) and turned[:, 0].tolist() == [255, 255, 255, 0, 0, 0]


def _cut(folder: Path) -> None:
    file = picture(folder / "train/cat/0.png", size=(64, 64))
    file.write_bytes(file.read_bytes()[:60])


def _text(folder: Path) -> None:
    (folder / "train/cat/0.png").write_text("no image")


def _empty_class(folder: Path) -> None:
    (folder / "train/ant").mkdir()


def _beside(folder: Path) -> None:
    picture(folder / "train/lost.png")


def _beside_characters(folder: Path) -> None:
    picture(folder / "train/cat/old/1.png")


def _nothing(folder: Path) -> None:
    for file in sorted((folder / "train").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_cut, r"train/cat/0\.png: is no image that can be read \(.+\); remove it or save it again"),
        (_text, r"train/cat/0\.png: is no image that can be read \(cannot identify image file\)"),
        (_empty_class, "train/ant: holds no image of its class; put some there or remove the folder"),
        (_beside, r"train/lost\.png: lies beside the folders of the classes"),
        (_beside_characters, r"train/cat/0\.png: lies beside the folders of the classes"),
        (_nothing, r"train: holds no images \(\.png, .*\); give the folder that holds them"),
    ],
)
def test_bad_folders(folder: Path, spoil: object, said: str) -> None:
    assert callable(spoil)
    spoil(folder)
    with pytest.raises(DataError, match=said) as raised:
        read_images(folder, "train")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("below", "split", "said"),
    [
        ("", "dev", r"holds no split 'dev'\. Known: test, train"),
        ("", None, "holds several splits; name one of them: test, train"),
        ("train", "test", "train: holds no split 'test' beside its classes; leave out the split"),
        ("train/cat/0.png", "train", r"0\.png: .*; give the folder of the images"),
        ("none", "train", "none: there is no such file; give the folder of the images"),
    ],
)
def test_a_split_must_be_one_that_is_there(folder: Path, below: str, split: str | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_images(folder / below, split)


def test_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        picture(tmp_path / name / "1.png")
    assert read_images(tmp_path).classes == ("bus", "car", "train")
