"""A summary of how a speaker sounds: what it is, that no text is read for it, and that it comes on and off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.film_summary import FILM, summarise
from asr_transfer.adaptation.profile import Profile, merged, save_profile
from asr_transfer.config import FeatureConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.models.adapters import adapter_state, base_state
from asr_transfer.models.adapters.modulation import heard_sums, statistics_of
from tests.adaptation.test_methods import CONFIG, make_source, outputs
from tests.small import MELS, different, snapshot
from tests.spaces import give_modulation
from tests.tones import Speech, two_speakers

SUMMARY = "adapters.film.summary"


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("speech"), FeatureConfig(mels=MELS))


@pytest.fixture
def source() -> Recogniser:
    """Return a model that is modulated by summaries, as it comes from a folder."""
    made = make_source()
    made.model.speakers = None
    give_modulation(made.model)
    made.model.modulation.middle.zero_()
    made.model.modulation.spread.fill_(4.0)  # so wide that nobody lies beyond what counts
    return made


def _adapted(source: Recogniser, speech: Speech, name: str = FILM, strength: float = 1.0) -> Adapted:
    return adapt(source, Spoken(speech.own, speech.store), name, replace(CONFIG, strength=strength))


def test_it_is_the_projected_statistics_of_all_frames_whatever_is_said(source: Recogniser, speech: Speech) -> None:
    part, spoken = source.model.modulation, Spoken(speech.own, speech.store)
    sums = torch.zeros(1 + 2 * part.channels, dtype=torch.float64)
    for number in range(len(spoken)):  # one by one, where the summary is of batches
        batch = spoken.collate([number])
        assert batch.lengths is not None
        sums += heard_sums(source.model, batch.inputs, batch.lengths)[0]
    expected = part.projection @ ((statistics_of(sums) - part.middle) / part.spread).clamp(-3, 3).float()
    found = summarise(source, spoken)
    torch.testing.assert_close(found.summary, expected, rtol=1e-4, atol=1e-5)
    assert found.recordings == 5 and found.plain()["recordings"] == 5
    wordless = Spoken([replace(utterance, text="") for utterance in speech.own], speech.store)
    assert torch.equal(summarise(source, wordless).summary, found.summary)
    other = summarise(source, Spoken(speech.more, speech.store))
    assert not torch.allclose(other.summary, found.summary, atol=1e-3), "another speaker sounds otherwise"


def test_nothing_but_the_summary_is_added_and_it_is_heard(source: Recogniser, speech: Speech, tmp_path: Path) -> None:
    before, heard = snapshot(source.model), outputs(source, speech)
    adapted = _adapted(source, speech)
    model = adapted.recogniser.model
    assert not different(snapshot(source.model), before) and not different(snapshot(model), {**before, **_own(adapted)})
    assert list(adapter_state(model)) == [SUMMARY] and adapted.result.steps == 0
    assert not torch.equal(outputs(adapted.recogniser, speech), heard)
    adapted.recogniser.save(tmp_path / "model", "A card.", {})
    assert torch.equal(outputs(Recogniser.load(tmp_path / "model", "en"), speech), outputs(adapted.recogniser, speech))


def _own(adapted: Adapted) -> dict[str, torch.Tensor]:
    return adapter_state(adapted.recogniser.model)


def test_its_profile_comes_on_and_off(source: Recogniser, speech: Speech, tmp_path: Path) -> None:
    adapted, heard = _adapted(source, speech).recogniser, outputs(source, speech)
    facts = {"method": FILM, "utterances": 5, "seconds": 3.0}
    profile = Profile.load(save_profile(tmp_path / "profile", source.model, adapted.model, facts))
    assert set(profile.tensors) == {SUMMARY} and profile.size_bytes < 1000
    assert "film of length 3" in profile.describe()
    base = replace(source, model=merged(source.model, profile))
    torch.testing.assert_close(outputs(base, speech), outputs(adapted, speech), rtol=1e-5, atol=1e-6)
    with profile.applied(source.model):
        assert torch.equal(outputs(source, speech), outputs(adapted, speech))
    assert torch.equal(outputs(source, speech), heard)


def test_strength_goes_from_the_source_to_the_whole_summary(source: Recogniser, speech: Speech) -> None:
    whole, half, none = (_adapted(source, speech, strength=strength) for strength in (1.0, 0.5, 0.0))
    torch.testing.assert_close(2 * _own(half)[SUMMARY], _own(whole)[SUMMARY])
    assert not _own(none)[SUMMARY].any()
    assert torch.equal(outputs(none.recogniser, speech), outputs(source, speech))


@pytest.mark.parametrize("name", ["film+lhuc", "film+front-end", "warp+film"])
def test_what_is_trained_beside_leaves_it_as_it_is(name: str, source: Recogniser, speech: Speech) -> None:
    adapted, alone = _adapted(source, speech, name), _adapted(source, speech)
    model = adapted.recogniser.model
    if name != "warp+film":  # through a warp a speaker sounds otherwise
        assert torch.equal(_own(adapted)[SUMMARY], _own(alone)[SUMMARY])
    fixed = [key for key in snapshot(source.model) if key.startswith("modulation.")]
    assert fixed and not different({k: v for k, v in base_state(model).items() if k in fixed}, _only(source, fixed))
    assert adapted.result.steps == (0 if name == "warp+film" else CONFIG.steps)


def _only(source: Recogniser, names: list[str]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in snapshot(source.model).items() if name in names}


def test_what_it_cannot_be_done_with_is_told(source: Recogniser, speech: Speech) -> None:
    with pytest.raises(ModelError, match="this one was trained without; train one with"):
        _adapted(make_source(), speech)
    with pytest.raises(ModelError, match="has a speaker's summary already"):
        _adapted(_adapted(source, speech).recogniser, speech)
    short = [replace(utterance, duration=0.01) for utterance in speech.own]
    with pytest.raises(DataError, match="has 0.1 s of speech to go by"):
        adapt(source, Spoken(short, speech.store), FILM, CONFIG)
    with pytest.raises(ConfigError, match="are two ways to one"):
        _adapted(source, speech, "film+mean-profile")
