"""Recordings are named once, links are seen through, and only what is silent whatever its offset is called silent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from data_prep.recordings import SILENCE_DBFS, Recordings, listen


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("shape", ["noise", "pulses"])
@pytest.mark.parametrize("decibels", [-12.0, -1.0, -0.2, 0.2, 1.0, 5.0, 7.0, 20.0])
def test_silence_is_what_peaks_below_the_threshold_beside_its_median(
    decibels: float, shape: str, offset: float, tmp_path: Path
) -> None:
    """Pulses of one sign peak at all of their range, noise at about half of it."""
    samples = np.zeros(4000)
    samples[::50] = 1.0
    if shape == "noise":
        samples = np.random.default_rng(0).uniform(-1, 1, 4000)
    samples = offset + 10 ** ((SILENCE_DBFS + decibels) / 20) * samples
    file = tmp_path / "one.wav"
    soundfile.write(file, samples, SAMPLE_RATE, subtype="FLOAT")
    peak = np.abs(samples.astype(np.float32) - np.median(samples.astype(np.float32))).max()
    defect, seconds = listen(file)
    assert (defect is not None) == (20 * np.log10(peak) < SILENCE_DBFS)
    assert defect is None or defect == f"holds no speech: peak level {20 * np.log10(peak):.0f} dBFS"
    assert seconds == (0.25 if defect is None else 0.0)


def test_names_are_paths_below_the_folder_and_links_are_seen_through(tmp_path: Path) -> None:
    (tmp_path / "all" / "a").mkdir(parents=True)
    file = tmp_path / "all" / "a" / "one.v2.wav"
    file.write_bytes(b"")
    os.symlink(file, tmp_path / "all" / "two.wav")
    recordings = Recordings(tmp_path / "all")
    for _ in range(2):
        assert [recordings.name(own) for own in sorted(recordings.files)] == ["a/one.v2.wav", "two.wav"]
        assert [recordings.key(own) for own in sorted(recordings.files)] == ["a/one.v2", "two"]
        assert {recordings.real(own) for own in recordings.files} == {str(file.resolve())}
    os.symlink(tmp_path / "all" / "a", tmp_path / "all" / "b")
    (tmp_path / "all" / "three.wav").write_bytes(b"")
    for name in ("b/one.v2.wav", "b/../three.wav", "./a/../b/one.v2.wav"):
        other = tmp_path / "all" / name
        assert recordings.real(other) == str(other.resolve())
