"""Estimates what others lose by an adaptation, and says where that is too much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asr_transfer.adaptation.answers import Answers
from asr_transfer.evaluation.standard_error import in_points, residuals, standard_error

BEYOND_CHANCE = 2.0
"""Standard errors by which the loss of one language among several must pass what is tolerated."""


@dataclass(frozen=True)
class Loss:
    """What others lose by an adaptation.

    Attributes:
        risen: estimated rise of their character error rate.
        error: standard error of that; None where it is not known.
    """

    risen: float
    error: float | None


def rise(after: Answers, before: Answers, speakers: Sequence[str]) -> Loss:
    """Return the estimated rise of the character error rate: half of it is counted, half follows from the loss.

    Errors are taken to rise as the loss does, which tells more of few utterances than their few errors.

    Args:
        after, before: answers of an adapted model and of the one that it was adapted from.
        speakers: Speaker of each utterance, over whom the standard error is.
    """
    rate = before.errors.sum() / before.units.sum()
    counted = (after.errors.sum() - before.errors.sum()) / before.units.sum()
    ratio = after.losses.sum() / max(before.losses.sum(), 1e-9)
    risen = float(0.5 * counted + 0.5 * rate * (ratio - 1))
    if not math.isfinite(risen):
        return Loss(1.0, None)
    own = residuals(after.errors - before.errors, before.units)
    own = own + rate * residuals(after.losses - before.losses, np.maximum(before.losses, 1e-9))
    return Loss(risen, standard_error(0.5 * own, speakers))


def mean_abroad(lost: Mapping[str, Loss]) -> Loss:
    """Return the mean of what other languages lose, each counting the same."""
    errors = [loss.error for loss in lost.values() if loss.error is not None]
    error = math.sqrt(sum(error**2 for error in errors)) / len(lost) if len(errors) == len(lost) else None
    return Loss(sum(loss.risen for loss in lost.values()) / len(lost), error)


def costly(lost: Mapping[str, Loss], tolerance: float) -> str:
    """Return why other languages lose too much: on average, or one of them by more than chance; else nothing.

    Of many languages, each judged on little speech, some lose more than is tolerated by chance alone.
    """
    if not lost:
        return ""
    mean = mean_abroad(lost).risen
    if mean > tolerance:
        return f"other languages would be {100 * mean:.1f} points worse, more than {100 * tolerance:g}"
    sure = {head: loss.risen - BEYOND_CHANCE * loss.error for head, loss in lost.items() if loss.error is not None}
    worst = max(sure, key=lambda head: sure[head], default="")
    if worst and sure[worst] > tolerance:
        return f"'{worst}' would be {in_points(lost[worst].risen, lost[worst].error)} points worse, beyond chance"
    return ""
