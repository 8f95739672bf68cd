"""The texts of pseudo-labels come from the source as it is, or adapted to each recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.unsupervised import guess, labeller, surest
from asr_transfer.data.features import build_store
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from tests.tones import make_speaker

SUTA = SutaConfig(steps=6, learning_rate=0.01)


@pytest.fixture(scope="module")
def speech(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recogniser, Spoken]:
    """Return a recogniser and recordings of a speaker whom it understands badly."""
    folder, source = tmp_path_factory.mktemp("labels"), Recogniser.load(tone_run)
    made = [replace(u, text="") for u in make_speaker(folder, "vic", 1.16, 6, 9)]
    return source, Spoken(made, build_store(made, source.model.inputs, cache=folder / "cache"))


def test_a_labeller_that_adapts_to_each_recording_guesses_what_it_then_recognises(
    speech: tuple[Recogniser, Spoken],
) -> None:
    source, spoken = speech
    teacher = labeller(source, MethodSettings(labels="suta"), SUTA)
    found = [guessed.heard.text for guessed in guess(teacher, spoken)]
    assert found == replace(source, test_time=SUTA).listen(spoken)
    assert found != [guessed.heard.text for guessed in guess(source, spoken)]


def test_plain_labels_are_those_of_the_source_itself(speech: tuple[Recogniser, Spoken]) -> None:
    source, spoken = speech
    assert labeller(source, MethodSettings(labels="plain"), SUTA) is source
    assert [guessed.heard.text for guessed in guess(source, spoken)] == source.listen(spoken)


def test_the_surest_are_kept_in_their_order_with_their_texts(speech: tuple[Recogniser, Spoken]) -> None:
    source, spoken = speech
    guesses = guess(source, spoken)
    middle = sorted(guessed.confidence for guessed in guesses)[3]
    kept, report = surest(source, spoken, guesses, middle)
    sure = [(u.id, g.heard.text) for u, g in zip(spoken.utterances, guesses, strict=True) if g.confidence >= middle]
    assert [(u.id, u.text) for u in kept.utterances] == sure and report.kept == len(sure) == 3
    assert {name for name, _ in report.dropped} == {u.id for u in spoken.utterances} - {name for name, _ in sure}
