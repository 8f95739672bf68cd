"""A profile says which head it was made with and keeps its offsets; older ones, which do not, are read as before."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from asr_transfer.adaptation.profile import FACTS, Profile, ProfileFacts, save_profile
from asr_transfer.commands.profile_on_model import load_with_profile
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError


def _saved(folder: Path, run: Path, head: str, facts: ProfileFacts) -> Path:
    base, changed = (Recogniser.load(run, head).model for _ in range(2))
    changed.state_dict()["encoder.norm.weight"].add_(1)
    save_profile(folder, base, changed, facts)
    return folder


def test_head_and_offsets_are_kept(languages_run: Path, tmp_path: Path) -> None:
    facts = ProfileFacts("full", 3, 4.5, head="nl", offsets={"en": -0.5, "nl": 0.5})
    folder = _saved(tmp_path / "nl", languages_run, "nl", facts)
    assert Profile.load(folder).facts == facts
    found = load_with_profile(languages_run, folder)
    assert found.head == "nl" and found.offsets == {"en": -0.5, "nl": 0.5}


def test_a_profile_of_another_head_is_refused(languages_run: Path, tmp_path: Path) -> None:
    folder = _saved(tmp_path / "nl", languages_run, "nl", ProfileFacts("full", 3, 4.5, head="nl"))
    with pytest.raises(ModelError, match="is a profile of the head 'nl', not of 'en'; leave --language out"):
        load_with_profile(languages_run, folder, "en")


def test_a_profile_of_another_model_is_called_so_first(languages_run: Path, tone_run: Path, tmp_path: Path) -> None:
    folder = _saved(tmp_path / "nl", languages_run, "nl", ProfileFacts("full", 3, 4.5, head="nl"))
    with pytest.raises(ModelError, match="the model that it was made from"):
        load_with_profile(tone_run, folder)


def test_profiles_that_do_not_say_their_head_are_read_as_before(
    languages_run: Path, tone_run: Path, tmp_path: Path
) -> None:
    older = _saved(tmp_path / "older", tone_run, "en", ProfileFacts("full", 3, 4.5))
    assert not {"head", "offsets", "test_time"} & set(yaml.safe_load((older / FACTS).read_text(encoding="utf-8")))
    assert load_with_profile(tone_run, older).head == "en"
    several = _saved(tmp_path / "several", languages_run, "nl", ProfileFacts("full", 3, 4.5))
    with pytest.raises(ModelError, match="say which with --language"):
        load_with_profile(languages_run, several)
    assert load_with_profile(languages_run, several, "nl").offsets == {}


def test_offsets_of_other_heads_are_not_used(languages_run: Path, tmp_path: Path) -> None:
    facts = ProfileFacts("full", 3, 4.5, head="nl", offsets={"de": -0.5, "nl": 0.5})
    assert load_with_profile(languages_run, _saved(tmp_path / "nl", languages_run, "nl", facts)).offsets == {}
