"""Who is listened to online is adapted to from his own recordings alone, and nobody else notices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.adaptation.online_warp import ENOUGH, WarpSession
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.warp import find_warp, with_warp
from asr_transfer.data.features import build_store
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from tests.tones import make_speaker

Voices = tuple[Recogniser, dict[str, Spoken]]


@pytest.fixture(scope="module")
def voices(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Voices:
    """Return a model of tone speakers, an ordinary one and one whose tones are far off, without texts."""
    source, folder = Recogniser.load(tone_run), tmp_path_factory.mktemp("voices")
    made = {name: make_speaker(folder, name, shift, 10, 7) for name, shift in (("usual", 1.0), ("child", 1.16))}
    store = build_store([u for own in made.values() for u in own], source.model.inputs, cache=folder / "cache")
    return source, {name: Spoken([replace(u, text="") for u in own], store) for name, own in made.items()}


def test_a_speaker_is_heard_through_what_his_recordings_so_far_speak_for(voices: Voices) -> None:
    source, speech = voices
    session, own = WarpSession(source), speech["child"]
    texts = session.listen(own)
    for count in (1, 3, ENOUGH, len(own)):
        found = find_warp(source, own.subset(range(min(count, ENOUGH))), MethodSettings().warps, read=False)
        last = own.subset([count - 1])
        assert texts[count - 1] == with_warp(source, found.factor).listen(last)[0]
    (factor,) = session.factors().values()
    assert abs(np.log(factor * 1.16)) < 0.08
    (line,) = session.describe()
    assert line.startswith(f"child: warp {factor:.2f} since recording ") and line.endswith(" of 10")


def test_ordinary_speakers_are_heard_as_ever_whoever_spoke_before(voices: Voices) -> None:
    source, speech = voices
    usual, child = speech["usual"], speech["child"]
    alone = WarpSession(source).listen(child)
    session = WarpSession(source)
    mixed = session.listen(Spoken([*child.utterances[:5], *usual.utterances, *child.utterances[5:]], child.store))
    assert mixed[5:15] == source.listen(usual) and mixed[:5] + mixed[15:] == alone
    assert session.factors()["usual"] == 1 and len(session.describe()) == 1
    nobody = Spoken([replace(u, speaker="") for u in child.utterances], child.store)
    again = WarpSession(source)
    assert again.listen(nobody) == alone and again.describe()[0].startswith("the speaker: ")


def test_too_short_a_recording_is_heard_and_tells_nothing(voices: Voices) -> None:
    source, speech = voices
    short = Spoken([replace(u, duration=0.2) for u in speech["child"].utterances], speech["child"].store)
    session = WarpSession(source)
    assert session.listen(short) == source.listen(short) and set(session.factors().values()) == {1.0}


def test_a_model_that_is_one_speakers_already_is_refused(voices: Voices) -> None:
    with pytest.raises(ConfigError, match=r"holds a warp of 0\.84 already, .* leave `online_profile` out\.$"):
        WarpSession(with_warp(voices[0], 0.84))
