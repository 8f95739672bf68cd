"""The names of ImageNet's classes, out of a file of JavaScript."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.images import imagenet_names
from asr_transfer.errors import DataError
from asr_transfer.fetched import IMAGES, STAMP, fetched_images


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a made-up fetched list; a long name is written in two parts."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path))
    file = tmp_path / IMAGES / "imagenet-names/package/dist/imagenet_classes.js"
    file.parent.mkdir(parents=True)
    (tmp_path / IMAGES / "imagenet-names" / STAMP).write_text("{}")
    lines = [f"    {number}: 'name {number}, other'," for number in range(3, 1000)]
    lines = ["    0: 'tench',", '    1: "lady\'s slipper",', "    2: 'great, ' +", "        'long',", *lines]
    file.write_text("/** 5: 'no name' */\nexports.IMAGENET_CLASSES = {\n" + "\n".join(lines) + "\n};\n")
    return file


def test_names_in_order(file: Path) -> None:
    names = imagenet_names()
    assert names[:4] == ("tench", "lady's slipper", "great, long", "name 3, other") and len(names) == 1000


def test_a_list_that_lacks_one(file: Path) -> None:
    file.write_text(file.read_text().replace("    7: ", "    x: "))
    with pytest.raises(DataError, match=r"imagenet_classes\.js: holds 999 of 1,000 names; remove its folder and fetch"):
        imagenet_names()


def test_the_fetched_names_are_those_of_the_networks_outputs() -> None:
    try:
        fetched_images("imagenet-names")
    except DataError as error:
        pytest.skip(str(error))
    names = imagenet_names()
    assert (names[0], names[2][:17], names[335][:12]) == ("tench, Tinca tinca", "great white shark", "fox squirrel")
