"""Describes items that are no utterances, such as images, for run records: their number, classes and a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Items:
    """What a run record notes of items.

    Attributes:
        count: number of items.
        classes: number of classes that their labels name; None where they have no labels.
        checksum: short hash of inputs, labels and names of classes.
    """

    count: int
    classes: int | None
    checksum: str


def describe(inputs: ArrayLike, labels: ArrayLike | None = None, classes: Sequence[str] = ()) -> Items:
    """Return what a run record notes of items.

    Args:
        inputs: (items, ...) numbers, such as the pixels of images; a tensor or an array.
        labels: (items,) class indices, or (items, attributes); None where there are none.
        classes: names of the classes, in the order of the indices; without them the classes are those that occur.
    """
    values = np.ascontiguousarray(inputs)
    digest = hashlib.sha256(f"{values.dtype} {values.shape} {list(classes)}".encode())
    digest.update(values.data)
    if labels is None:
        return Items(len(values), None, digest.hexdigest()[:16])
    named = np.asarray(labels)
    # Integers of any width say the same.
    named = np.ascontiguousarray(named.astype(np.int64) if named.dtype.kind in "iub" else named)
    digest.update(named.data)
    count = len(classes) or (len(np.unique(named)) if named.ndim == 1 else named.shape[1])
    return Items(len(values), count, digest.hexdigest()[:16])
