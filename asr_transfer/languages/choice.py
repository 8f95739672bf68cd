"""Chooses how a language is learnt: which ways are tried on so much speech, and which of them is taken.

The rules come from the curve of Mandarin after fifteen European languages (recipes/multilingual, four seeds): from five
minutes on, training all layers erred 30 % less than the new head alone, on words and 18 % less on sentences; training
on kept source speech as well (`joint`) erred 5 % more than without, and keeps the other languages. What is closer than
the noise of a small development set, one standard error of the paired difference (the rule of Breiman et al.,
"Classification and Regression Trees", 1984, section 3.4.3), is therefore decided by what the other languages lose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from asr_transfer.languages.config import Mode

Taken = Mode | Literal["none"]

FEW_MINUTES = 3.0
"""Training speech below which the head alone is tried too: it has least to learn by heart."""
CLOSE = 0.05
"""Share by which a way may err more than the best and be taken all the same, where others lose less by it."""
WORTH = 0.005
"""What others must lose less by a way that errs more than that, though no more than by one standard error."""
HOPELESS = 0.9
"""Error rate of the development speech from which on nothing was learnt."""


@dataclass(frozen=True)
class Plan:
    """The ways that are tried.

    Attributes:
        ways: their names, in the order of trying.
        reason: one sentence that says why these.
    """

    ways: tuple[Mode, ...]
    reason: str


@dataclass(frozen=True)
class Tried:
    """A way that was tried.

    Attributes:
        way: its name; `none` is the source model as it is.
        error: error rate of the development speech.
        others: rise of the other languages' mean error rate; None where it was not measured.
        steps: number of optimiser steps.
        cpu_seconds: processor time.
        errors: errors in each recording of the development speech, the same recordings for all ways; empty where only
            the rate is known.
    """

    way: Taken
    error: float
    others: float | None
    steps: int = 0
    cpu_seconds: float = 0.0
    errors: tuple[float, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return what a record keeps."""
        others = None if self.others is None else round(self.others, 5)
        return {
            "way": self.way,
            "error": round(self.error, 5),
            "others": others,
            "steps": self.steps,
            "cpu_seconds": round(self.cpu_seconds, 2),
        }


@dataclass(frozen=True)
class Chosen:
    """The way that is taken.

    Attributes:
        way: its name.
        reason: one sentence.
        ladder: all that were tried, the least errors first.
    """

    way: Taken
    reason: str
    ladder: tuple[Tried, ...]


def plan_ways(minutes: float, known: bool, replayable: bool, published: bool = False, untrained: bool = False) -> Plan:
    """Return the ways that are worth trying on so much speech.

    Args:
        minutes: length of the training speech.
        known: whether the model has a head of the language already.
        replayable: whether there is speech of the source's languages to mix in.
        published: whether the model's layers stand on a published encoder.
        untrained: whether these layers have initial weights, for the encoder has learnt no language here yet.
    """
    if untrained:
        reason = (
            "the encoder comes without output layers, so that layers on top of it are trained while it stays as it is; "
            "and then all of it, slowly"
        )
        return Plan(("top", "all"), reason)
    whole: tuple[Mode, ...] = ("joint", "all") if replayable else ("all",)
    if published:
        whole = ("top", *whole)
    mixed = "with and without kept speech of the other languages" if replayable else "for no other speech is kept"
    if minutes < FEW_MINUTES:
        reason = f"{minutes:.1f} minutes are few, so the head alone is tried too; all layers {mixed}"
        return Plan(("head", *whole), reason)
    grown = "the head that is there grows; " if known else ""
    return Plan(whole, f"{grown}from {FEW_MINUTES:g} minutes on all layers err less than the head alone; {mixed}")


def choose_way(tried: Sequence[Tried]) -> Chosen:
    """Return the way that errs least, or one that errs hardly more and costs the other languages less.

    Args:
        tried: ways with their errors, at least one.
    """
    ladder = tuple(sorted(tried, key=lambda one: one.error))
    best = ladder[0]
    close = [one for one in ladder if one.error <= best.error * (1 + CLOSE) or _as_good(one, best)]
    measured = [one for one in close if one.others is not None]
    taken = min(measured, key=lambda one: (one.others, one.error)) if len(measured) == len(close) else best
    if taken is best:
        reason = "it errs least on the held-out recordings" if len(ladder) > 1 else "no other way was tried"
    else:
        reason = (
            f"it errs hardly more than `{best.way}` on the held-out recordings, and the other languages lose less by it"
        )
    return Chosen(taken.way, reason, ladder)


def _as_good(one: Tried, best: Tried) -> bool:
    """Return whether a way errs more by no more than one standard error, and costs the others clearly less."""
    if one.others is None or best.others is None or best.others - one.others < WORTH:
        return False
    more = np.array(one.errors) - np.array(best.errors)
    return len(more) > 1 and float(more.sum()) <= math.sqrt(len(more)) * float(more.std(ddof=1))


def mean_rise(before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    """Return by how much the mean error rate of languages has risen; None of no language."""
    if not before:
        return None
    return sum(after[name] - rate for name, rate in before.items()) / len(before)
