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
