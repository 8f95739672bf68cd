"""All methods on every family of Transformers' CTC models, small and of random weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.methods import METHODS
from asr_transfer.adaptation.profile import Profile, save_profile
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.models.adapters import merge_adapters
from asr_transfer.models.pretrained.transformers_ctc import TransformersCtc
from asr_transfer.training import views
from tests.models.pretrained.ctc_folders import FAMILIES, write
from tests.small import different, snapshot
from tests.tones import Speech, two_speakers

CONFIG = AdaptConfig(
    steps=2,
    learning_rate=0.01,
    settings=MethodSettings(rank=2, bottleneck=3, code=4, confidence=0.0),
    suta=SutaConfig(steps=1, learning_rate=0.05),
    precision="fp32",
    device="cpu",
)
SYMBOLS = ["<pad>", "<unk>", "|", *"abcdef"]


class Opened:
    """A family's folder, speech for it, and what methods made of it."""

    def __init__(self, folder: Path, name: str) -> None:
        write(folder / name, name, SYMBOLS, pad_token_id=0, **({"blank_token_id": 0} if name == "omniasr" else {}))
        self.source = Recogniser.load(folder / name)
        self.speech: Speech = two_speakers(folder / f"{name}-speech", self.source.model.inputs)
        self.done: Callable[[str], Adapted] = functools.cache(self._adapted)

    def _adapted(self, method: str) -> Adapted:
        own, more = (Spoken(some, self.speech.store) for some in (self.speech.own, self.speech.more))
        return adapt(self.source, own, method, CONFIG, source_speech=more)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Opened]:
    """Return a function to a family's model, which no test may change."""
    folder = tmp_path_factory.mktemp("families")
    return functools.cache(lambda name: Opened(folder, name))


WHOLE = ("wav2vec2", "wavlm-layer-norm", "omniasr", "parakeet")
"""Families on which every method is tried: of each way that layers are called one."""

ADDED = ("lhuc", "lin", "lora", "residual-adapter", "speaker-code")
CASES = [(name, method) for name in WHOLE for method in METHODS]
CASES += [(name, method) for name in FAMILIES if name not in WHOLE for method in ("full", "first-layers", "lora")]


def _trained(source: Recogniser, method: str) -> tuple[str, ...]:
    """Return how the names begin of what a method trains."""
    if method in ADDED:
        return (f"adapters.{method}.",)
    paths = [block.path for block in source.model.blocks()]
    first, layers = paths.index("encoder.layers.0"), len(source.model.layers())
    last = (layers + 1) // 2
    chosen = {
        "none": [],
        "suta": [],
        "head": ["heads.main"],
        "front-end": ["front"],
        "first-layers": paths[: first + 1],
        "last-layers": [*paths[first + layers - last :], "heads.main"],
    }
    return tuple(f"{path}." for path in chosen.get(method, [*paths, "heads.main"]))


@pytest.mark.parametrize(("name", "method"), CASES)
def test_every_method_trains_what_it_says_and_its_profile_comes_back(
    name: str, method: str, opened: Callable[[str], Opened], tmp_path: Path
) -> None:
    model, adapted = opened(name).source.model, opened(name).done(method).recogniser.model
    assert isinstance(model, TransformersCtc)
    before, after = snapshot(model), snapshot(adapted)
    moved = {tensor for tensor in after if tensor not in before or not torch.equal(after[tensor], before[tensor])}
    trained = _trained(opened(name).source, method)
    assert all(tensor.startswith(trained) for tensor in moved)
    assert bool(moved) == bool(trained)
    facts = {"method": method, "utterances": 5, "seconds": 3.0, "created": "2020-01-01T00:00:00+00:00"}
    profile = Profile.load(save_profile(tmp_path / "profile", model, adapted, facts))
    with profile.applied(model) as again:
        assert not different(snapshot(again), after)
    assert not different(snapshot(model), before)


@pytest.mark.parametrize("name", FAMILIES)
def test_low_rank_additions_reach_every_matrix_that_runs(name: str, opened: Callable[[str], Opened]) -> None:
    """A layer that reads weights without calling their module would leave them untrained, unnoticed."""
    model = opened(name).done("lora").recogniser.model
    still = [tensor for tensor, value in model.named_parameters() if tensor.endswith(".B") and not value.any()]
    assert still == []


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm", "parakeet"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_adapted_model_is_saved_and_says_the_same(
    name: str, method: str, opened: Callable[[str], Opened], tmp_path: Path
) -> None:
    adapted, speech = opened(name).done(method).recogniser, opened(name).speech
    adapted.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model")
    assert not different(snapshot(again.model), snapshot(adapted.model))
    spoken = Spoken(speech.own, speech.store)
    assert again.listen(spoken) == adapted.listen(spoken)
    merge_adapters(again.model)
    for one, two in zip(again.posteriors(spoken), adapted.posteriors(spoken), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["wav2vec2", "wavlm", "parakeet"])
@pytest.mark.parametrize("method", ["head", "last-layers"])
def test_frozen_blocks_run_once_and_change_nothing(
    name: str, method: str, opened: Callable[[str], Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "IN_HALF", False)
    source, speech = opened(name).source, opened(name).speech
    once, anew = (
        adapt(source, Spoken(speech.own, speech.store), method, CONFIG, shared=Shared(source, speech.store, once=keeps))
        for keeps in (True, False)
    )
    assert once.depth and not anew.depth
    assert any(not torch.equal(once.start[tensor], once.end[tensor]) for tensor in once.start)
    for tensor, value in anew.recogniser.model.state_dict().items():
        if not tensor.endswith("k_proj.bias"):  # attention does not feel it: its gradient is round-off
            torch.testing.assert_close(once.recogniser.model.state_dict()[tensor], value, rtol=2e-4, atol=2e-4)
