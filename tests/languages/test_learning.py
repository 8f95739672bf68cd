"""Learning by the best of several ways: what is refused, and what an experiment is shown all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.languages import learning
from asr_transfer.languages.learning import Beside, learn_by_ways, plan_learning
from asr_transfer.languages.learning_settings import LearningSettings
from tests.small import small_model
from tests.tones import make_speaker

SETTINGS = LearningSettings(steps=1, speeds=(1.0,), device="cpu")


def source() -> Recogniser:
    """Return a model of one language that keeps nothing."""
    tokens = Tokens(list("abcd"))
    return Recogniser(small_model(heads={"en": len(tokens)}).eval(), tokens, "en", {})


def french(folder: Path) -> list[Utterance]:
    """Return recordings of another language."""
    return [replace(u, language="fr") for u in make_speaker(folder, "ida", 1.0, 6, 1)]


def test_what_learnt_nothing_is_refused_unless_a_table_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "HOPELESS", 0.0)
    model, spoken = source(), french(tmp_path)
    store = build_store(spoken, model.model.inputs)
    nothing = Spoken([], store)
    beside = Beside(nothing, nothing, {})
    planned = plan_learning(model, "fr", "characters", 5.0, beside, SETTINGS)
    train, dev = Spoken(spoken, store), Spoken(spoken[4:], store)
    said: list[str] = []
    with pytest.raises(DataError, match="are still wrong after 1 steps, so nothing was learnt and no model is written"):
        learn_by_ways(model, planned, train, dev, beside, SETTINGS, tmp_path / "a", said.append, said.append)
    shown = learn_by_ways(
        model, planned, train, dev, beside, SETTINGS, tmp_path / "b", said.append, said.append, hopeless=True
    )
    assert shown.chosen.way == "all" and shown.recogniser.head == "fr" and shown.cpu_seconds > 0


def test_mixing_in_needs_speech_of_other_languages(tmp_path: Path) -> None:
    model = source()
    nothing = Spoken([], build_store(french(tmp_path), model.model.inputs))
    with pytest.raises(ConfigError, match="`joint` mixes speech of the model's other languages in"):
        plan_learning(model, "fr", "characters", 5.0, Beside(nothing, nothing, {}), replace(SETTINGS, way="joint"))


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (8, 2), (50, 10), (300, 25), (600, 50), (5000, 416)])
def test_a_way_that_gains_no_more_can_end_within_a_third_of_its_steps(steps: int, every: int) -> None:
    trainer = SETTINGS.configured("all", "characters", False, "fp32", steps).trainer
    assert trainer.validate_every == every
    if steps >= 120:
        assert 0 < trainer.patience * trainer.validate_every <= steps / 3


@pytest.mark.parametrize(
    ("minutes", "published", "steps"),
    [(1, False, 250), (5, False, 300), (10, False, 600), (30, False, 1800), (600, False, 3000), (1, True, 600)],
)
def test_steps_follow_the_amount_of_speech_and_the_model(minutes: float, published: bool, steps: int) -> None:
    assert LearningSettings().steps_for(60 * minutes, published) == steps
    assert LearningSettings(steps=7).steps_for(60 * minutes, published) == 7


def test_a_plan_has_the_steps_for_its_minutes_and_says_why_only_where_they_are_not_given(tmp_path: Path) -> None:
    model, usual = source(), LearningSettings()
    nothing = Spoken([], build_store(french(tmp_path), model.model.inputs))
    planned = plan_learning(model, "fr", "characters", 10.0, Beside(nothing, nothing, {}), usual)
    assert planned.steps == 600
    assert usual.explained(planned.steps, 600) == (
        "at most 600 steps of each way, 30 passes over the training speech (--steps)"
    )
    assert SETTINGS.explained(1, 600) == ""
