"""Run folders with made-up classes of items, for everything that reads results: no model is trained."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr_transfer.evaluation.classes import Prediction, write_predictions

CLASSES = ("cat", "dog", "horse", "ship", "truck")


def right(count: int, classes: Sequence[str] = CLASSES, **more: str) -> list[Prediction]:
    """Return items that are all taken for their own class, in equal shares."""
    return [Prediction(f"item-{n}", classes[n % len(classes)], classes[n % len(classes)], **more) for n in range(count)]


def confused(perfect: Sequence[Prediction], rate: float, seed: int) -> list[Prediction]:
    """Return the items with `rate` of them taken for another class."""
    chance = random.Random(seed)
    names = sorted({own.label for own in perfect})
    return [
        replace(own, predicted=chance.choice([n for n in names if n != own.label])) if chance.random() < rate else own
        for own in perfect
    ]


def write_class_run(folder: Path, predictions: Sequence[Prediction], **more: Any) -> Path:
    """Write a finished run folder with the given predictions and return it."""
    total = write_predictions(folder, predictions)
    values = {
        "format": 1,
        "status": "finished",
        "command": f"run.py --out {folder.name}",
        "started": "2026-01-02T03:04:05Z",
        "finished": "2026-01-02T03:05:06Z",
        "config": {"seed": 3},
        "data": {"test": {"path": "images", "items": total.items, "classes": total.classes, "checksum": "abcd"}},
        "versions": {"python": "3.11"},
        "commit": "0123456789ab",
        "history": [{"step": 1.0, "error": 0.5}, {"step": 2.0, "error": 0.25}],
        "scores": {"test": total.to_plain()},
        "time": {"wall_seconds": 61.0, "cpu_seconds": 59.5},
        **more,
    }
    (folder / "run.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    return folder
