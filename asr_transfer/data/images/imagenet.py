"""Reads the fetched names of ImageNet's 1,000 classes, in the order of a trained network's outputs."""

from __future__ import annotations

import re

from asr_transfer.errors import DataError
from asr_transfer.fetched import fetched_images
from asr_transfer.textfiles import read_text

CLASSES = 1000
_CONTINUED = re.compile(r"""(['"])\s*\+\s*\1""")
_ENTRY = re.compile(r"""^\s*(\d+):\s*(['"])(.*?)\2,?\s*$""", re.MULTILINE)


def imagenet_names() -> tuple[str, ...]:
    """Return the names; synonyms are divided by commas: `tench, Tinca tinca`. Two classes are called `crane`.

    Raises:
        DataError: They were not fetched, or are damaged.
    """
    file = fetched_images("imagenet-names") / "package/dist/imagenet_classes.js"
    text = _CONTINUED.sub("", read_text(file, "fetch it again"))
    found = {int(number): name for number, _, name in _ENTRY.findall(text)}
    if sorted(found) != list(range(CLASSES)):
        raise DataError(f"{file}: holds {len(found)} of {CLASSES:,} names; remove its folder and fetch it again.")
    return tuple(found[number] for number in range(CLASSES))
