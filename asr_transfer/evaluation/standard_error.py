"""Estimates the standard error of a change of an error rate, from the utterances that both models were scored on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def residuals(changes: Floats, sizes: Floats) -> Floats:
    """Return what every utterance adds to the doubt of Σ changes / Σ sizes, a ratio of two sums, to the first order.

    Args:
        changes: (n,) differences between two models on the same utterances.
        sizes: (n,) what they are divided by, such as reference characters.
    """
    total = sizes.sum()
    found: Floats = (changes - changes.sum() / total * sizes) / total
    return found


def standard_error(found: Floats, speakers: Sequence[str]) -> float | None:
    """Return the standard error of a ratio from its residuals; None where nobody can tell.

    It is the greater of the one over utterances and, where there are several speakers, the one over these: utterances
    of one speaker are alike, but a few speakers often agree by chance.
    """
    errors = [_error(found)]
    names, members = np.unique(np.asarray(speakers), return_inverse=True)
    if len(names) > 1:
        errors.append(_error(np.bincount(members, found, len(names)).astype(np.float64)))
    error = max(errors)
    return error if len(found) > 1 and math.isfinite(error) else None


def _error(parts: Floats) -> float:
    count = len(parts)
    return float(np.sqrt(count / max(count - 1, 1) * np.square(parts).sum()))


def in_points(change: float, error: float | None) -> str:
    """Return a change of a rate in points with its standard error, such as `+0.5 ± 0.6`."""
    return f"{100 * change:+.1f}" + (f" ± {100 * error:.1f}" if error is not None else "")
