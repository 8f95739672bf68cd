"""Subsets of training speech lie inside each other, last no longer than they say, and differ from seed to seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from asr_transfer.data.manifest import Utterance
from asr_transfer.data.subsets import nested_subsets
from asr_transfer.errors import DataError

SECONDS = np.random.default_rng(0).uniform(0.5, 9.0, 40).tolist()
SPEECH = [Utterance(f"u{n:02}", f"{n}.wav", seconds, "a", "s", "en") for n, seconds in enumerate(SECONDS)]


@pytest.mark.parametrize("seed", range(5))
def test_an_amount_is_reached_by_less_than_an_utterance_and_never_passed(seed: int) -> None:
    amounts = (0.2, 0.5, 1.0, 2.0)
    found = nested_subsets(SPEECH, amounts, seed)
    for amount in amounts:
        assert 60 * amount - max(SECONDS) < sum(u.duration for u in found[amount]) <= 60 * amount
    for less, more in pairwise(amounts):
        assert found[more][: len(found[less])] == found[less]


def test_a_subset_depends_on_its_seed_and_not_on_the_order_that_is_given() -> None:
    found = [{u.id for u in nested_subsets(SPEECH, (1.0,), seed)[1.0]} for seed in range(4)]
    assert all(one != other for n, one in enumerate(found) for other in found[:n])
    assert nested_subsets(SPEECH[::-1], (1.0,), 0) == nested_subsets(SPEECH, (1.0,), 0)


def test_amounts_that_speech_cannot_give_are_refused() -> None:
    with pytest.raises(DataError, match="100 minutes are asked for"):
        nested_subsets(SPEECH, (100,), 0)
    with pytest.raises(DataError, match="less than the first utterance lasts"):
        nested_subsets(SPEECH, (0.005,), 0)
