"""Reading audio: every kind of file a user may have, and every way in which one can be broken."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer import audio
from asr_transfer.errors import DataError
from asr_transfer.remarks import Remark

MakeAudio = Callable[..., Path]


def tone(path: Path, rate: int, seconds: float = 0.5, hertz: float = 440.0, gains: tuple[float, ...] = (0.5,)) -> Path:
    """Write a sine, one channel per gain."""
    wave = np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.stack([gain * wave for gain in gains], axis=1), rate, subtype="FLOAT")
    return path


def peak_hertz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * audio.SAMPLE_RATE / len(samples))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_any_rate_becomes_16_khz_without_change_of_pitch_or_level(tmp_path: Path, rate: int) -> None:
    samples = audio.read(tone(tmp_path / "a.wav", rate))
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert abs(len(samples) - 8_000) <= 1
    assert peak_hertz(samples) == pytest.approx(440, abs=2.1)
    middle = samples[2_000:6_000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


def test_16_khz_mono_is_read_bit_by_bit(tmp_path: Path) -> None:
    written = np.random.default_rng(0).uniform(-1, 1, 4_000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", written, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav"), written)


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = audio.read(tone(tmp_path / "stereo.wav", 16_000, gains=(0.6, 0.2)))
    mono = audio.read(tone(tmp_path / "mono.wav", 16_000, gains=(0.4,)))
    np.testing.assert_allclose(stereo, mono, atol=1e-6)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_every_container_is_read(tmp_path: Path, make_audio: MakeAudio, suffix: str) -> None:
    file = make_audio(tmp_path / f"a{suffix}", seconds=1.0)
    info = audio.probe(file)
    assert info.channels == 1
    assert info.duration == pytest.approx(1.0, abs=0.1)
    assert len(audio.read(file)) == pytest.approx(info.duration * 16_000, abs=800)


def test_part_of_a_file(tmp_path: Path) -> None:
    written = np.arange(16_000, dtype=np.float32) / 16_000
    soundfile.write(tmp_path / "a.wav", written, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav", 0.25, 0.5), written[4_000:12_000])
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav", start=0.75), written[12_000:])
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav", duration=0.25), written[:4_000])


def test_part_of_a_file_at_another_rate(tmp_path: Path) -> None:
    assert len(audio.read(tone(tmp_path / "a.wav", 8_000, seconds=1.0), 0.5, 0.25)) == 4_000


@pytest.mark.parametrize(("start", "duration"), [(2.0, 0.1), (0.9, 0.5), (None, 1.2), (-0.1, 0.5), (0.5, -0.2)])
def test_part_outside_the_file_is_refused(
    tmp_path: Path, make_audio: MakeAudio, start: float | None, duration: float
) -> None:
    file = make_audio(tmp_path / "a.wav", seconds=1.0)
    with pytest.raises(DataError, match=r"is asked for but the file lasts 1\.00 s"):
        audio.read(file, start, duration)


def test_a_frame_too_much_is_forgiven(tmp_path: Path, make_audio: MakeAudio) -> None:
    assert len(audio.read(make_audio(tmp_path / "a.wav", seconds=1.0), 0.9, 0.14)) == 1_600


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_cut_off_file(tmp_path: Path, make_audio: MakeAudio, suffix: str) -> None:
    file = make_audio(tmp_path / f"a{suffix}", seconds=2.0)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"a\{suffix}: .*cut off.*copy it again"):
        audio.read(file)


def test_cut_off_wav_is_noticed_from_the_header(tmp_path: Path, make_audio: MakeAudio) -> None:
    file = make_audio(tmp_path / "a.wav", seconds=2.0)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match=r"holds 1\.00 s of audio where its header promises 2\.00 s"):
        audio.probe(file)


def test_streamed_wav_without_a_size_is_read(tmp_path: Path, make_audio: MakeAudio) -> None:
    """Programs that write to a pipe leave the largest size in the header, which promises nothing."""
    file = make_audio(tmp_path / "a.wav", seconds=1.0)
    content = bytearray(file.read_bytes())
    size = content.index(b"data") + 4
    content[size : size + 4] = struct.pack("<I", 0xFFFFFFFF)
    file.write_bytes(content)
    with pytest.warns(Remark, match="leaves open how long"):
        assert len(audio.read(file)) == 16_000


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.wav: there is no such audio file"):
        audio.read(tmp_path / "none.wav")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(DataError, match=r"a\.wav: the file is empty \(0 bytes\)"):
        audio.read(tmp_path / "a.wav")


def test_zero_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    with pytest.raises(DataError, match="zero length"):
        audio.probe(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.opus", "a.raw", "a.txt"])
def test_file_that_is_no_audio(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 8)
    with pytest.raises(DataError, match=rf"{name}: is not audio that can be decoded \(\w.*\); convert it"):
        audio.probe(tmp_path / name)


def test_damaged_samples(tmp_path: Path, make_audio: MakeAudio) -> None:
    file = make_audio(tmp_path / "a.flac", seconds=2.0)
    content = bytearray(file.read_bytes())
    content[len(content) // 3 :] = b"\x55" * (len(content) - len(content) // 3)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.flac: .*copy it again"):
        audio.read(file)


def test_too_low_rate(tmp_path: Path, make_audio: MakeAudio) -> None:
    with pytest.raises(DataError, match=r"4000 Hz is too low for speech; give a recording of at least 8000 Hz"):
        audio.probe(make_audio(tmp_path / "a.wav", rate=4_000))


def test_shorter_than_one_window(tmp_path: Path, make_audio: MakeAudio) -> None:
    assert len(audio.read(make_audio(tmp_path / "just.wav", seconds=0.025))) == audio.MIN_SAMPLES
    with pytest.raises(DataError, match=r"20 ms of audio is shorter than one analysis window \(25 ms\)"):
        audio.read(make_audio(tmp_path / "short.wav", seconds=0.02))
    with pytest.raises(DataError, match=r"24\.9 ms of audio is shorter than one analysis window \(25 ms\)"):
        audio.read(make_audio(tmp_path / "one_less.wav", seconds=399 / 16_000))
    with pytest.raises(DataError, match=r"less than 0\.1 ms of audio is shorter than one analysis window"):
        audio.read(make_audio(tmp_path / "one.wav", seconds=1 / 16_000))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    samples = np.zeros((8_000, 2), dtype=np.float32)
    samples[4_000, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(DataError, match="not finite numbers"):
        audio.read(tmp_path / "a.wav")


def test_change_speed(tmp_path: Path) -> None:
    samples = audio.read(tone(tmp_path / "a.wav", 16_000, seconds=1.0))
    (fast,) = audio.change_speed([samples], 1.25)
    assert len(fast) == pytest.approx(12_800, abs=1) and fast.dtype == np.float32
    assert peak_hertz(fast) == pytest.approx(550, abs=2)
    (same,) = audio.change_speed([samples], 1.0)
    assert same is samples


def test_a_header_is_read_once_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, opened = tmp_path / "a.wav", []
    real = audio.open_recording
    monkeypatch.setattr(audio, "open_recording", lambda path: (opened.append(path), real(path))[1])
    soundfile.write(file, np.zeros(8000), 16_000)
    assert [audio.probe(file).duration, audio.probe(file).duration] == [0.5, 0.5]
    assert len(opened) == 2, "what has just been written may be written again at once"
    monkeypatch.setattr(audio, "_SETTLED", 0.0)
    assert [audio.probe(file).duration, audio.probe(str(file)).duration] == [0.5, 0.5] and len(opened) == 3
    soundfile.write(file, np.zeros(16_000), 16_000)
    assert audio.probe(file).duration == 1.0 and len(opened) == 4
    file.unlink()
    with pytest.raises(DataError, match="there is no such audio file"):
        audio.probe(file)
