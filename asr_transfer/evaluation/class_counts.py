"""Counts which class was taken for which, and what share of each class is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr_transfer.errors import DataError


def confusion_matrix(labels: Sequence[int], predicted: Sequence[int], classes: int) -> NDArray[np.int64]:
    """Return (classes, classes) counts: rows are the items' classes, columns those that they were taken for.

    Args:
        labels: class of each item, (items,), from 0.
        predicted: class that each was taken for, (items,), from 0.
        classes: number of classes.

    Raises:
        DataError: lengths differ, or a class is out of range.
    """
    rows, columns = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    if len(rows) != len(columns):
        raise DataError(f"{len(rows)} items but {len(columns)} predictions; give one for each item.")
    for found in (rows, columns):
        outside = found[(found < 0) | (found >= classes)]
        if len(outside):
            raise DataError(f"class {outside[0]} is none of the {classes} classes, which are counted from 0.")
    return np.bincount(rows * classes + columns, minlength=classes * classes).reshape(classes, classes)


def class_accuracies(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return (classes,) the share of each class's items that are right, of a confusion matrix; NaN without items."""
    counts = np.asarray(matrix, np.float64)
    items = counts.sum(1)
    right: NDArray[np.float64] = np.diag(counts)
    shares: NDArray[np.float64] = np.divide(right, items, out=np.full(len(counts), np.nan), where=items > 0)
    return shares
