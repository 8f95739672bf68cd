"""Adapting leaves the model that it is given as it was, and trains no more of it afterwards than before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.progressive import ProgressiveModel
from tests.small import MELS, different, small_model, snapshot
from tests.tones import make_speaker

CONFIG = AdaptConfig(
    steps=2, learning_rate=0.01, settings=MethodSettings(confidence=0.0), precision="fp32", device="cpu"
)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Utterance], FeatureStore]:
    """Return recordings of a tone speaker and their features."""
    folder = tmp_path_factory.mktemp("tones")
    own = make_speaker(folder, "ida", 1.13, 4, 1)
    return own, build_store(own, FeatureConfig(mels=MELS), cache=folder / "cache")


def _progressive() -> Recogniser:
    tokens = Tokens(["a", "b", "c", "d", "e", "f", " "])
    base = small_model(1, heads={"old": 5})
    torch.manual_seed(2)
    model = ProgressiveModel(base, base.config, {"en": len(tokens)}, rank=2)
    return Recogniser(model, tokens, "en", {}, others={"old": Tokens(["a", "b", "c", "d"])})


def _flags(model: nn.Module) -> dict[str, bool]:
    return {name: parameter.requires_grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("method", ["none", "full", "kld", "lhuc", "pseudo-label", "suta"])
def test_weights_flags_and_modes_are_given_back(method: str, speech: tuple[list[Utterance], FeatureStore]) -> None:
    source = _progressive()
    source.model.train()
    source.model.heads.requires_grad_(False)
    before, flags = snapshot(source.model), _flags(source.model)
    modes = [module.training for module in source.model.modules()]
    adapted = adapt(source, Spoken(*speech), method, CONFIG).recogniser.model
    assert not different(snapshot(source.model), before)
    assert _flags(source.model) == flags
    assert [module.training for module in source.model.modules()] == modes
    assert {name: flag for name, flag in _flags(adapted).items() if name in flags} == flags


def test_a_column_never_trains_its_base() -> None:
    model = _progressive().model
    model.requires_grad_(True)
    assert {name.startswith("base.") for name, flag in _flags(model).items() if not flag} == {True}
    assert all(flag for name, flag in _flags(model).items() if not name.startswith("base."))
