"""Merges and cuts hypotheses that are held as arrays, without a loop over them: what the beam searches share.

A hypothesis is known by a 64-bit key of what it has written. Two hypotheses with the same key are one; that two
different ones get the same key has a chance of about n²/2⁶⁵ among n, which is left to fate.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from asr_transfer.errors import ConfigError, ModelError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Keys = NDArray[np.uint64]

START = np.uint64(0x2545F4914F6CDD1D)
"""The key of what is empty."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST = np.uint64(31)


def longer(keys: Keys, symbols: Integers) -> Keys:
    """Return the keys of sequences made longer by a symbol each (Steele et al. 2014: SplitMix64's mixing)."""
    mixed = (keys ^ (symbols.astype(np.uint64) + np.uint64(1))) * _ODD
    for shift, factor in _ROUNDS:
        mixed = (mixed ^ (mixed >> shift)) * factor
    return np.asarray(mixed ^ (mixed >> _LAST))


def placed(keys: Keys, places: Integers) -> Keys:
    """Return keys of sequences together with a place, such as a node of a tree."""
    return np.asarray(keys + places.astype(np.uint64) * _ODD)


def merge(keys: Keys, blank: Floats, symbol: Floats, likeliest: bool = False) -> tuple[Integers, Floats, Floats]:
    """Merge candidates with equal keys.

    Args:
        keys: (n,).
        blank, symbol: (n,) log-probabilities of the alignments that end in a blank and of the others. At most one
            candidate of a key has a `blank` above -inf.
        likeliest: a group is represented by its candidate with the highest `symbol`, else by its first.

    Returns:
        The representative of each group, and the group's sums.
    """
    order = np.argsort(keys)
    ordered = keys[order]
    new = np.empty(len(keys), dtype=bool)
    new[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    first = np.flatnonzero(new)
    values, blank = symbol[order], blank[order]
    if len(first) == len(keys):
        return order, blank, values
    if likeliest:
        sizes = np.diff(first, append=len(keys))
        highest = np.flatnonzero(values == np.repeat(np.maximum.reduceat(values, first), sizes))
        group = np.repeat(np.arange(len(first)), sizes)[highest]
        representative = order[first]
        representative[group] = order[highest]
    else:
        representative = np.minimum.reduceat(order, first)
    return representative, np.maximum.reduceat(blank, first), np.logaddexp.reduceat(values, first)


def best(scores: Floats, beam: int, threshold: float) -> Integers:
    """Return the indices of the `beam` highest scores that are finite and at most `threshold` below the highest."""
    limit = scores.max(initial=-math.inf) - threshold
    kept = np.flatnonzero((scores >= limit) & (scores > -math.inf))
    if len(kept) > beam:
        kept = kept[np.argpartition(scores[kept], len(kept) - beam)[len(kept) - beam :]]
    return kept


class Records:
    """What came behind what: the words or symbols that hypotheses were made longer by."""

    def __init__(self) -> None:
        self._before: list[int] = []
        self._made: list[int] = []

    def add(self, before: Integers, made: Integers) -> Integers:
        """Keep what was made and return its numbers; -1 stands before the first."""
        begin = len(self._made)
        self._before += before.tolist()
        self._made += made.tolist()
        return np.arange(begin, len(self._made))

    def trace(self, record: int) -> tuple[int, ...]:
        """Return what led to a record, the first one first."""
        found = []
        while record >= 0:
            found.append(self._made[record])
            record = self._before[record]
        return tuple(reversed(found))


def checked(log_probs: torch.Tensor, lengths: torch.Tensor, tokens: int, n: int = 1) -> list[Floats]:
    """Return the frames of each utterance of a batch, with a last column of -inf for "no symbol".

    Args:
        log_probs: (batch, frames, tokens) natural logarithms; frames behind an utterance's end are not read.
        lengths: (batch,) valid frames.
        tokens: tokens that the search is made for.
        n: length of the lists of best hypotheses that are asked for.

    Raises:
        ConfigError: `n` is not at least 1.
        ModelError: the log-probabilities are those of other tokens, or hold not-a-number.
    """
    if n < 1:
        raise ConfigError(f"the number of best hypotheses must be at least 1, got {n}.")
    if log_probs.dim() != 3 or log_probs.shape[2] != tokens:
        raise ModelError(
            f"the model's output has the shape {tuple(log_probs.shape)}, but the search is made for {tokens} tokens; "
            "use the model's own tokens."
        )
    values = np.full((log_probs.shape[0], log_probs.shape[1], tokens + 1), -np.inf)
    values[:, :, :tokens] = log_probs.detach().cpu().double().numpy()
    parts = [row[:frames] for row, frames in zip(values, lengths.tolist(), strict=True)]
    if not all((part < np.inf).all() for part in parts):  # not-a-number is not below either
        raise ModelError(
            "the model's output holds not-a-number or infinite values; the model is damaged, train it again."
        )
    return parts
