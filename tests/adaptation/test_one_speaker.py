"""A second speaker among recordings is noticed from what the front end makes of them, and one alone is not."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.adaptation import one_speaker
from asr_transfer.adaptation.one_speaker import Voices, fit, remark_on_second_speaker, split
from asr_transfer.data.features import FeatureStore, build_store
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
    assert right >= 20 and alarms == 0


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


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Recogniser:
    """Return a model whose front end makes of recordings what their texts number."""
    rows, _ = _drawn(np.random.default_rng(1), 22, 6)

    def planted(model: object, spoken: Spoken, depth: int) -> np.ndarray:
        return np.stack([rows[int(utterance.text)] for utterance in spoken.utterances])

    monkeypatch.setattr(one_speaker, "statistics", planted)
    return _source()


def _source() -> Recogniser:
    tokens = Tokens([*"abcdef "])
    return Recogniser(small_model(heads={"en": len(tokens)}).eval(), tokens, "en", {})


def _spoken(numbers: list[int], speaker: str | None = None) -> Spoken:
    """Return utterances of which no recording is read."""
    made = [Utterance(f"u{n}", f"{n}.wav", 2.0, str(n), speaker or f"s{n // 6}", "en") for n in numbers]
    return Spoken(made, FeatureStore.__new__(FeatureStore))


KNOWN = list(range(120))
OWN = [120, 121, 122, 123, 124, 125, 126, 127]


def test_the_recordings_of_the_smaller_group_are_named_with_what_to_do(source: Recogniser) -> None:
    with pytest.warns(Remark, match="another speaker, or another microphone, than the other 6; .* --speaker") as said:
        found = remark_on_second_speaker(source, _spoken(OWN, "folder"), [_spoken(KNOWN)])
    assert found is not None and found.smaller == (6, 7)
    (remark,) = (one.message for one in said if isinstance(one.message, Remark))
    assert remark.files == ("126.wav", "127.wav")


def test_speakers_that_the_manifest_names_are_told(source: Recogniser) -> None:
    with pytest.warns(Remark, match=r"are of 2 speakers, 's0' \(6\), 's1' \(4\), who are adapted to as if"):
        assert remark_on_second_speaker(source, _spoken(list(range(10))), []) is None
    with pytest.warns(Remark, match=r"are of 7 speakers, .* and 3 more, .* --speaker$"):
        remark_on_second_speaker(source, _spoken(list(range(0, 42, 6))), [_spoken(KNOWN)])


def test_nothing_is_said_of_one_speaker_or_where_nothing_is_known(source: Recogniser) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Remark)
        assert remark_on_second_speaker(source, _spoken(OWN[:6]), [_spoken(KNOWN)]) is None
        assert remark_on_second_speaker(source, _spoken(OWN, "folder"), []) is None
        assert remark_on_second_speaker(source, _spoken(OWN, "folder"), [_spoken(KNOWN[:42])]) is None
        assert remark_on_second_speaker(source, _spoken(OWN[5:7], "folder"), [_spoken(KNOWN)]) is None


def test_the_statistics_are_mean_and_deviation_of_what_the_front_end_makes(tmp_path: Path) -> None:
    source = _source()
    made = make_speaker(tmp_path, "ida", 1.1, 2, 3)
    spoken = Spoken(made, build_store(made, source.model.inputs, cache=tmp_path / "cache"))
    batch = spoken.collate([1])
    (front,) = source.model.front_end()
    with torch.no_grad():
        hidden, _ = source.model.get_submodule(front.path)(batch.inputs, batch.lengths)
    expected = np.concatenate([hidden[0].mean(0).numpy(), hidden[0].std(0, correction=0).numpy()])
    np.testing.assert_allclose(one_speaker.statistics(source.model, spoken, 1)[1], expected, rtol=1e-4, atol=1e-5)


def test_no_more_is_listened_to_of_a_kept_speaker_than_tells_more(
    source: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    planted = one_speaker.statistics

    def noted(model: object, spoken: Spoken, depth: int) -> np.ndarray:
        heard.extend(utterance.speaker for utterance in spoken.utterances)
        return planted(model, spoken, depth)  # type: ignore[arg-type]

    monkeypatch.setattr(one_speaker, "statistics", noted)
    monkeypatch.setattr(one_speaker, "EACH", 4)
    remark_on_second_speaker(source, _spoken(OWN, "folder"), [_spoken(KNOWN), _spoken(KNOWN)])
    known = [heard.count(name) for name in dict.fromkeys(heard) if name != "folder"]
    assert len(known) > one_speaker.LEAST_SPEAKERS and set(known) == {4}
