"""What is done for each utterance apart is what is done with it alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asr_transfer.decoding.hypotheses import START, best, longer
from asr_transfer.decoding.side_by_side import at_rank, best_of_each, highest, in_rows, keys_of


def _values(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    values = random.normal(size=sum(sizes))
    values[random.random(len(values)) < 0.2] = -math.inf
    return values, np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize("sizes", [[7], [5, 0, 9, 1], [0, 0, 3], [0]])
@pytest.mark.parametrize("beam", [1, 3, 20])
def test_each_is_as_alone(sizes: list[int], beam: int) -> None:
    values, owners = _values(sizes)
    rows, begin = in_rows(values, owners, len(sizes))
    ranked, top = at_rank(rows, beam), highest(values, owners, len(sizes))
    kept = best_of_each(values, owners, len(sizes), beam, 0.7)
    for number, size in enumerate(sizes):
        own = values[owners == number]
        assert rows[number, :size].tolist() == own.tolist() and (rows[number, size:] == -math.inf).all()
        ordered = np.sort(own)[::-1]
        assert ranked[number] == (ordered[beam - 1] if size >= beam else -math.inf)
        assert top[number] == own.max(initial=-math.inf)
        mine = kept[owners[kept] == number]
        assert sorted(mine - begin[number]) == sorted(best(own, beam, 0.7))
    assert (np.diff(kept) > 0).all()


def test_of_equal_scores_the_first_are_taken() -> None:
    scores = np.array([1.0, 2.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    assert best_of_each(scores, np.array([0, 0, 0, 0, 1, 1, 1]), 2, 2, 9.0).tolist() == [0, 1, 5, 6]
    assert best_of_each(scores, np.zeros(7, dtype=np.int64), 1, 3, 9.0).tolist() == [0, 1, 2]


def test_keys_tell_utterances_apart_and_rise_with_their_number() -> None:
    keys = longer(np.full(6, START), np.array([1, 2, 3, 1, 2, 3]))
    owners = np.array([0, 0, 0, 1, 1, 255])
    found = keys_of(keys, owners)
    assert len(set(found.tolist())) == 6 and found[:3].max() < found[3:5].min() and found[:5].max() < found[5]
