"""Every method leaves what only other heads need as it was, bit for bit, in whichever language others speak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.adapt import adapt, spelled_by_head
from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.methods import METHODS, default_learning_rate
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from tests.small import different, small_model, snapshot
from tests.spaces import give_space
from tests.tones import make_speaker


@pytest.fixture(scope="module")
def source(languages_run: Path) -> Recogniser:
    """Return the model of two languages, listening in the second."""
    made = Recogniser.load(languages_run, "nl")
    give_space(made.model)
    return made


@pytest.fixture(scope="module")
def speech(
    source: Recogniser, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Utterance], list[Utterance], FeatureStore]:
    """Return a speaker of the second language, source speech of both, and the inputs of all."""
    folder = tmp_path_factory.mktemp("speech")
    own = make_speaker(folder, "piet", 1.08, 4, 9, "nl")
    more = [*make_speaker(folder, "anna", 0.98, 4, 2), *make_speaker(folder, "jan", 0.98, 4, 3, "nl")]
    return own, more, build_store([*own, *more], source.model.inputs)


@pytest.mark.parametrize(
    "method",
    [*(name for name in METHODS if name != FILM), "full+replay", "lhuc+replay", "full+kld", "first-layers+l2sp"],
)
def test_the_other_head_stays_bit_for_bit(
    source: Recogniser, speech: tuple[list[Utterance], list[Utterance], FeatureStore], method: str
) -> None:
    own, more, store = speech
    before = snapshot(source.model)
    config = AdaptConfig(steps=4, learning_rate=0.01, precision="fp32", device="cpu",
                         settings=MethodSettings(confidence=0.0))  # fmt: skip
    adapted = adapt(source, Spoken(own, store), method, config, source_speech=Spoken(more, store))
    after = {name: value for name, value in snapshot(adapted.recogniser.model).items() if name in before}
    moved = different(before, after)
    assert not [name for name in moved if name.startswith("heads.en.")]
    trains = default_learning_rate(method) > 0
    added = METHODS[method.split("+")[0]].role == "added"
    assert bool(moved) is (trains and not added), "of the base only methods that train its own layers move something"


def test_source_speech_of_other_languages_is_replayed_through_their_heads(
    source: Recogniser, speech: tuple[list[Utterance], list[Utterance], FeatureStore]
) -> None:
    own, more, store = speech
    parts = spelled_by_head(source, Spoken(more, store))
    assert {head: {u.language for u in part.utterances} for head, part in parts.items()} == {"nl": {"nl"}, "en": {"en"}}
    config = AdaptConfig(steps=3, learning_rate=0.01, precision="fp32", device="cpu")

    def moved(replayed: Sequence[Utterance]) -> torch.Tensor:
        adapted = adapt(source, Spoken(own, store), "full+replay", config, source_speech=Spoken(replayed, store))
        return adapted.recogniser.model.state_dict()["encoder.norm.weight"]

    assert not torch.equal(moved(more), moved([u for u in more if u.language == "nl"]))


def test_a_plan_without_a_head_freezes_none() -> None:
    model = small_model(heads={"en": 5, "nl": 5})
    assert not [row for row in _frozen(model, None) if row.startswith("heads.")]
    assert _frozen(model, "nl") - _frozen(model, None) == {"heads.en"}


def _frozen(model: torch.nn.Module, head: str | None) -> set[str]:
    copy = small_model(heads={"en": 5, "nl": 5})
    build("full", model, MethodSettings(), head).plan.apply(copy)  # type: ignore[arg-type]
    return {name.rsplit(".", 1)[0] for name, parameter in copy.named_parameters() if not parameter.requires_grad}
