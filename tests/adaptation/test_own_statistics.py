"""A speaker's own statistics: how far they are taken, that no text is read for them, and that they come on and off."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.choice import Candidate, choose
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.judge import Judge
from asr_transfer.adaptation.online_statistics import StatisticsSession
from asr_transfer.adaptation.own_statistics import (
    ADABN,
    USUAL_NAT_SECONDS,
    USUAL_NATS,
    differ,
    is_measured,
    require_statistics,
    statistics_of,
    with_own_statistics,
)
from asr_transfer.adaptation.profile import Profile, merged, save_profile
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import adapter_specs
from asr_transfer.models.domains import domains_of
from asr_transfer.models.encoders import LockedDropout
from asr_transfer.training.recalibration import recalibrate
from asr_transfer.transfer.plan import FreezeStatistics, TransferPlan
from tests.adaptation.test_methods import CONFIG, make_source, outputs
from tests.models.pretrained.published import random_encoder
from tests.models.stranger import Stranger, StrangerConfig
from tests.small import MELS, different, snapshot
from tests.tones import Speech, two_speakers


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("speech"), FeatureConfig(mels=MELS))


@pytest.fixture
def source() -> Recogniser:
    """Return a model whose statistics are of no speech, so that any speech lies far from them."""
    return make_source()


def _adapted(source: Recogniser, speech: Speech, name: str = ADABN, strength: float = 1.0) -> Adapted:
    return adapt(source, Spoken(speech.own, speech.store), name, replace(CONFIG, strength=strength))


def _statistics(recogniser: Recogniser) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in statistics_of(recogniser.model)}


def _pooled(speech: Speech) -> dict[str, torch.Tensor]:
    """Return means and variances over the frames of all recordings, each through a model by itself."""
    means, squares = [], []
    for number in range(len(speech.own)):
        alone = make_source()
        recalibrate(alone.model, Spoken(speech.own, speech.store).subset([number]))
        found = {name: tensor.double() for name, tensor in _statistics(alone).items()}
        means.append({name: found[name.replace("running_var", "running_mean")] for name in found})
        squares.append({name: found[name] + means[-1][name] ** 2 for name in found if name.endswith("var")})
    weights = torch.tensor([utterance.duration for utterance in speech.own], dtype=torch.float64)
    weights /= weights.sum()
    mean, square = (
        {name: sum(w * one[name] for w, one in zip(weights, of, strict=True)) for name in of[0]}
        for of in (means, squares)
    )
    return {name: square[name] - mean[name] ** 2 if name in square else mean[name] for name in mean}


def test_a_share_of_the_recordings_own_statistics_is_taken(source: Recogniser, speech: Speech) -> None:
    before, old, new = snapshot(source.model), _statistics(source), _pooled(speech)
    found, taken = with_own_statistics(source, Spoken(speech.own, speech.store))
    seconds = sum(utterance.duration for utterance in speech.own)
    first = "frontend.layers.0.norm.running_"  # the divergence of normal distributions, from its definition
    one, two = ([of[f"{first}{part}"].double() for part in ("mean", "var")] for of in (new, old))
    mine, theirs = (torch.distributions.Normal(mean, (var + 1e-5).sqrt()) for mean, var in (one, two))
    nats = float(torch.distributions.kl_divergence(mine, theirs).mean())
    assert taken.nats == pytest.approx(nats, rel=1e-6)
    assert taken.usual == pytest.approx(USUAL_NATS + USUAL_NAT_SECONDS / seconds)
    assert 0.5 < taken.share == pytest.approx(1 - taken.usual / taken.nats) and taken.recordings == 5
    for name, tensor in _statistics(found).items():
        torch.testing.assert_close(tensor, torch.lerp(old[name].double(), new[name], taken.share).float())
    assert different(snapshot(found.model), before) == set(old), "nothing else has changed"
    assert not different(snapshot(source.model), before)


def test_recordings_like_those_trained_on_change_nothing(source: Recogniser, speech: Speech) -> None:
    like = _pooled(speech)
    for name, tensor in statistics_of(source.model):
        tensor.copy_(like[name])
    before = snapshot(source.model)
    adapted = _adapted(source, speech)
    assert adapted.normalised is not None and adapted.normalised.share == 0 and not adapted.end
    assert "as recordings of any speaker do" in adapted.normalised.describe()
    assert not different(snapshot(adapted.recogniser.model), before)


def test_a_speaker_is_heard_by_the_statistics_of_his_recordings_so_far(source: Recogniser, speech: Speech) -> None:
    own, before = Spoken(speech.own, speech.store), snapshot(source.model)
    session = StatisticsSession(source)
    texts = session.listen(own)
    for number in range(len(own)):
        heard, taken = with_own_statistics(source, own.subset(range(number + 1)))
        assert texts[number] == heard.listen(own.subset([number]))[0]
    assert session.plain()["share_of_own_statistics"]["ida"] == pytest.approx(taken.share, abs=1e-4)
    assert session.describe() == [f"ida: normalised by {taken.share:.0%} of the statistics of 5 recordings"]
    assert not different(snapshot(source.model), before)


def test_what_one_speaker_says_tells_nothing_of_another(source: Recogniser, speech: Speech) -> None:
    own, other = speech.own, speech.more
    alone = StatisticsSession(source).listen(Spoken(own, speech.store))
    mixed = StatisticsSession(source).listen(Spoken([*own[:3], *other, *own[3:]], speech.store))
    assert [*mixed[:3], *mixed[3 + len(other) :]] == alone != source.listen(Spoken(own, speech.store))
    short = Spoken([replace(utterance, duration=0.2) for utterance in own], speech.store)
    assert StatisticsSession(source).listen(short) == source.listen(short), "too short to tell anything"


def test_statistics_that_a_plan_holds_are_taken_all_the_same(source: Recogniser, speech: Speech) -> None:
    wanted = _statistics(with_own_statistics(source, Spoken(speech.own, speech.store))[0])
    TransferPlan(FreezeStatistics()).apply(source.model)
    found, _ = with_own_statistics(source, Spoken(speech.own, speech.store))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in _statistics(found).items())
    held = _statistics(source)
    source.model.train()(*_batch(speech))
    assert all(torch.equal(tensor, held[name]) for name, tensor in _statistics(source).items()), "and they stay held"


def _batch(speech: Speech) -> tuple[torch.Tensor, torch.Tensor]:
    batch = Spoken(speech.own, speech.store).collate([0, 1])
    assert batch.lengths is not None
    return batch.inputs, batch.lengths


def test_no_transcript_is_read_and_the_strength_is_the_way(source: Recogniser, speech: Speech) -> None:
    whole = _adapted(source, speech)
    wordless = Spoken([replace(utterance, text="") for utterance in speech.own], speech.store)
    again = adapt(source, wordless, ADABN, CONFIG)
    assert not different(snapshot(again.recogniser.model), snapshot(whole.recogniser.model))
    old, new, half = _statistics(source), _statistics(whole.recogniser), _adapted(source, speech, strength=0.5)
    for name, tensor in _statistics(half.recogniser).items():
        torch.testing.assert_close(tensor, (old[name] + new[name]) / 2)
    assert torch.equal(outputs(half.at_strength(0.0), speech), outputs(source, speech))
    assert torch.equal(outputs(half.at_strength(1.0), speech), outputs(whole.recogniser, speech))


def test_a_profile_puts_them_on_and_takes_them_off(source: Recogniser, speech: Speech, tmp_path: Path) -> None:
    adapted = _adapted(source, speech).recogniser
    facts = {"method": ADABN, "utterances": 5, "seconds": 3.0}
    profile = Profile.load(save_profile(tmp_path / "profile", source.model, adapted.model, facts))
    assert set(profile.tensors) == set(_statistics(source)) and not profile.specs
    base = make_source()
    profile.apply(base.model)
    assert torch.equal(outputs(base, speech), outputs(adapted, speech))
    profile.remove(base.model, source.model)
    assert not different(snapshot(base.model), snapshot(source.model))
    assert torch.equal(outputs(replace(source, model=merged(source.model, profile)), speech), outputs(adapted, speech))


def test_what_is_trained_on_top_goes_on_from_them(source: Recogniser, speech: Speech) -> None:
    adapted = _adapted(source, speech, f"{ADABN}+lhuc")
    statistics = _statistics(_adapted(source, speech).recogniser)
    assert all(torch.equal(tensor, statistics[name]) for name, tensor in _statistics(adapted.recogniser).items())
    assert [spec.kind for spec in adapter_specs(adapted.recogniser.model)] == ["lhuc"]
    assert set(adapted.end) and all(name.startswith("adapters.lhuc.") for name in adapted.end)


def test_others_are_heard_and_mixed_in_by_the_statistics_before(source: Recogniser, speech: Speech) -> None:
    own, more = (Spoken(some, speech.store) for some in (speech.own, speech.more))
    # Where the speaker's utterances weigh nothing, what is learnt of the others is what it is without his statistics.
    for part in source.model.modules():
        if isinstance(part, LockedDropout):
            part.p = 0.0  # streams of two domains are two passes, which draw other masks
    config = replace(CONFIG, augment=None, settings=replace(CONFIG.settings, replay=1.0))
    mixed = adapt(source, own, f"{ADABN}+full+replay", config, source_speech=more)
    plain = adapt(source, own, "full+replay", config, source_speech=more)
    for name, tensor in plain.end.items():
        torch.testing.assert_close(mixed.end[name], tensor, rtol=1e-4, atol=1e-5)
    assert domains_of(mixed.recogniser.model) == [] and mixed.statistics_before
    with mixed.for_others() as heard:
        torch.testing.assert_close(outputs(heard, speech), outputs(plain.recogniser, speech), rtol=1e-3, atol=1e-3)
    taken = _statistics(_adapted(source, speech).recogniser)
    assert all(torch.equal(tensor, taken[name]) for name, tensor in _statistics(mixed.recogniser).items())
    judge = Judge(source, own, more.spelled(source.tokens))
    assert judge.lost(_adapted(source, speech).recogniser).risen == 0, "others do not hear through his line"


@pytest.mark.parametrize("below", [ADABN, "nearest-profile"])
def test_auto_hears_what_it_tries_through_all_that_lies_below(below: str, source: Recogniser, speech: Speech) -> None:
    """What the given model's frozen layers give is computed once, and is not what the candidate's layers give."""
    spoken, config = Spoken(speech.own, speech.store), replace(CONFIG, augment=None)
    source.model._forward_pre_hooks.clear()  # what has hooks on it runs whole
    assert adapt(source, spoken, "head", config).depth > 0
    assert adapt(source, spoken, f"{below}+head", config).depth == 0
    tried, choice = [Candidate(f"{below}+head", 0.01)], ChoiceConfig(folds=2, strengths=(1.0,))
    once, anew = (
        choose(source, spoken, config, choice, tried, shared=Shared(source, speech.store, once=keeps)).ladder[0]
        for keeps in (True, False)
    )
    assert once.errors == anew.errors
    assert once.score == pytest.approx(anew.score, rel=1e-4) and math.isfinite(once.score)


def test_it_is_taken_unseen_on_models_alone_that_it_was_measured_on(source: Recogniser) -> None:
    assert not is_measured(source.model), "its encoder normalises too"
    assert is_measured(AcousticModel(ModelConfig("bilstm", 1, dim=8), {"en": 3}))
    assert not is_measured(random_encoder({"en": 3})) and not is_measured(Stranger(StrangerConfig(), {"en": 3}))


def test_what_has_no_statistics_and_too_little_speech_is_refused(source: Recogniser, speech: Speech) -> None:
    with pytest.raises(ConfigError, match=r"^`adabn` takes the statistics of BatchNorm layers anew, and Stranger has"):
        require_statistics(Stranger(StrangerConfig(), {"en": 3}))
    # What is too short to have statistics is left out, and where all are, that is said.
    first, *rest = speech.own
    some = [first, *(replace(utterance, duration=0.08) for utterance in rest)]
    assert with_own_statistics(source, Spoken(some, speech.store))[1].recordings == 1
    none = Spoken([replace(utterance, duration=0.08) for utterance in speech.own], speech.store)
    with pytest.raises(DataError, match=r"^no recording lasts 0\.1 s, so there is nothing that `adabn` could go by\.$"):
        adapt(source, none, ADABN, CONFIG)
    assert not differ(source, none)
    short = [replace(utterance, duration=0.01) for utterance in speech.own]
    with pytest.raises(DataError, match=r"^`adabn` has 0\.1 s of speech to go by.*; give at least 0\.3 s\.$"):
        adapt(source, Spoken(short, speech.store), ADABN, CONFIG)
