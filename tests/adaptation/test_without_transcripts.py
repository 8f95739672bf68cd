"""Choosing how to adapt to recordings without transcripts: transcribed ones decide, or nothing is said to be sure."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.adaptation import without_transcripts
from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.answers import answers
from asr_transfer.adaptation.own_statistics import statistics_of
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.adaptation.unsupervised import Guess
from asr_transfer.adaptation.without_transcripts import answers_as_heard, choose_without_transcripts
from asr_transfer.data.features import build_store
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.decoders import Heard
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from tests.tones import make_speaker

CONFIG = AdaptConfig(steps=30, precision="fp32", device="cpu", settings=MethodSettings(confidence=0.0))
TRIED = ChoiceConfig(strengths=(1.0,), without_transcripts=("suta", "pseudo-label+full"), adabn=False)

Bare = tuple[Recogniser, Spoken, Spoken]


@pytest.fixture(scope="module")
def bare(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """Return a recogniser, recordings of a speaker without texts, and five others with texts."""
    folder, source = tmp_path_factory.mktemp("bare"), Recogniser.load(tone_run)
    made = make_speaker(folder, "uma", 1.09, 15, 5)
    store = build_store(made, source.model.inputs, cache=folder / "cache")
    return source, Spoken([replace(u, text="") for u in made[:10]], store), Spoken(made[10:], store)


def test_answers_are_those_of_the_model_and_at_test_time_those_of_the_adapted_one(bare: Bare) -> None:
    source, _, transcribed = bare
    spelled = transcribed.spelled(source.tokens)
    plain, expected = answers_as_heard(source, spelled), answers(source, spelled, range(len(spelled)))
    assert np.array_equal(plain.errors, expected.errors) and np.array_equal(plain.units, expected.units)
    assert plain.losses == pytest.approx(expected.losses, rel=1e-4)
    adapted = answers_as_heard(replace(source, test_time=SutaConfig()), spelled)
    assert not np.allclose(adapted.losses, plain.losses)


def test_transcribed_recordings_decide(bare: Bare) -> None:
    source, spoken, transcribed = bare
    lines: list[str] = []
    found = choose_without_transcripts(source, spoken, CONFIG, TRIED, transcribed, lines.append)
    assert {rung.method for rung in found.ladder} == {"suta", "pseudo-label+full"} and len(lines) == 2
    spelled = transcribed.spelled(source.tokens)
    before = answers_as_heard(source, spelled).errors.sum()
    for rung in found.ladder:
        after = adapt(source, spoken, rung.method, replace(CONFIG, learning_rate=rung.learning_rate or None)).recogniser
        assert rung.errors == answers_as_heard(after, spelled).errors.sum() and rung.source_errors == before
    assert [rung.score for rung in found.ladder] == sorted(rung.score for rung in found.ladder)


def test_what_gains_is_chosen_and_what_does_not_is_not(bare: Bare) -> None:
    source, spoken, transcribed = bare
    # A method that reads true texts gains for certain, which the model's own texts would not.
    truth = replace(TRIED, without_transcripts=("full",))
    won = choose_without_transcripts(source, transcribed, replace(CONFIG, steps=60), truth, transcribed)
    harmful = replace(TRIED, without_transcripts=("suta",))
    lost = choose_without_transcripts(
        source, spoken, replace(CONFIG, suta=SutaConfig(learning_rate=1.0)), harmful, transcribed
    )
    assert won.method == "full" and "they have chosen it" in won.reason
    assert lost.method == "none" and "no gain beyond chance" in lost.reason and lost.learning_rate is None


def test_nothing_sure_enough_to_learn_from_is_no_option(bare: Bare) -> None:
    source, spoken, transcribed = bare
    config = replace(CONFIG, settings=MethodSettings(confidence=1.0))
    tried = replace(TRIED, without_transcripts=("pseudo-label+full",))
    found = choose_without_transcripts(source, spoken, config, tried, transcribed)
    assert found.method == "none" and "nowhere as sure as 1" in found.reason


@pytest.mark.parametrize(
    ("text", "confidence", "method", "why"),
    [
        ("abba abba", 0.5, "suta", "test-time adaptation took errors away"),
        ("abba abba", 0.99, "none", "gains little"),
        ("ab", 0.5, "none", "too few to adapt to each alone"),
    ],
)
def test_without_any_transcript_only_test_time_adaptation_is_chosen_and_no_gain_is_claimed(
    bare: Bare, monkeypatch: pytest.MonkeyPatch, text: str, confidence: float, method: str, why: str
) -> None:
    source, spoken, transcribed = bare
    guesses = [Guess(Heard(text, ()), confidence)] * len(spoken)
    monkeypatch.setattr(without_transcripts, "guess", lambda source, spoken: guesses)
    found = choose_without_transcripts(source, spoken, CONFIG, TRIED, transcribed.subset(range(1)))
    assert (found.method, found.ladder) == (method, ())
    assert why in found.reason and "that is no error rate" in found.reason


def test_recordings_through_another_channel_are_normalised_by_their_own_statistics(
    bare: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, spoken, transcribed = bare
    tried, none = replace(TRIED, adabn=True), transcribed.subset(())
    usual = choose_without_transcripts(source, spoken, CONFIG, tried, none)
    assert usual.method != "adabn", "these recordings sound as those that it was trained on"
    elsewhere = replace(source, model=copy.deepcopy(source.model))
    for name, tensor in statistics_of(elsewhere.model):
        tensor.mul_(1 if name.endswith("mean") else 5)
    compared = choose_without_transcripts(elsewhere, spoken, CONFIG, tried, transcribed)
    assert {rung.method for rung in compared.ladder} == {
        "suta", "pseudo-label+full", "adabn", "adabn+pseudo-label+full"
    }  # fmt: skip
    assert choose_without_transcripts(elsewhere, spoken, CONFIG, tried, none).method != "adabn", "unseen on no tdnn"
    monkeypatch.setattr(without_transcripts, "is_measured", lambda model: True)
    unseen = choose_without_transcripts(elsewhere, spoken, CONFIG, tried, none)
    assert (unseen.method, unseen.learning_rate, unseen.ladder) == ("adabn", None, ())
    assert "the recordings differ from what the model was trained on" in unseen.reason
    assert "that is no error rate" in unseen.reason
