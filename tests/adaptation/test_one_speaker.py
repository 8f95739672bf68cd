"""A second speaker among recordings is noticed from what the front end makes of them, and one alone is not."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.adaptation.one_speaker import Voices, fit, remark_on_second_speaker, split
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.remarks import Remark
from tests.small import small_model
from tests.tones import make_speaker

DIMS, APART = 20, 1.5
SECONDS = np.full(8, 2.0)


def _drawn(random: np.random.Generator, speakers: int, each: int) -> tuple[np.ndarray, list[str]]:
    """Return statistics of speakers who differ in five directions, recordings of one in all."""
    means = np.zeros((speakers, DIMS))
    means[:, :5] = APART * random.standard_normal((speakers, 5))
    rows = np.repeat(means, each, 0) + 0.5 * random.standard_normal((speakers * each, DIMS))
    return rows, [f"s{number}" for number in range(speakers) for _ in range(each)]


@pytest.fixture(scope="module")
def voices() -> Voices:
    rows, names = _drawn(np.random.default_rng(1), 20, 6)
    found = fit(rows, names, np.full(len(rows), 2.0))
    assert found is not None
    return found


def test_two_speakers_are_told_apart_and_one_is_not(voices: Voices) -> None:
    random = np.random.default_rng(2)
    right = alarms = 0
    for _ in range(40):
        (first, second), (alone, _) = ((rows[:8], rows[8:]) for rows in (_drawn(random, 2, 8)[0] for _ in range(2)))
        found = split(voices, np.concatenate([first[:6], second[:2]]), SECONDS)
        right += found.smaller == (6, 7) and found.evidence > voices.bar
        alarms += split(voices, alone, SECONDS).evidence > voices.bar
    assert right >= 30 and alarms == 0


def test_the_order_of_the_recordings_does_not_matter(voices: Voices) -> None:
    rows = np.concatenate([part[:4] for part in np.split(_drawn(np.random.default_rng(3), 2, 8)[0], 2)])
    order = np.random.default_rng(4).permutation(8)
    one, other = split(voices, rows, SECONDS), split(voices, rows[order], SECONDS)
    assert one.evidence == pytest.approx(other.evidence, abs=1e-9)
    groups = [{*one.smaller}, {int(order[number]) for number in other.smaller}]
    assert groups[0] in (groups[1], {*range(8)} - groups[1])


def test_too_few_known_speakers_tell_nothing() -> None:
    rows, names = _drawn(np.random.default_rng(5), 7, 3)
    assert fit(rows, names, np.full(len(rows), 2.0)) is None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recogniser, list[Utterance], list[Utterance]]:
    """Return a model, recordings of ten known speakers, and of two further ones."""
    folder = tmp_path_factory.mktemp("speakers")
    known = [u for n in range(10) for u in make_speaker(folder, f"known{n}", 0.6 + 0.1 * n, 6, 20 + n)]
    own = [u for n, shift in enumerate((0.7, 1.4)) for u in make_speaker(folder, f"own{n}", shift, 6, 40 + n)]
    tokens = Tokens([*"abcdef "])
    return Recogniser(small_model(heads={"en": len(tokens)}).eval(), tokens, "en", {}), known, own


def _spoken(source: Recogniser, utterances: list[Utterance], folder: Path) -> Spoken:
    return Spoken(utterances, build_store(utterances, source.model.inputs, cache=folder))


def test_the_recordings_of_the_smaller_group_are_named_with_what_to_do(
    made: tuple[Recogniser, list[Utterance], list[Utterance]], tmp_path: Path
) -> None:
    source, known, own = made
    mixed = [replace(utterance, speaker="folder") for utterance in own[:8]]
    kept = _spoken(source, known, tmp_path)
    with pytest.warns(Remark, match="another speaker, or another microphone, than the other 6; .* --speaker") as said:
        found = remark_on_second_speaker(source, _spoken(source, mixed, tmp_path), [kept])
    assert found is not None and found.smaller == (6, 7)
    (remark,) = (one.message for one in said if isinstance(one.message, Remark))
    assert remark.files == tuple(utterance.audio for utterance in own[6:8])


def test_nothing_is_said_of_one_speaker_of_named_ones_or_where_nothing_is_known(
    made: tuple[Recogniser, list[Utterance], list[Utterance]], tmp_path: Path
) -> None:
    source, known, own = made
    kept = _spoken(source, known, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Remark)
        assert remark_on_second_speaker(source, _spoken(source, own[:6], tmp_path), [kept]) is None
        assert remark_on_second_speaker(source, _spoken(source, own, tmp_path), [kept]) is None
        unnamed = [replace(utterance, speaker="folder") for utterance in own]
        assert remark_on_second_speaker(source, _spoken(source, unnamed, tmp_path), []) is None
        assert remark_on_second_speaker(source, _spoken(source, unnamed[:2], tmp_path), [kept]) is None
