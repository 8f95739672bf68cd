"""Does for each utterance apart what a beam search does, where hypotheses of several utterances stand in one array.

A frame costs many small operations on arrays, which take nearly as long for one utterance as for a few together.
`owners` are the utterances' numbers of values, in rising order.
"""

from __future__ import annotations

import math

import numpy as np

from asr_transfer.decoding.hypotheses import Floats, Integers, Keys

MOST = 256
"""Utterances that keys can tell apart."""
_LEAST = np.finfo(np.float64).min
_TOLD, _REST = np.uint64(8), np.uint64(56)


def keys_of(keys: Keys, owners: Integers) -> Keys:
    """Return keys that are the same for hypotheses of one utterance alone, and rise with its number."""
    return np.asarray((keys >> _TOLD) | (owners.astype(np.uint64) << _REST))


def highest(values: Floats, owners: Integers, count: int) -> Floats:
    """Return the highest value of each of `count` utterances, -inf of one without any."""
    if count == 1:
        return np.array([values.max(initial=-math.inf)])
    found = np.full(count, -math.inf)
    begin = np.flatnonzero(np.diff(owners, prepend=-1))
    if len(begin):
        found[owners[begin]] = np.maximum.reduceat(values, begin)
    return found


def in_rows(values: Floats, owners: Integers, count: int) -> tuple[Floats, Integers]:
    """Return values with a row for each of `count` utterances, -inf at its end, and where each row begins in them."""
    if count == 1:
        return values[None], np.zeros(1, dtype=np.int64)
    sizes = np.bincount(owners, minlength=count)
    begin = np.cumsum(sizes) - sizes
    rows = np.full((count, int(sizes.max(initial=0))), -math.inf)
    rows[owners, np.arange(len(values)) - begin[owners]] = values
    return rows, begin


def at_rank(rows: Floats, rank: int) -> Floats:
    """Return the value of each row that `rank` - 1 others are above; -inf where there are fewer."""
    width = rows.shape[1]
    if width < rank:
        return np.full(len(rows), -math.inf)
    return np.asarray(np.partition(rows, width - rank, axis=1)[:, width - rank])


def best_of_each(scores: Floats, owners: Integers, count: int, beam: int, threshold: float) -> Integers:
    """Return the indices of each utterance's `beam` highest scores that are finite and near enough to its highest.

    Of equal scores the first are taken, so that an utterance's are the same alone.

    Args:
        scores: (n,).
        owners: (n,).
        count: number of utterances.
        beam: number of each.
        threshold: greatest distance of a score below the highest of its utterance.

    Returns:
        Rising indices.
    """
    rows, begin = in_rows(scores, owners, count)
    least = np.maximum(rows.max(axis=1, initial=-math.inf) - threshold, _LEAST)
    if rows.shape[1] <= beam:
        row, column = np.nonzero(rows >= least[:, None])
        return np.asarray(begin[row] + column)
    last = at_rank(rows, beam)
    kept = rows >= np.maximum(least, last)[:, None]
    surplus = kept.sum(axis=1) - beam
    if surplus.max() > 0:
        equal = kept & (rows == last[:, None])
        kept &= ~equal | (np.cumsum(equal, axis=1) <= (equal.sum(axis=1) - surplus)[:, None])
    row, column = np.nonzero(kept)
    return np.asarray(begin[row] + column)
