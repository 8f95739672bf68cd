"""Learning a language with a model that keeps no speech ended with a memory map of an empty file."""

from __future__ import annotations

from pathlib import Path

from asr_transfer.data.features import build_store
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.languages.learning import kept_beside, load_any_head, plan_learning
from asr_transfer.languages.learning_settings import LearningSettings
from tests.small import small_model
from tests.tones import make_speaker


def test_a_model_that_keeps_nothing_is_taught_without(tmp_path: Path) -> None:
    tokens = Tokens(list("abcd"))
    Recogniser(small_model(heads={"en": len(tokens)}).eval(), tokens, "en", {}).save(tmp_path / "model", "", {})
    source = load_any_head(tmp_path / "model")
    store = build_store(make_speaker(tmp_path, "ida", 1.0, 2, 1), source.model.inputs)
    beside = kept_beside(tmp_path / "model", source, "fr", store)
    assert not beside.replay and not beside.judged and not beside.kept
    assert plan_learning(source, "fr", "characters", 5.0, beside, LearningSettings()).ways == ("all",)
