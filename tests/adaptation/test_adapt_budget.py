"""How much source speech goes into a batch beside the speaker's: more on a published encoder, unless it is set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.adaptation import adapt as module
from asr_transfer.adaptation.adapt import BESIDE, BESIDE_PUBLISHED, adapt, source_budget_of
from asr_transfer.adaptation.settings import AdaptConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from tests.models.pretrained.published import random_encoder
from tests.small import small_model
from tests.tones import two_speakers


def test_a_published_encoder_hears_more_of_others_in_a_batch() -> None:
    published, own = random_encoder({"en": 8}), small_model()
    assert BESIDE_PUBLISHED > BESIDE
    assert source_budget_of(AdaptConfig(), published) == BESIDE_PUBLISHED
    assert source_budget_of(AdaptConfig(), own) == BESIDE
    for model in (published, own):
        assert source_budget_of(AdaptConfig(source_budget=700), model) == 700


def test_replay_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_encoder({"en": 8}).eval()
    source = Recogniser(model, Tokens([*"abcdef", " "]), "en", {})
    speech = two_speakers(tmp_path, model.inputs)
    asked: list[int] = []
    replayed = module._replayed

    def noted(*given: Any) -> Any:
        asked.append(given[3])
        return replayed(*given)

    monkeypatch.setattr(module, "_replayed", noted)
    config = AdaptConfig(steps=1, precision="fp32", device="cpu")
    own, others = Spoken(speech.own, speech.store), Spoken(speech.more, speech.store)
    for chosen in (config, replace(config, source_budget=40)):
        adapt(source, own, "head+replay", chosen, source_speech=others)
    assert asked == [BESIDE_PUBLISHED, 40]
