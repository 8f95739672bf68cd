"""A new speaker is a few weights of the training speakers' directions: identities in float64, and what is refused."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.profile import WEIGHTS, Profile, save_profile
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.adaptation.speaker_profiles import space_of
from asr_transfer.adaptation.speaker_weights import (
    EIGEN,
    MEAN,
    MIXTURE,
    NEAREST,
    UNREAD,
    Likelihood,
    describe_speaker,
    likely_speakers,
    most_likely,
)
from asr_transfer.config import FeatureConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError, ModelError
from asr_transfer.models.adapters import AdapterSpec, adapter_state, add_adapter, base_checksum
from asr_transfer.models.speaker_space import SpeakerSpace, flat, names_of
from asr_transfer.training.learnable import learnable
from tests.adaptation.test_methods import make_source
from tests.small import MELS, different, small_model, snapshot
from tests.spaces import give_space, made_up_profiles
from tests.tones import Speech, two_speakers

CONFIG = AdaptConfig(steps=2, learning_rate=0.01, precision="fp32", device="cpu")
KINDS = pytest.mark.parametrize("kind", ["lhuc", "lin", "lora"])


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("speech"), FeatureConfig(mels=MELS))


@pytest.fixture(scope="module")
def source() -> Recogniser:
    """Return a model in float64 with directions of nine made-up speakers; no test may change it."""
    made = make_source(torch.float64)
    give_space(made.model)
    return made


def _space(source: Recogniser) -> SpeakerSpace:
    assert source.model.speakers is not None
    return source.model.speakers


def _likelihood(source: Recogniser, speech: Speech) -> Likelihood:
    return Likelihood(source, _space(source), Spoken(speech.own, speech.store).spelled(source.tokens))


@KINDS
def test_directions_are_those_of_the_profiles(kind: str) -> None:
    model = small_model(dtype=torch.float64)
    spec = AdapterSpec(kind, 2 if kind == "lora" else 0)
    shapes, profiles = made_up_profiles(model, spec)
    space = space_of(spec, base_checksum(model), shapes, profiles, torch.float64)
    vectors = torch.stack(list(profiles.values()))
    assert len(space.deviations) == 8, "nine speakers around their mean have eight directions"
    unit = torch.eye(8, dtype=torch.float64)
    torch.testing.assert_close(space.directions @ space.directions.T, unit, rtol=0, atol=1e-12)
    torch.testing.assert_close(space.vector(torch.zeros(0)), vectors.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(space.vector(torch.zeros(8)), vectors.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(space.weights.std(0), space.deviations, rtol=1e-9, atol=1e-12)
    assert bool((space.deviations[:-1] >= space.deviations[1:]).all())
    for vector, weights in zip(vectors, space.weights, strict=True):
        torch.testing.assert_close(space.vector(weights), vector, rtol=1e-9, atol=1e-12)
        left_out = vector - space.vector(weights[:3])
        assert float(left_out.norm()) == pytest.approx(float(weights[3:].norm()), rel=1e-9)


@KINDS
def test_profiles_without_effect_have_a_mean_without_effect(kind: str) -> None:
    model = small_model(dtype=torch.float64)
    spec = AdapterSpec(kind, 2 if kind == "lora" else 0)
    plain = copy.deepcopy(model)
    add_adapter(plain, spec)
    own = names_of(spec, adapter_state(plain))
    shapes, vector = {name: tuple(value.shape) for name, value in own.items()}, flat(list(own.values()))
    same = {f"s{number}": vector for number in range(8)}
    space = space_of(spec, base_checksum(model), shapes, same, torch.float64)
    assert len(space.deviations) == 0 and space.used == 0
    twin = copy.deepcopy(model)
    space.put_on(twin, torch.zeros(0))
    held, wanted = snapshot(twin), snapshot(plain)
    assert held.keys() == wanted.keys()
    for name in held:
        torch.testing.assert_close(held[name], wanted[name], rtol=1e-12, atol=0)
    x, lengths = torch.randn(2, 30, MELS, dtype=torch.float64), torch.tensor([30, 21])
    assert torch.equal(twin.eval()(x, lengths)[0], model.eval()(x, lengths)[0])


def test_no_weights_are_the_mean_profile(source: Recogniser, speech: Speech) -> None:
    spoken = Spoken(speech.own, speech.store)
    mean = adapt(source, spoken, MEAN, CONFIG).recogniser.model
    none = adapt(source, spoken, EIGEN, replace(CONFIG, settings=MethodSettings(directions=0))).recogniser.model
    held = adapt(source, spoken, EIGEN, replace(CONFIG, settings=MethodSettings(prior=float("inf")))).recogniser.model
    assert not different(snapshot(mean), snapshot(none)) and not different(snapshot(mean), snapshot(held))
    space = _space(source)
    torch.testing.assert_close(flat(list(names_of(space.spec, adapter_state(mean)).values())), space.mean.double())
    found = most_likely(_likelihood(source, speech), 4, 1e9)
    assert float(found.abs().max()) < 1e-6, "a prior without end leaves the mean"


def test_slopes_are_those_of_the_loss(source: Recogniser, speech: Speech) -> None:
    likelihood = _likelihood(source, speech)
    weights = torch.linspace(-0.4, 0.5, 5, dtype=torch.float64)
    loss, slope = likelihood.slope(weights)
    assert loss == pytest.approx(likelihood.loss(weights), rel=1e-12)
    for number in range(5):
        step = torch.zeros(5, dtype=torch.float64)
        step[number] = 1e-5
        by_hand = (likelihood.loss(weights + step) - likelihood.loss(weights - step)) / 2e-5
        assert float(slope[number]) == pytest.approx(by_hand, rel=1e-5, abs=1e-6)


def test_the_weights_are_the_likeliest_given_speech_and_prior(source: Recogniser, speech: Speech) -> None:
    likelihood, widths = _likelihood(source, speech), _space(source).deviations[:3].double()
    for prior in (1.0, 10.0):
        found = most_likely(likelihood, 3, prior)

        def cost(weights: torch.Tensor, prior: float = prior) -> float:
            return likelihood.loss(weights) + prior / 2 * float((weights / widths).square().sum())

        least = cost(found)
        assert least < cost(torch.zeros(3, dtype=torch.float64))
        for number in range(3):
            for step in (0.1, -0.1):
                moved = found.clone()
                moved[number] += step * widths[number]
                assert cost(moved) > least


def test_the_nearest_is_the_speaker_under_whom_speech_is_likeliest(source: Recogniser, speech: Speech) -> None:
    likelihood, space = _likelihood(source, speech), _space(source)
    losses = torch.tensor([likelihood.loss(weights) for weights in space.weights], dtype=torch.float64)
    spoken = Spoken(speech.own, speech.store).spelled(source.tokens)
    nearest = describe_speaker(source, spoken, NEAREST, MethodSettings())
    assert nearest.speakers == [space.speakers[int(losses.argmin())]]
    assert torch.equal(nearest.weights, space.weights[int(losses.argmin())].double())
    assert nearest.gain == pytest.approx((likelihood.before - float(losses.min())) / likelihood.frames)
    chances = likely_speakers(likelihood, 3, 0.1)
    assert chances.sum() == pytest.approx(1) and (chances > 0).sum() == 3
    assert set(chances.argsort()[-3:]) == set(losses.argsort()[:3].tolist())
    first, second = losses.sort().values[:2].tolist()
    assert sorted(chances)[-1] / sorted(chances)[-2] == pytest.approx(math.exp(0.1 * (second - first)))
    sharp = describe_speaker(source, spoken, MIXTURE, MethodSettings(softness=1e6))
    torch.testing.assert_close(sharp.weights, nearest.weights)
    even = describe_speaker(source, spoken, MIXTURE, MethodSettings(softness=0.0))
    torch.testing.assert_close(even.weights, space.weights[losses.argsort()[:8]].double().mean(0))


def test_without_transcripts_the_texts_have_no_influence(source: Recogniser, speech: Speech) -> None:
    for name, read in ((UNREAD, False), (MEAN, False), (EIGEN, True), (NEAREST, True), (MIXTURE, True)):
        other = [replace(utterance, text="dab ace") for utterance in speech.own]
        first, second = (
            adapt(source, Spoken(own, speech.store), name, CONFIG).described for own in (speech.own, other)
        )
        assert first is not None and second is not None
        assert (first.gain != second.gain) == read, name


def test_too_little_speech_is_refused_in_a_sentence(source: Recogniser, speech: Speech) -> None:
    short = [replace(speech.own[0], duration=0.2)]
    for name in (EIGEN, UNREAD, NEAREST, MIXTURE):
        with pytest.raises(DataError, match=rf"^`{name}` has 0\.2 s of speech to go by.*take `mean-profile`") as caught:
            adapt(source, Spoken(short, speech.store), name, CONFIG)
        assert "\n" not in str(caught.value)
    assert adapt(source, Spoken(short, speech.store), MEAN, CONFIG).described is not None


def test_what_is_spoken_too_fast_or_not_recognised_is_refused_in_a_sentence(source: Recogniser, speech: Speech) -> None:
    long = [replace(speech.own[0], text="abcdef " * 40)]
    with pytest.raises(
        DataError, match="no recording is long enough for its transcript, so there is nothing that `eigen"
    ):
        adapt(source, Spoken(long, speech.store), EIGEN, CONFIG)
    deaf = replace(source, model=copy.deepcopy(source.model))
    with torch.no_grad():
        deaf.model.head("en").bias[0] += 1e3  # type: ignore[union-attr,operator,index]
    give_space(deaf.model)
    with pytest.raises(
        DataError, match="the model recognises nothing in any recording, so there is nothing to describe"
    ):
        adapt(deaf, Spoken(speech.own, speech.store), UNREAD, CONFIG)


def test_directions_of_other_weights_are_refused(source: Recogniser, speech: Speech) -> None:
    spoken = Spoken(speech.own, speech.store)
    bare = replace(source, model=copy.deepcopy(source.model))
    bare.model.speakers = None
    moved = replace(source, model=copy.deepcopy(source.model))
    with torch.no_grad():
        next(moved.model.parameters()).add_(1e-3)
    for model, message in (
        (bare, "and this one has none; make them with `asr-transfer profile speakers`"),
        (moved, "goes by profiles of other weights than this model's, which was adapted"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            adapt(model, spoken, f"{MEAN}+front-end", CONFIG)
        assert "\n" not in str(caught.value)
    once = adapt(source, spoken, EIGEN, CONFIG).recogniser
    with pytest.raises(
        ModelError, match="has a profile of the kind `lhuc` already, which `mean-profile` would replace"
    ):
        adapt(once, spoken, MEAN, CONFIG)


def test_a_profile_of_weights_needs_the_very_directions(source: Recogniser, speech: Speech, tmp_path: Path) -> None:
    adapted = adapt(source, Spoken(speech.own, speech.store), EIGEN, CONFIG)
    assert adapted.described is not None
    facts = {"method": EIGEN, "utterances": 5, "seconds": 3.0}
    folder = save_profile(tmp_path / "p", source.model, adapted.recogniser.model, facts, adapted.described.weights)
    profile, wanted = Profile.load(folder), snapshot(adapted.recogniser.model)
    assert set(profile.tensors) == {WEIGHTS} and profile.size_bytes < 4000
    model = copy.deepcopy(source.model)
    with profile.applied(model) as again:
        assert not different(snapshot(again), wanted)
    assert not different(snapshot(model), snapshot(source.model))
    give_space(model, "lin")
    with pytest.raises(ModelError, match=r"weights of the directions \w{12} of .*, but the model has others"):
        profile.apply(model)
    model.speakers = None
    with pytest.raises(ModelError, match="but the model has none; copy it again with its speakers.safetensors"):
        profile.apply(model)
    assert not different(snapshot(model), snapshot(source.model))
    half = adapt(source, Spoken(speech.own, speech.store), EIGEN, replace(CONFIG, strength=0.5)).recogniser.model
    whole = Profile.load(save_profile(tmp_path / "half", source.model, half, facts, adapted.described.weights))
    assert WEIGHTS not in whole.tensors, "half of the way the adapter is another than the weights make"


def test_a_training_speaker_is_found_again(speech: Speech) -> None:
    """Speech that is made likely by one profile is nearest to that, and its weights point there."""
    source = make_source(torch.float64)
    give_space(source.model, speakers=12, spread=1.0)
    space = _space(source)
    spoken = Spoken([*speech.own, *speech.more], speech.store)
    for number in (2, 7):
        model = copy.deepcopy(source.model)
        space.put_on(model, space.weights[number])
        texts = replace(source, model=model.eval()).listen(spoken)
        heard = [replace(u, text=text) for u, text in zip(spoken.utterances, texts, strict=True)]
        usable, _ = learnable(Spoken([u for u in heard if u.text], speech.store).spelled(source.tokens), model)
        found = describe_speaker(source, usable, NEAREST, MethodSettings())
        assert found.speakers == [space.speakers[number]]
        weights = describe_speaker(source, usable, EIGEN, MethodSettings()).weights
        likeness = torch.nn.functional.cosine_similarity(space.weights[:, : len(weights)], weights[None], dim=1)
        assert int(likeness.argmax()) == number
