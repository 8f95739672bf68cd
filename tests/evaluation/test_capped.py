"""A clip on which a decoder ran away counts as much as one of which nothing was written."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asr_transfer.evaluation.capped import capped, capped_errors
from asr_transfer.evaluation.scoring import Hypothesis, align


def _clip(name: str, reference: str, hypothesis: str) -> Hypothesis:
    return Hypothesis(name, "joe", "en", reference, hypothesis)


CLIPS = [_clip("a", "abcd", "abcd " * 30), _clip("b", "abcdef", "abcdex"), _clip("c", "", "thanks for watching")]


def test_errors_of_a_clip_are_at_most_its_reference() -> None:
    found = capped(CLIPS)
    assert found.cer == pytest.approx((4 + 1) / 10)
    assert found.wer == pytest.approx((1 + 1) / 2)
    assert (found.over, found.clips) == (1, 2)
    assert capped_errors(align(CLIPS, "character")).tolist() == [4, 1, 0]
    assert np.all(align(CLIPS, "character").errors >= capped_errors(align(CLIPS, "character")))


def test_what_is_compared_is_normalised_first() -> None:
    clips = [_clip("a", "hey you", "Hey, you!")]
    assert capped(clips).cer > 0
    assert capped(clips, "basic").cer == 0
    assert "0 of 1 clips above it" in str(capped(clips, "basic"))


def test_of_no_reference_there_is_no_rate() -> None:
    found = capped(CLIPS[2:])
    assert math.isnan(found.cer) and found.to_plain() == {"wer": None, "cer": None, "over": 0, "clips": 0}
