"""Candidates are refused for what they cost the model's other languages, each judged through its own head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.choice import Choice, choose
from asr_transfer.adaptation.judge import Judge
from asr_transfer.adaptation.ladder import Candidate, describe
from asr_transfer.adaptation.loss_of_others import Loss, costly, mean_abroad
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from tests.tones import make_speaker

CONFIG = AdaptConfig(steps=10, precision="fp32", device="cpu")
CHOICE = ChoiceConfig(folds=2, strengths=(1.0,), tolerance=0.01)
RUINOUS = Candidate("full", 0.02)


@pytest.fixture(scope="module")
def source(languages_run: Path) -> Recogniser:
    """Return the model of two languages, listening in the first."""
    return Recogniser.load(languages_run, "en")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Return a far-off speaker of the first language."""
    return make_speaker(tmp_path_factory.mktemp("own"), "mia", 1.15, 6, 8)


@pytest.fixture(scope="module")
def abroad(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Return a near speaker of the second language."""
    return make_speaker(tmp_path_factory.mktemp("abroad"), "jan", 1.0, 10, 4, "nl")


@pytest.fixture(scope="module")
def store(source: Recogniser, own: Sequence[Utterance], abroad: Sequence[Utterance]) -> FeatureStore:
    """Return the inputs of both."""
    return build_store([*own, *abroad], source.model.inputs)


def _chosen(
    source: Recogniser, own: Sequence[Utterance], judged: Sequence[Utterance], store: FeatureStore, choice: ChoiceConfig
) -> Choice:
    return choose(source, Spoken(own, store), CONFIG, choice, [RUINOUS], judged=Spoken(judged, store))


def test_a_candidate_that_ruins_another_language_is_refused(
    source: Recogniser, own: list[Utterance], abroad: list[Utterance], store: FeatureStore
) -> None:
    found = _chosen(source, own, abroad, store, CHOICE)
    (rung,) = found.ladder
    assert found.method == "none" and rung.errors < rung.source_errors, "it is good for the speaker"
    assert rung.forgetting is None and rung.abroad["nl"].risen > 0.01
    assert rung.refused.startswith("other languages would be ") and "more than 1" in rung.refused
    assert "other languages +" in describe(rung)
    assert set(rung.to_plain()["abroad"]["nl"]) == {"risen", "error"}
    assert _chosen(source, own, abroad, store, replace(CHOICE, tolerance=10.0)).method == "full"
    assert _chosen(source, own, (), store, CHOICE).method == "full", "nobody knows of any other language"


def test_each_language_is_judged_through_its_own_head(
    source: Recogniser, own: list[Utterance], abroad: list[Utterance], store: FeatureStore
) -> None:
    parts = {"nl": Spoken(abroad, store)}
    judge = Judge(source, Spoken(own, store), Spoken((), store), abroad=parts)
    assert judge.lost_abroad(source)["nl"].risen == 0
    adapted = adapt(source, Spoken(own, store), "full", replace(CONFIG, learning_rate=0.02))
    alone = Judge(source.for_head("nl"), Spoken(abroad, store), Spoken(abroad, store))
    found = judge.lost_abroad(adapted.recogniser)["nl"]
    assert found.risen == pytest.approx(alone.forgetting(adapted.recogniser.for_head("nl"))) and found.risen > 0
    assert found.error is not None and found.error > 0


def test_frozen_layers_give_the_same_loss_of_other_languages(
    source: Recogniser, own: list[Utterance], abroad: list[Utterance], store: FeatureStore
) -> None:
    judge = Judge(source, Spoken(own, store), Spoken((), store), abroad={"nl": Spoken(abroad, store)})
    adapted = adapt(source, Spoken(own, store), "last-layers", replace(CONFIG, learning_rate=0.2))
    assert adapted.depth > 0
    whole, part = (judge.lost_abroad(adapted.recogniser, depth)["nl"].risen for depth in (0, adapted.depth))
    assert part == pytest.approx(whole, abs=1e-5) and whole != 0


def test_one_language_among_many_is_refused_for_only_beyond_chance() -> None:
    calm = {f"l{number}": Loss(0.0, 0.01) for number in range(9)}
    assert costly({**calm, "fr": Loss(0.05, 0.03)}, 0.01) == ""
    assert costly({**calm, "fr": Loss(0.09, 0.03)}, 0.01) == "'fr' would be +9.0 ± 3.0 points worse, beyond chance"
    assert costly({**calm, "fr": Loss(0.12, 0.09)}, 0.01).startswith("other languages would be 1.2 points worse")
    assert costly({}, 0.01) == ""


def test_the_mean_counts_every_language_the_same() -> None:
    found = mean_abroad({"de": Loss(0.02, 0.03), "fr": Loss(0.04, 0.04)})
    assert found.risen == pytest.approx(0.03) and found.error == pytest.approx(0.025)
    assert mean_abroad({"de": Loss(0.02, None), "fr": Loss(0.04, 0.04)}).error is None
