"""A run record notes items with their classes, and holds a later attempt to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.data.items import describe
from asr_transfer.errors import ConfigError
from asr_transfer.runs.record import RunRecord

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 3, 4, 4), dtype=np.uint8)
LABELS = np.arange(12) % 3
NAMES = ("cat", "dog", "ship", "truck")


def test_items_are_noted_without_speakers_and_seconds(tmp_path: Path) -> None:
    record = RunRecord(tmp_path / "run", {})
    record.data("train", "images", describe(PIXELS, LABELS, NAMES))
    record.data("target", "photographs", describe(PIXELS))
    record.finish()
    noted = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["data"]
    assert noted["train"] == {
        "path": "images", "items": 12, "classes": 4, "checksum": describe(PIXELS, LABELS, NAMES).checksum,
    }  # fmt: skip
    assert set(noted["target"]) == {"path", "items", "checksum"}


def test_a_run_is_held_to_the_items_that_it_began_with(tmp_path: Path) -> None:
    RunRecord(tmp_path / "run", {}).data("train", "images", describe(PIXELS, LABELS))
    record = RunRecord(tmp_path / "run", {}, resume=True)
    record.data("train", "moved/images", describe(torch.from_numpy(PIXELS), torch.from_numpy(LABELS)))
    with pytest.raises(ConfigError, match=r"content of `train` has changed: .*12 items, checksum.*11 items, checksum"):
        record.data("train", "images", describe(PIXELS[1:], LABELS[1:]))


def test_the_checksum_tells_pixels_shapes_labels_and_names_apart() -> None:
    other = PIXELS.copy()
    other[-1, -1, -1, -1] ^= 1
    ways = [
        describe(PIXELS), describe(other), describe(PIXELS.reshape(12, 4, 4, 3)), describe(PIXELS, LABELS),
        describe(PIXELS, LABELS[::-1]), describe(PIXELS, LABELS, NAMES), describe(PIXELS, LABELS, NAMES[::-1]),
        describe(PIXELS.astype(np.float32), LABELS),
    ]  # fmt: skip
    assert len({own.checksum for own in ways}) == len(ways)
    assert describe(PIXELS, LABELS.astype(np.int32)) == describe(PIXELS, LABELS)
    assert describe(PIXELS.transpose(0, 2, 3, 1)).checksum == describe(PIXELS.transpose(0, 2, 3, 1).copy()).checksum


def test_classes_are_those_named_else_those_that_occur_or_the_attributes() -> None:
    assert describe(PIXELS, LABELS, NAMES).classes == 4 and describe(PIXELS, LABELS).classes == 3
    assert describe(PIXELS, np.zeros((12, 7))).classes == 7 and describe(PIXELS).classes is None
