"""Pitch is that of the signal, silence and noise have none, and it is found without code made by numba."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from asr_transfer.data.pitch import HIGHEST, LOWEST, pitch_of
from tests.real_runs import ROOT

RATE = 16_000


def voice(pitch: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Return a buzz whose harmonics fall off by 6 dB an octave, with two resonances as of a vowel, over white noise.

    Args:
        pitch: (samples,) Hz.
        noise: Root mean square of the noise; the buzz has 1.
    """
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = np.zeros(len(pitch))
    for k in range(1, 40):
        at = k * pitch
        gain = sum(1 / (1 + ((at - centre) / 120) ** 2) for centre in (550.0, 1600.0)) + 0.05
        buzz += np.where(at < RATE / 2, gain / k * np.sin(k * phase + k * k), 0.0)
    buzz /= np.sqrt(np.mean(np.square(buzz)))
    return np.asarray(buzz + noise * np.random.default_rng(3).standard_normal(len(pitch)), np.float32)


@pytest.mark.parametrize("pitch", [62.0, 80.0, 119.3, 215.0, 330.0, 481.0, 590.0])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_pitch_is_that_of_the_signal(pitch: float, noise: float) -> None:
    found = pitch_of(voice(np.full(RATE, pitch), noise), RATE)
    assert len(found) > 40
    assert np.median(found) == pytest.approx(pitch, rel=0.01)
    assert np.mean(np.abs(found / pitch - 1) < 0.03) > 0.9


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_any_rate_will_do(rate: int) -> None:
    clock = np.arange(rate) / rate
    buzz = sum(np.sin(2 * np.pi * 170.0 * k * clock + k) / k for k in range(1, 12))
    found = pitch_of(np.asarray(buzz, np.float32), rate)
    assert len(found) and found == pytest.approx(np.full(len(found), 170.0), rel=0.01)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(500, np.float32),
        np.zeros(RATE, np.float32),
        np.full(RATE, 0.3, np.float32),
        np.random.default_rng(1).standard_normal(RATE).astype(np.float32),
    ],
    ids=["nothing", "short", "silence", "offset", "noise"],
)
def test_what_has_no_pitch_has_none(samples: np.ndarray) -> None:
    assert len(pitch_of(samples, RATE)) == 0


def test_silence_around_a_voice_has_none() -> None:
    found = pitch_of(
        np.concatenate([np.zeros(RATE, np.float32), voice(np.full(RATE, 150.0)), np.zeros(RATE, np.float32)]), RATE
    )
    assert 40 < len(found) < 60 and found.min() >= LOWEST and found.max() <= HIGHEST


def test_a_voice_is_measured_without_code_made_by_numba() -> None:
    """numba keeps what two processes compiled at once in a state that kills all later ones."""
    measuring = (
        "import sys, numpy as np; from asr_transfer.data.voice import measure\n"
        "clock = np.arange(32000) / 16000; buzz = sum(np.sin(2 * np.pi * 150 * k * clock) for k in range(1, 6))\n"
        "print(round(measure((0.1 * buzz).astype(np.float32)).pitch[1]), 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", measuring], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["150", "False"]


def test_of_librosa_only_what_is_not_made_by_numba_is_used() -> None:
    """Of these functions none runs such code; look through a further one before it is added."""
    used = set()
    for file in (ROOT / "asr_transfer").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "from librosa" not in text, file
        used.update(re.findall(r"\blibrosa\.([\w.]+)", re.sub(r'"[^"\n]*"', "", text)))
    assert used == {"feature.melspectrogram", "power_to_db"}
