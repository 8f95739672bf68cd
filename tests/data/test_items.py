"""What a run record notes of items tells other pixels, labels and classes apart, and nothing else."""

from __future__ import annotations

import numpy as np

from asr_transfer.data.items import describe

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 3, 4, 4), dtype=np.uint8)
LABELS = np.arange(12) % 3
NAMES = ("cat", "dog", "ship", "truck")


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
