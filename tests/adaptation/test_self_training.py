"""Recordings without transcripts are trained on where that helps held-out ones, and only there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.adaptation.answers import Answers
from asr_transfer.adaptation.self_training import SelfTraining, choose_self_training
from asr_transfer.data.features import build_store
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import TrainingError
from tests.tones import make_speaker

FOLDS = [[0, 1], [2, 3], [4, 5]]
UNITS = 10.0


class School:
    """Trainings that only count: what they are given, and how models answer that were given so much.

    Args:
        source: recogniser that serves as every trained model.
        errors: errors of a model on an utterance, from the number of labelled recordings that it was given and the
            number of the utterance.
    """

    def __init__(self, source: Recogniser, errors: Callable[[int, int], float]) -> None:
        self.source, self.errors = source, errors
        self.trained: list[tuple[list[str], list[str]]] = []
        self._given: dict[int, tuple[Recogniser, int]] = {}

    def train(self, own: Spoken, labelled: Spoken) -> Recogniser:
        """Return a model that remembers how much it was given."""
        self.trained.append(([u.id for u in own.utterances], [u.text for u in labelled.utterances]))
        model = replace(self.source)
        self._given[id(model)] = (model, len(labelled))
        return model

    def answer(self, model: Recogniser, spoken: Spoken) -> Answers:
        """Return the errors of a model, and losses that are as many."""
        _, given = self._given[id(model)]
        errors = np.array([self.errors(given, int(u.id.split("-")[1])) for u in spoken.utterances])
        return Answers(errors, np.full(len(spoken), UNITS), errors + 1)


@pytest.fixture(scope="module")
def speech(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recogniser, Spoken, Spoken]:
    """Return a recogniser, six transcribed recordings and five whose texts nobody may read."""
    folder, source = tmp_path_factory.mktemp("school"), Recogniser.load(tone_run)
    made = make_speaker(folder, "kim", 1.0, 11, 3)
    store = build_store(made, source.model.inputs, cache=folder / "cache")
    return source, Spoken(made[:6], store), Spoken([replace(u, text="") for u in made[6:]], store)


def _choose(
    speech: tuple[Recogniser, Spoken, Spoken],
    errors: Callable[[int, int], float],
    confidences: Sequence[float] = (0.0,),
    folds: Sequence[Sequence[int]] = FOLDS,
) -> tuple[SelfTraining, School]:
    source, own, rest = speech
    school = School(source, errors)
    return choose_self_training(own, rest, folds, school.train, confidences, school.answer), school


def test_what_helps_held_out_recordings_is_used_with_the_texts_of_a_model(
    speech: tuple[Recogniser, Spoken, Spoken],
) -> None:
    found, school = _choose(speech, lambda given, number: 4 + number % 2 - (2 if given else 0))
    texts = school.source.transcribe([u.audio for u in speech[2].utterances])
    assert [u.text for u in found.spoken.utterances] == texts and all(texts)
    assert found.confidence == 0.0 and found.trials[0].helps
    assert "5 of 5 recordings without transcript are used" in found.reason
    assert "character errors 27 → 15 of 60 on held-out recordings (-20.0 points, 95 % interval" in found.reason
    # Three folds, each without and with the others, and the model that labels them at last.
    assert [len(own) for own, _ in school.trained] == [4, 4, 4, 4, 4, 4, 6]
    assert [len(labelled) for _, labelled in school.trained] == [0, 5, 0, 5, 0, 5, 0]


def test_no_recording_is_held_out_from_a_model_that_learnt_it(speech: tuple[Recogniser, Spoken, Spoken]) -> None:
    _, school = _choose(speech, lambda given, number: 3)
    for fold, (own, _) in zip(FOLDS, school.trained[::2], strict=True):
        assert not {f"kim-{number}" for number in fold} & set(own)


@pytest.mark.parametrize(
    ("errors", "why"),
    [
        (lambda given, number: 4 + (1 if given else 0), "character errors 24 → 30"),
        (lambda given, number: 4, "character errors 24 → 24"),
        (lambda given, number: 4 + (number % 2 * 2 - 1.2 if given and number < 4 else 0), "by more than chance"),
    ],
    ids=["harm", "nothing", "chance"],
)
def test_what_does_not_help_is_not_used_and_it_is_said(
    speech: tuple[Recogniser, Spoken, Spoken], errors: Callable[[int, int], float], why: str
) -> None:
    found, _ = _choose(speech, errors)
    assert not found.spoken and found.confidence is None
    assert "are not used" in found.reason and why in found.reason


def test_the_confidence_that_helps_most_is_taken_and_equal_ones_are_trained_once(
    speech: tuple[Recogniser, Spoken, Spoken],
) -> None:
    sure, _ = _choose(speech, lambda given, number: 5 - given, (0.0, 1e-9, 1.0))
    assert sure.confidence == 0.0 and [trial.taken for trial in sure.trials] == [5, 5, 0]
    assert sure.trials[2].failed == "the model is nowhere as sure"
    _, school = _choose(speech, lambda given, number: 5 - given, (0.0, 1e-9, 1.0))
    assert len(school.trained) == 3 * 2 + 1


def test_with_nothing_to_hold_out_or_nothing_else_to_learn_from_nothing_is_trained(
    speech: tuple[Recogniser, Spoken, Spoken],
) -> None:
    found, school = _choose(speech, lambda given, number: 1, folds=[])
    assert "too few have a transcript" in found.reason and not school.trained
    _, own, rest = speech
    none = choose_self_training(own, rest.subset(()), FOLDS, school.train, (0.5,), school.answer)
    assert "there is no recording without transcript" in none.reason and not school.trained


def test_a_training_that_does_not_stay_finite_is_no_option(speech: tuple[Recogniser, Spoken, Spoken]) -> None:
    source, own, rest = speech
    school = School(source, lambda given, number: 4)

    def train(own: Spoken, labelled: Spoken) -> Recogniser:
        if labelled:
            raise TrainingError("not today")
        return school.train(own, labelled)

    found = choose_self_training(own, rest, FOLDS, train, (0.0,), school.answer)
    assert not found.spoken and "did not stay finite" in found.reason
