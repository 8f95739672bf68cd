"""All methods of adaptation on Whisper's encoder with a top of our own, as on any model under the contract."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.methods import METHODS
from asr_transfer.adaptation.profile import Profile, save_profile
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.models.adapters import merge_adapters
from tests.models.pretrained.published import random_encoder
from tests.small import different, snapshot
from tests.tones import Speech, two_speakers

UNTRAINED = ("none", "suta")
CONFIG = AdaptConfig(
    steps=2,
    learning_rate=0.01,
    settings=MethodSettings(rank=2, bottleneck=3, code=4, confidence=0.0),
    suta=SutaConfig(steps=2, learning_rate=0.05),
    precision="fp32",
    device="cpu",
)
TRAINS = {
    "first-layers": ("front.conv", "encoder.0."),
    "last-layers": ("top.", "encoder.1.", "norm.", "top_norm.", "heads.en."),
    "front-end": ("front.conv",),
    "head": ("heads.en.",),
}
"""What a method trains, written out by name; other methods train everything or what they add."""
EVERYTHING = ("front.conv", "encoder.", "norm.", "top.", "top_norm.", "heads.en.")
ADDED = ("lhuc", "lin", "lora", "residual-adapter", "speaker-code")


def _source() -> Recogniser:
    tokens = Tokens([*"abcdef", " "])
    return Recogniser(random_encoder({"en": len(tokens)}, seed=4), tokens, "en", {})


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers, as Whisper hears them."""
    return two_speakers(tmp_path_factory.mktemp("whisper"), random_encoder().inputs)


@pytest.fixture(scope="module")
def done(speech: Speech) -> Callable[[str], Adapted]:
    """Return a function to what a method made; each is trained once and not to be changed."""
    own, more = Spoken(speech.own, speech.store), Spoken(speech.more, speech.store)
    return functools.cache(lambda name: adapt(_source(), own, name, CONFIG, source_speech=more))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_exactly_what_it_says(name: str, done: Callable[[str], Adapted]) -> None:
    before, model = snapshot(_source().model), done(name).recogniser.model
    after = snapshot(model)
    moved = {n for n in after if n not in before or different({n: after[n]}, {n: before[n]})}
    prefixes = (f"adapters.{name}.",) if name in ADDED else TRAINS.get(name, EVERYTHING)
    wanted = set() if name in UNTRAINED else {n for n in after if n.startswith(prefixes)}
    assert moved == wanted and "front.positions" not in moved


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_a_profile_and_a_folder_that_say_the_same(
    name: str, speech: Speech, done: Callable[[str], Adapted], tmp_path: Path
) -> None:
    adapted, base = done(name).recogniser, _source().model
    facts: dict[str, Any] = {"method": name, "utterances": 5, "seconds": 3.0, "created": "2020-01-01T00:00:00+00:00"}
    folder = save_profile(tmp_path / "profile", base, adapted.model, facts)
    with Profile.load(folder).applied(base) as again:
        assert not different(snapshot(again), snapshot(adapted.model))
    assert not different(snapshot(base), snapshot(_source().model)), "off again, it is the base bit for bit"
    adapted.save(tmp_path / "model", "", {})
    own = Spoken(speech.own, speech.store)
    assert Recogniser.load(tmp_path / "model").listen(own) == adapted.listen(own)


@pytest.mark.parametrize(("name", "depth"), [("head", 6), ("last-layers", 2), ("full", 0), ("head+kld", 6)])
def test_frozen_blocks_run_once(name: str, depth: int, speech: Speech, done: Callable[[str], Adapted]) -> None:
    assert done(name).depth == depth


def test_lora_is_merged(speech: Speech, done: Callable[[str], Adapted], tmp_path: Path) -> None:
    done("lora").recogniser.save(tmp_path / "model", "", {})
    merged, apart = Recogniser.load(tmp_path / "model"), done("lora").recogniser
    merge_adapters(merged.model)
    assert snapshot(merged.model).keys() == snapshot(_source().model).keys()
    own = Spoken(speech.own, speech.store)
    for one, two in zip(merged.posteriors(own), apart.posteriors(own), strict=True):
        assert (one - two).abs().max() < 1e-4
