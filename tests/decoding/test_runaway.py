"""Loops are found while they are written, searched again or cut, and long texts of short recordings are stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.decoding import writing
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.runaway import compression, limit, repetition, without_repetition
from asr_transfer.decoding.sequence import Spelled
from asr_transfer.decoding.settings import WritingConfig
from tests.models.pretrained.whole_whisper import features, write_whisper


@pytest.mark.parametrize(
    ("tokens", "length"),
    [
        ([5, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], 3),
        ([1] * 8, 1),
        ([1] * 7, 0),
        ([9, 4, 4, 4, 4], 0),
        ([1, 2, 1, 2, 1, 2, 1, 2], 2),
        ([1, 2, 1, 2, 1, 2, 1, 3], 0),
        ([], 0),
    ],
)
def test_a_phrase_is_a_loop_from_four_times_and_eight_tokens_on(tokens: list[int], length: int) -> None:
    assert repetition(tokens, 4, 8) == length


def test_of_a_loop_the_phrase_stays_once_with_what_stood_before() -> None:
    assert without_repetition([7, 8, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], 3) == [7, 8, 1, 2, 3]
    assert without_repetition([7, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], 3) == [7, 2, 3, 1]
    assert without_repetition([1] * 12, 1) == [1]


def test_prose_is_below_whispers_threshold_and_a_loop_above_it() -> None:
    assert compression("the quick brown fox jumps over the lazy dog and then it sleeps") < 1.6 < 2.4
    assert compression("thank you very much " * 20) > 2.4
    assert compression("") == 0


def test_a_recording_can_hold_so_many_tokens() -> None:
    assert limit(2.0, WritingConfig(tokens_per_second=12, tokens_beside=8)) == 32


def _recogniser(folder: Path) -> Recogniser:
    write_whisper(folder)
    return Recogniser.load(folder)


def _written(recogniser: Recogniser, seconds: float = 1.0) -> list[writing.Written]:
    return recogniser.writer().write(features(2), torch.tensor([200, 200]), [seconds] * 2, ["en"] * 2)


@pytest.mark.parametrize("sound", [True, False])
def test_a_loop_is_searched_again_and_cut_where_that_loops_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: bool
) -> None:
    recogniser = _recogniser(tmp_path / "published")
    loop = tuple(b"hey yes yes yes yes yes yes")
    second = Spelled(tuple(b"hey yes"), -0.1, sound)
    monkeypatch.setattr(
        writing, "write_greedily", lambda *a: [Spelled(tuple(b"well"), -0.1, True), Spelled(loop, -1, False)]
    )
    asked: list[int] = []
    monkeypatch.setattr(writing, "write_by_beam", lambda m, v, s, p, *a: asked.append(len(p)) or [second])
    fine, mended = _written(recogniser)
    assert asked == [1]
    assert (fine.text, fine.ran_away) == (recogniser.tokens.decode(b"well"), False)
    assert mended.ran_away
    assert mended.tokens == (second.tokens if sound else tuple(b"hey yes"))


def test_without_the_guard_nothing_is_cut(tmp_path: Path) -> None:
    recogniser = _recogniser(tmp_path / "published")
    recogniser.writing = WritingConfig(guard=False)
    long = _written(recogniser, 0.1)
    recogniser.writing = WritingConfig(tokens_per_second=1, tokens_beside=5, fallback_beam=1)
    short = _written(recogniser, 0.1)
    assert max(len(one.tokens) for one in long) > 20
    assert max(len(one.tokens) for one in short) <= 5
    assert any(one.ran_away for one in short) and not any(one.ran_away for one in long)


def test_an_unlikely_text_of_no_speech_is_dropped(tmp_path: Path) -> None:
    recogniser = _recogniser(tmp_path / "published")
    recogniser.writing = WritingConfig(no_speech=0.0, least_likely=0.0, compression=float("inf"))
    assert [(one.text, one.silent) for one in _written(recogniser)] == [("", True)] * 2
    recogniser.writing = WritingConfig(no_speech=1.0, least_likely=0.0, compression=float("inf"))
    assert not any(one.silent for one in _written(recogniser))
