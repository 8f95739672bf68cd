"""A warp is found where a voice was made with one, stays away in doubt, and is a method among the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.choice import adapt_by_choice
from asr_transfer.adaptation.judge import Judge
from asr_transfer.adaptation.methods import reads_transcripts
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.adaptation.warp import (
    BROAD,
    DOUBT,
    DOUBT_READ,
    Evidence,
    WarpedStore,
    WarpPrior,
    choose,
    estimate_prior,
    find_warp,
    log_prior,
    prior_of_training,
    warp_of,
)
from asr_transfer.adaptation.without_transcripts import choose_without_transcripts
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import build_store, model_input
from asr_transfer.data.inputs import LogMel
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.synthesis import Voice, synthesise
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError, ModelError
from tests.adaptation.test_methods import make_source, outputs
from tests.small import MELS, different, snapshot
from tests.tones import Speech, make_speaker, two_speakers

WARPS = MethodSettings().warps
CONFIG = AdaptConfig(steps=3, learning_rate=0.01, precision="fp32", device="cpu")


def _evidence(gains: dict[float, list[float]], sureness: dict[float, float] | None = None) -> Evidence:
    """Return evidence of so many nats over no warp for some factors, of each utterance, and 9 less for others."""
    count = len(next(iter(gains.values())))
    nats = np.array([gains.get(factor, [0.0 if factor == 1 else -9.0] * count) for factor in WARPS])
    sure = np.zeros_like(nats)
    for factor, value in (sureness or {}).items():
        sure[WARPS.index(factor)] = value
    return Evidence(nats, sure, np.full(count, 50.0), DOUBT_READ)


@pytest.mark.parametrize(
    ("gains", "sureness", "width", "factor", "said"),
    [
        ({0.8: [20.0]}, {}, 0.1, 0.8, "warp: 0.80, for 0.80 gains 0.400 nats per frame"),
        ({0.8: [5.0]}, {}, 0.1, 1.0, "less than 3"),  # the prior takes 2.5 of them
        ({0.8: [20.0]}, {}, 0.03, 1.0, "warp: none, for no factor is likelier"),
        ({0.8: [20.0]}, {}, 0.0, 1.0, "warp: none, for no factor is likelier"),
        ({0.8: [9.0, 8.0, 10.0]}, {}, 0.1, 0.8, "warp: 0.80"),
        ({0.8: [30.0, -1.0, -1.0]}, {}, 0.1, 1.0, "but the recordings differ too much in it"),
        ({0.8: [20.0]}, {0.8: -1.0}, 0.1, 1.0, "but the model is less sure of what it hears"),
        ({1.0: [0.0]}, {}, 0.1, 1.0, "warp: none, for no factor is likelier"),
    ],
)
def test_a_factor_must_be_likelier_than_chance_has_it(
    gains: dict[float, list[float]], sureness: dict[float, float], width: float, factor: float, said: str
) -> None:
    found = choose(WARPS, _evidence(gains, sureness), width)
    assert found.factor == factor and said in found.describe()
    assert "\n" not in found.describe()


def test_odds_are_gain_and_prior() -> None:
    found = choose(WARPS, _evidence({0.8: [12.0]}), 0.1)
    assert found.odds == pytest.approx(12.0 - (np.log(0.8) / 0.1) ** 2 / 2) and found.odds > DOUBT_READ > DOUBT
    assert found.gain == pytest.approx(12.0 / 50)
    assert np.exp(log_prior(WARPS, 0.1)).sum() == pytest.approx(1)
    none = log_prior(WARPS, 0.0)
    assert none[WARPS.index(1.0)] == 0 and np.isneginf(np.delete(none, WARPS.index(1.0))).all()


def test_the_prior_is_as_wide_as_the_training_speakers_lie() -> None:
    random = np.random.default_rng(3)
    logs = np.log(np.asarray(WARPS))
    true = 0.07 * random.standard_normal(400)
    sharp = {f"s{n}": -0.5 * ((logs - log) / 0.03) ** 2 for n, log in enumerate(true)}
    found = estimate_prior(sharp, WARPS)
    assert found.width == pytest.approx(0.07, abs=0.01) and found.speakers == 400
    errors = [abs(np.log(factor) - log) for factor, log in zip(found.factors.values(), true, strict=True)]
    assert max(errors) < 0.12 and np.mean(errors) < 0.04
    blunt = estimate_prior({name: own / 100 for name, own in sharp.items()}, WARPS)
    assert abs(np.log(list(blunt.factors.values()))).max() < 0.12, "little evidence puts nobody at an end"
    same = estimate_prior({f"s{n}": -0.5 * (logs / 0.01) ** 2 for n in range(20)}, WARPS)
    assert same.width < 0.02 and set(same.factors.values()) == {1.0}


@pytest.fixture(scope="module")
def tones(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recogniser, dict[float, Spoken]]:
    """Return a model of tone speakers within 4 % of each other, and speech of others by the factor on their tones."""
    source = Recogniser.load(tone_run)
    folder = tmp_path_factory.mktemp("voices")
    made = {shift: make_speaker(folder, f"v{shift}", shift, 8, 7) for shift in (1.0, 1.16, 0.84)}
    store = build_store([u for own in made.values() for u in own], source.model.inputs, cache=folder / "cache")
    return source, {shift: Spoken(own, store) for shift, own in made.items()}


@pytest.mark.parametrize("read", [True, False])
def test_the_factor_that_made_a_voice_is_found(tones: tuple[Recogniser, dict[float, Spoken]], read: bool) -> None:
    source, voices = tones
    before = snapshot(source.model)
    for shift, spoken in voices.items():
        speech = spoken if read else Spoken([replace(u, text="") for u in spoken.utterances], spoken.store)
        found = find_warp(source, speech, WARPS, read=read)
        # The model understands all that lies within 4 % alike: the nearest of that is as good as the middle.
        assert abs(np.log(found.factor * shift)) < 0.08, (shift, found)
        assert found.width == BROAD, "of six training speakers there is no prior"
        assert find_warp(source, speech, WARPS, 0.0, read).factor == 1
    assert not different(snapshot(source.model), before)


@pytest.mark.voices
@pytest.mark.parametrize("warp", [0.8, 1.25])
def test_the_formants_of_a_synthetic_voice_are_taken_back(warp: float) -> None:
    texts = ["seven yellow horses", "two more green apples"]

    def heard(voice: Voice) -> list[torch.Tensor]:
        return [model_input(torch.from_numpy(speech.samples), FeatureConfig()) for speech in synthesise(texts, voice)]

    usual, moved = heard(Voice("en-us")), heard(Voice("en-us", warp=warp))

    def distance(factor: float) -> float:
        total = 0.0
        for one, other in zip(usual, moved, strict=True):
            n = min(len(one), len(other))
            lengths = torch.tensor([n])
            back = LogMel().warped(other[None, :n], lengths, torch.tensor(factor))[0]
            total += float((back - one[:n]).square().mean())
        return total

    best = min(WARPS, key=distance)
    assert abs(np.log(best * warp)) < 0.07, [round(distance(factor), 2) for factor in WARPS]


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("speech"), FeatureConfig(mels=MELS))


@pytest.mark.parametrize("method", ["lhuc", "first-layers+replay"])
def test_combined_is_one_after_the_other(method: str, speech: Speech) -> None:
    source, own = make_source(), Spoken(speech.own, speech.store)
    more = Spoken(speech.more, speech.store)
    at_once = adapt(source, own, f"warp+{method}", CONFIG, source_speech=more)
    warped = adapt(source, own, "warp", CONFIG)
    assert warped.warp is not None and warped.warp.factor != 1, "or there is nothing to combine with"
    assert not warped.end and warp_of(warped.recogniser.model) == pytest.approx(warped.warp.factor)
    later = adapt(warped.recogniser, own, method, CONFIG, source_speech=more)
    assert not different(snapshot(at_once.recogniser.model), snapshot(later.recogniser.model))
    half = adapt(source, own, "warp", replace(CONFIG, strength=0.5)).recogniser
    assert warp_of(half.model) == pytest.approx((1 + warped.warp.factor) / 2)


def test_a_warp_of_one_changes_no_bit(speech: Speech) -> None:
    source = make_source(torch.float64)
    none = replace(CONFIG, settings=MethodSettings(warp_width=0.0))
    adapted = adapt(source, Spoken(speech.own, speech.store), "warp", none)
    assert adapted.warp is not None and adapted.warp.factor == 1
    assert torch.equal(outputs(adapted.recogniser, speech), outputs(source, speech))
    plain = adapt(source, Spoken(speech.own, speech.store), "lhuc", none).recogniser
    both = adapt(source, Spoken(speech.own, speech.store), "lhuc+warp", none).recogniser
    assert torch.equal(outputs(both, speech), outputs(plain, speech))


def test_transcripts_are_read_where_they_are_said_to_be(speech: Speech) -> None:
    source = make_source()
    for method, reads in (("warp", True), ("warp-untranscribed", False), ("warp+pseudo-label", False),
                          ("warp-untranscribed+lhuc", True)):  # fmt: skip
        assert reads_transcripts(method) is reads
    blank = [replace(u, text="") for u in speech.own]
    found = [adapt(source, Spoken(own, speech.store), "warp-untranscribed", CONFIG).warp for own in (speech.own, blank)]
    assert found[0] == found[1] is not None
    other = [replace(u, text="fade fade") for u in speech.own]
    read = [adapt(source, Spoken(own, speech.store), "warp", CONFIG).warp for own in (speech.own, other)]
    assert read[0] != read[1]


def _short(utterance: Utterance, seconds: float) -> Utterance:
    return replace(utterance, duration=seconds)


def test_too_little_speech_is_refused_in_a_sentence(speech: Speech) -> None:
    own = Spoken([_short(speech.own[0], 0.2)], speech.store)
    for method in ("warp", "warp-untranscribed"):
        with pytest.raises(DataError, match=r"^`warp` has 0\.2 s of speech .* give at least 0\.3 s\.$"):
            adapt(make_source(), own, method, CONFIG)
    long = Spoken([replace(speech.own[0], text="abcdef " * 40)], speech.store)
    with pytest.raises(DataError, match="no recording is long enough for its transcript, so .* `warp-untranscribed`"):
        adapt(make_source(), long, "warp", CONFIG)


def test_a_prior_comes_with_the_model_and_is_kept(speech: Speech, tmp_path: Path) -> None:
    source = make_source()
    speakers = [replace(u, id=f"{u.id}", speaker=f"s{n}") for n, u in enumerate([*speech.own, *speech.more])]
    few: list[Any] = [prior_of_training(source, speakers[:7], Report(), speech.store, 0)]
    few.append(prior_of_training(source, speakers[:8], Report(dropped=[(speakers[3].id, "")]), speech.store, 0))
    assert few == [{}, {}], "seven speakers are too few"
    origin = prior_of_training(source, speakers, Report(), speech.store, 0)
    assert origin == prior_of_training(source, speakers, Report(), speech.store, 0)
    assert origin["warp"]["speakers"] == 9 and set(origin["warp"]["factors"]) <= {f"s{n}" for n in range(9)}
    source.save(tmp_path / "model", "", origin)
    again = Recogniser.load(tmp_path / "model", "en")
    prior = WarpPrior.of(again)
    assert prior is not None and prior.width == origin["warp"]["width"] > 0
    wide = replace(again, origin={"warp": {**origin["warp"], "width": 0.17}})
    for model, width in ((again, max(BROAD, prior.width)), (wide, 0.17)):
        assert find_warp(model, Spoken(speech.own, speech.store), WARPS).width == width
    assert WarpPrior.of(source) is None
    for plain in ({"width": -1, "speakers": 9}, "broad", {"width": 0.1}):
        with pytest.raises(ModelError, match=r"origin\.warp.*"):
            WarpPrior.of(replace(source, origin={"warp": plain}))


def _knowing(source: Recogniser) -> Recogniser:
    """Return a model that says how its training speakers differ."""
    return replace(source, origin=WarpPrior(0.1, 8).origin())


def test_auto_goes_on_from_a_warp_where_the_speaker_has_one(tones: tuple[Recogniser, dict[float, Spoken]]) -> None:
    source, spoken = _knowing(tones[0]), tones[1]
    own, usual = spoken[1.16], spoken[1.0]
    choice = ChoiceConfig(folds=2, strengths=(0.5, 1.0), without_source=("lhuc",))
    adapted, chosen = adapt_by_choice(source, own, CONFIG, choice, judged=usual)
    assert {rung.method for rung in chosen.ladder} == {"warp", "warp+lhuc"} and chosen.method.startswith("warp")
    assert all(rung.errors < rung.source_errors for rung in chosen.ladder), "fold by fold, each with a warp of its own"
    alone = next(rung for rung in chosen.ladder if rung.method == "warp")
    assert alone.forgetting == 0, "others are heard without it"
    assert adapted.is_warped and abs(np.log(warp_of(adapted.recogniser.model) * 1.16)) < 0.08
    # Who has none is adapted as ever, and so is everybody where none is looked for.
    none = ((source, usual, choice), (source, own, replace(choice, warp=False)), (tones[0], own, choice))
    for model, speech, settings in none:
        _, other = adapt_by_choice(model, speech, CONFIG, settings)
        assert {rung.method for rung in other.ladder} == {"lhuc"}


def test_one_recording_is_enough_for_a_warp(tones: tuple[Recogniser, dict[float, Spoken]]) -> None:
    source, spoken = _knowing(tones[0]), tones[1]
    adapted, chosen = adapt_by_choice(source, spoken[1.16].subset([0]), CONFIG, ChoiceConfig())
    assert (chosen.method, chosen.ladder) == ("warp", ()) and "nothing is trained" in chosen.reason
    assert adapted.is_warped and "one recording" in chosen.reason
    unread = choose_without_transcripts(source, spoken[1.16], CONFIG, ChoiceConfig(), spoken[1.16].subset(()))
    assert unread.method == "warp-untranscribed" and "that is no error rate" in unread.reason


def test_evidence_that_is_known_is_not_gathered_again(tones: tuple[Recogniser, dict[float, Spoken]]) -> None:
    source, spoken = tones
    own, known = spoken[0.84], dict[tuple[bool, float, str], tuple[float, float, float]]()
    for part in (own.subset([0, 1]), own, own.subset([2, 0])):
        assert find_warp(source, part, WARPS, known=known) == find_warp(source, part, WARPS)
    assert len(known) == len(own) * len(WARPS)


def test_a_speakers_warp_is_taken_off_for_others_and_put_back(speech: Speech) -> None:
    source, own = make_source(), Spoken(speech.own, speech.store)
    adapted = adapt(source, own, "warp", CONFIG)
    assert adapted.is_warped
    through = outputs(adapted.recogniser, speech)
    with adapted.for_others() as for_others:
        assert torch.equal(outputs(for_others, speech), outputs(source, speech))
    assert torch.equal(outputs(adapted.recogniser, speech), through)
    assert not torch.equal(through, outputs(source, speech))


def test_a_judge_hears_the_speaker_through_it_and_others_without(speech: Speech) -> None:
    source, own, others = make_source(), Spoken(speech.own, speech.store), Spoken(speech.more, speech.store)
    adapted = adapt(source, own, "warp", CONFIG)
    assert adapted.is_warped
    judge = Judge(source, own, others)
    assert judge.lost(adapted.recogniser).risen == 0 and judge.counted(adapted.recogniser)[0] == 0
    everybody = range(len(own))
    through, plain = (judge.own(model, everybody).losses for model in (adapted.recogniser, source))
    assert not np.allclose(through, plain, rtol=1e-3)


def test_others_are_not_heard_through_the_speakers_warp(speech: Speech) -> None:
    """Mixed in, warped speech of others is speech that nobody says."""
    own, other = speech.own[0], speech.more[0]
    store = WarpedStore(speech.store, {own.id: 0.8})
    plain = [speech.store.load(speech.store.view(u.id)) for u in (own, other)]
    warped = [store.load(store.view(u.id)) for u in (own, other)]
    assert torch.equal(warped[1], plain[1]) and not torch.allclose(warped[0], plain[0], atol=0.1)
    inputs = speech.store.inputs
    assert torch.equal(warped[0], inputs.warped(plain[0][None], torch.tensor([len(plain[0])]), torch.tensor(0.8))[0])
