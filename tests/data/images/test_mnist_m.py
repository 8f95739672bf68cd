"""Digits in front of photographs: the difference of the two, seeded, with other photographs for the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.data.images import Images, in_front_of, mnist_m, photographs
from asr_transfer.errors import DataError
from asr_transfer.fetched import IMAGES, STAMP
from tests.data.images.test_folders import picture
from tests.data.images.test_idx import idx_files

DIGITS = Images(
    torch.randint(0, 256, (40, 1, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)),
    torch.arange(40) % 10,
    tuple("0123456789"),
)


def test_a_pixel_is_the_difference_from_a_patch_of_the_photograph() -> None:
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(8), indexing="ij")
    background = torch.stack([10 * rows, 10 * columns, torch.full_like(rows, 7)]).to(torch.uint8)
    blank = Images(torch.zeros_like(DIGITS.pixels), DIGITS.labels, DIGITS.classes)
    patches = in_front_of(blank, [background], np.random.default_rng(3)).pixels.int()
    assert torch.equal(patches[:, 0, 1:] - patches[:, 0, :-1], torch.full((40, 4, 4), 10))
    assert torch.equal(patches[:, 1, :, 1:] - patches[:, 1, :, :-1], torch.full((40, 5, 3), 10))
    assert set(patches[:, 0, 0, 0].tolist()) == {0, 10, 20, 30, 40}, "every place is reached, the last one too"
    images = in_front_of(DIGITS, [background], np.random.default_rng(3))
    assert torch.equal(images.pixels.int(), (DIGITS.pixels.int() - patches).abs())
    assert torch.equal(images.labels, DIGITS.labels) and images.classes == DIGITS.classes


def test_a_background_that_is_too_small() -> None:
    with pytest.raises(DataError, match="the backgrounds must be at least 5 × 4 pixels each"):
        in_front_of(DIGITS, [torch.zeros(3, 5, 3, dtype=torch.uint8)], np.random.default_rng(0))
    with pytest.raises(DataError, match="and one must be given"):
        in_front_of(DIGITS, [], np.random.default_rng(0))


def test_the_test_split_has_photographs_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path))
    for name in ("mnist", "photographs"):
        (tmp_path / IMAGES / name).mkdir(parents=True)
        (tmp_path / IMAGES / name / STAMP).write_text("{}")
    for name, content in idx_files().items():
        (tmp_path / IMAGES / "mnist" / name).write_bytes(content)
    for number in range(10):
        picture(tmp_path / IMAGES / f"photographs/{number}.png", 20 * number, (40, 40), "RGB")
    brightness = {split: [int(one[0, 0, 0]) for one in photographs(split)] for split in ("train", "test")}
    assert brightness == {"train": [0, 20, 40, 60, 100, 120, 140, 160], "test": [80, 180]}
    train = mnist_m("train")
    assert train.pixels.shape == (6, 3, 4, 5) and train.labels is not None and train.labels.tolist() == [0, 1, 2] * 2
    assert torch.equal(train.pixels, mnist_m("train").pixels)
    assert not torch.equal(train.pixels, mnist_m("train", seed=1).pixels)
