"""How to adapt beside recordings without transcripts: as was chosen, or as usual where nothing else helped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.adaptation import untranscribed
from asr_transfer.adaptation.choice import Choice
from asr_transfer.adaptation.self_training import SelfTraining
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.adaptation.untranscribed import beside, with_untranscribed
from asr_transfer.data.features import build_store
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from tests.adapting import equal
from tests.tones import make_speaker

CONFIG = AdaptConfig(steps=2, precision="fp32", device="cpu")
NOTHING = Choice("none", None, 1.0, "no gain", (), 1.0)
LHUC = Choice("lhuc", 0.1, 0.5, "the best", (), 1.0)
USUAL = Choice("full", 0.01, 0.75, "the usual choice", (), 0.0)

Given = tuple[Recogniser, Spoken, Spoken]


@pytest.fixture(scope="module")
def given(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Return a recogniser, four transcribed recordings and three that have texts of a model."""
    folder, source = tmp_path_factory.mktemp("beside"), Recogniser.load(tone_run)
    made = make_speaker(folder, "pam", 1.08, 7, 6)
    store = build_store(made, source.model.inputs, cache=folder / "cache")
    return source, Spoken(made[:4], store), Spoken(made[4:], store)


def _decided(given: Given, chosen: Choice, helps: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Choice, Any]:
    """Return how to adapt, and the training that was handed to the decision, which is made up."""
    source, own, rest = given
    seen: list[Any] = []

    def decide(transcribed: Spoken, others: Spoken, folds: Any, train: Any, *more: Any, **options: Any) -> SelfTraining:
        seen.append(train)
        return SelfTraining(others if helps else others.subset(()), 0.5 if helps else None, "so it is")

    monkeypatch.setattr(untranscribed, "choose_self_training", decide)
    how, _ = with_untranscribed(source, own, rest, CONFIG, ChoiceConfig(), chosen, USUAL)
    return how, seen[0]


@pytest.mark.parametrize("helps", [True, False])
def test_what_was_chosen_stays_whether_the_others_help_or_not(
    given: Given, helps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    how, train = _decided(given, LHUC, helps, monkeypatch)
    source, own, rest = given
    assert how == LHUC
    alone, both = train(own, rest.subset(())).model.state_dict(), train(own, rest).model.state_dict()
    assert any("lhuc" in name for name in alone) and not equal(alone, both)
    assert not equal(alone, source.model.state_dict())


def test_where_nothing_helped_the_usual_is_taken_if_the_others_help(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    how, train = _decided(given, NOTHING, True, monkeypatch)
    source, own, rest = given
    assert how == replace(USUAL, reason="so it is", cpu_seconds=NOTHING.cpu_seconds)
    assert train(own, rest.subset(())) is source, "they are compared with the model as it is"
    assert not equal(train(own, rest).model.state_dict(), source.model.state_dict())
    assert _decided(given, NOTHING, False, monkeypatch)[0] == NOTHING


def test_both_are_one_speech(given: Given) -> None:
    _, own, rest = given
    assert beside(own, rest).utterances == [*own.utterances, *rest.utterances]
