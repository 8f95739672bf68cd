"""What is measured of a voice's recordings, against signals whose pitch, level, pauses and noise are known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data import voice
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.voice import Diagnosis, Measured, diagnose, measure
from asr_transfer.errors import DataError

Write = Callable[..., Utterance]


def bursts(pitch: float = 150.0, level: float = -20.0, snr: float = 40.0, pauses: float = 0.4) -> np.ndarray:
    """Return four seconds of a buzz of ten harmonics between pauses, over white noise.

    Args:
        pitch: Hz.
        level: dBFS of the buzz.
        snr: dB of the buzz over the noise.
        pauses: Share of the time without the buzz.
    """
    clock = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * pitch * k * clock + k * k) / k for k in range(1, 11))
    assert isinstance(buzz, np.ndarray)
    buzz *= 10 ** (level / 20) / np.sqrt(np.mean(np.square(buzz)))
    noise = np.random.default_rng(5).standard_normal(4 * SAMPLE_RATE) * 10 ** ((level - snr) / 20)
    return (np.tile(np.where(clock < 1 - pauses, buzz, 0.0), 4) + noise).astype(np.float32)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes samples as an utterance's recording."""

    def written(name: str, samples: np.ndarray) -> Utterance:
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, SAMPLE_RATE)
        return Utterance(name, str(path), len(samples) / SAMPLE_RATE, "abba", "kim", "en")

    return written


def drawn(diagnosis: Diagnosis) -> str:
    """Return the table as text."""
    console = Console(width=160, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(diagnosis.table())
    return console.export_text()


@pytest.mark.parametrize("pitch", [80.0, 120.0, 215.0, 330.0, 480.0])
def test_pitch_is_that_of_the_signal(pitch: float) -> None:
    found = measure(bursts(pitch)).pitch
    assert found is not None
    assert found[1] == pytest.approx(pitch, rel=0.03) and found[0] <= found[1] <= found[2]


def test_the_pitch_range_is_that_of_a_glide() -> None:
    clock = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * (100 * clock + 100 * clock**2 / 6)  # from 100 to 200 Hz
    glide = sum(np.sin(k * phase) / k for k in range(1, 8)) * np.float32(0.1)
    found = measure(np.asarray(glide, np.float32)).pitch
    assert found is not None and found == pytest.approx((105, 150, 195), rel=0.04)


def test_noise_has_no_pitch() -> None:
    noise = 0.1 * np.random.default_rng(2).standard_normal(2 * SAMPLE_RATE)
    assert measure(noise.astype(np.float32)).pitch is None


@pytest.mark.parametrize("level", [-50.0, -30.0, -14.0])
def test_level_is_that_of_the_speech_without_its_pauses(level: float) -> None:
    for pauses in (0.2, 0.7):
        assert measure(bursts(level=level, pauses=pauses)).level == pytest.approx(level, abs=0.7)


@pytest.mark.parametrize("snr", [5.0, 10.0, 20.0, 30.0, 45.0])
def test_noise_is_that_of_the_pauses(snr: float) -> None:
    assert measure(bursts(snr=snr)).snr == pytest.approx(snr, abs=1.0)


def test_digital_zeros_are_not_the_rooms_silence() -> None:
    padded = np.concatenate([bursts(snr=15.0), np.zeros(SAMPLE_RATE, np.float32)])
    found = measure(padded)
    assert found.snr == pytest.approx(15, abs=1.0) and found.pauses == pytest.approx((0.4 * 4 + 1) / 5, abs=0.05)


@pytest.mark.parametrize("pauses", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("snr", [12.0, 50.0])
def test_pauses_are_the_time_without_speech(pauses: float, snr: float) -> None:
    assert measure(bursts(snr=snr, pauses=pauses)).pauses == pytest.approx(pauses, abs=0.05)


def test_clipping_is_the_share_at_full_scale() -> None:
    samples = np.full(SAMPLE_RATE, 0.3, np.float32)
    samples[::10], samples[1::20] = 1.0, -1.0
    assert measure(samples).clipped == pytest.approx(0.15)


@pytest.mark.parametrize("samples", [np.zeros(SAMPLE_RATE), np.zeros(400), np.full(500, 0.5), np.ones(16000)])
def test_recordings_without_a_sound_have_figures_too(samples: np.ndarray) -> None:
    found = measure(samples.astype(np.float32))
    assert found.pitch is None and found.level <= -80 and 0 <= found.pauses <= 1


def test_each_recording_that_stands_out_has_a_row_with_what_to_do(write: Write) -> None:
    good = [write(f"good-{n}", bursts(140.0 + n)) for n in range(6)]
    bad = {
        "faint": (bursts(level=-55.0, snr=30.0), "quiet: record closer"),
        "far": (bursts(level=-38.0, snr=30.0), "18 dB quieter than the others"),
        "street": (bursts(snr=6.0), "noisy: record in a quieter place"),
        "loud": (np.clip(bursts(level=-1.0), -1, 1), "clipped: record at a lower level"),
        "gaps": (bursts(pauses=0.85), "mostly pauses: cut them off"),
        "child": (bursts(300.0), "higher voice than the others: is it the same speaker?"),
    }
    found = diagnose([*good, *(write(name, samples) for name, (samples, _) in bad.items())])
    by_name = {one.utterance: one for one in found.recordings}
    assert not any(by_name[u.id].remarks for u in good)
    for name, (_, remark) in bad.items():
        assert any(remark in said for said in by_name[name].remarks), (name, by_name[name])
    text = drawn(found)
    assert "all 12" in text and "good-" not in text and all(name in text for name in bad)
    plain = found.to_plain()
    assert [one["utterance"] for one in plain["standing_out"]] == list(bad)
    assert Measured.from_plain(plain["all"]).cells() == found.overall().cells()
    assert plain["all"]["pitch"][1] == pytest.approx(145, rel=0.05) and plain["all"]["remarks"] == []


def test_what_holds_for_all_is_said_of_all(write: Write) -> None:
    found = diagnose([write(f"street-{n}", bursts(snr=6.0)) for n in range(5)])
    assert found.overall().remarks == ("noisy: record in a quieter place",)


def test_more_than_are_shown_are_counted(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "SHOWN", 2)
    text = drawn(diagnose([write(f"street-{n}", bursts(snr=6.0)) for n in range(5)]))
    assert "street-1" in text and "street-2" not in text and "3 more stand out; run.json names them" in text


def test_long_and_many_recordings_are_sampled(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = bursts()
    long = write("long", np.concatenate([np.zeros(40 * SAMPLE_RATE), spoken, spoken, np.zeros(40 * SAMPLE_RATE)]))
    diagnose([long])  # compiles
    begun = time.process_time()
    found = diagnose([long])
    assert time.process_time() - begun < 0.5
    assert found.recordings[0].seconds == pytest.approx(88) and found.recordings[0].pitch is not None
    monkeypatch.setattr(voice, "MOST", 3)
    few = diagnose([replace(long, id=f"copy-{n}") for n in range(7)])
    assert [one.utterance for one in few.recordings] == ["copy-0", "copy-3", "copy-6"]
    assert few.overall().utterance == "all 3 drawn of 7"


def test_a_recording_that_cannot_be_read_is_named(write: Write) -> None:
    gone = write("gone", bursts())
    Path(gone.audio).unlink()
    with pytest.raises(DataError, match=r"gone.*there is no"):
        diagnose([gone])
