"""Channels that cancel each other are not averaged to silence."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer import audio
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.remarks import Remark
from data_prep.folder import read_folder
from tests.tones import speak

TONES = speak("abba cab", 1.0, 0)
NOISE = 0.05 * np.random.default_rng(0).standard_normal((len(TONES), 2)).astype(np.float32)

CANCELLING = {
    "inverted": (np.stack([TONES, -TONES], 1), 0),
    "inverted and fainter": (np.stack([0.9 * TONES, -TONES], 1), 1),
    "inverted with an offset": (np.stack([TONES + 0.2, 0.3 - TONES], 1), 0),
    "inverted with noise of each microphone": (np.stack([TONES, -TONES], 1) + NOISE, 0),
    "four channels": (np.stack([TONES, -TONES, 0.5 * TONES, -0.5 * TONES], 1), 0),
}
AVERAGED = {
    "same": np.stack([TONES, TONES], 1),
    "one is silent": np.stack([TONES, 0 * TONES], 1),
    "noise alone": NOISE,
    "silence": np.stack([0 * TONES, 0 * TONES], 1),
    "two speakers": np.stack([TONES, speak("abba cab", 1.3, 1)], 1),
}


@pytest.mark.parametrize("kind", CANCELLING)
def test_the_louder_channel_is_taken_and_it_is_said(tmp_path: Path, kind: str) -> None:
    samples, louder = CANCELLING[kind]
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.warns(Remark, match=r"a\.wav: the channels cancel each other"):
        read = audio.read(tmp_path / "a.wav")
    equal = ("with an offset", "with noise of each microphone")
    chosen = (0, 1) if kind.endswith(equal) else (louder,)
    assert any(np.allclose(read, samples[:, channel]) for channel in chosen)


@pytest.mark.parametrize("kind", AVERAGED)
def test_others_are_averaged_without_a_word(tmp_path: Path, kind: str) -> None:
    soundfile.write(tmp_path / "a.wav", AVERAGED[kind], 16_000, subtype="FLOAT")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(audio.read(tmp_path / "a.wav"), AVERAGED[kind].mean(axis=1), atol=1e-7)


def test_such_a_recording_is_used_and_features_from_the_cache_say_it_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", CANCELLING["inverted"][0], 16_000)
    (tmp_path / "in" / "a.txt").write_text("abba cab")
    with pytest.warns(Remark):
        utterances = read_folder(tmp_path / "in")
    assert [u.id for u in utterances] == ["a"]
    other = Utterance("b", utterances[0].audio, utterances[0].duration, "abba cab", "ann", "en")
    for _ in range(2):
        with pytest.warns(Remark) as said:
            build_store([*utterances, other], FeatureConfig(), cache=tmp_path / "cache")
        assert [str(one.message).count("a.wav") for one in said] == [1]
