"""Noisy copies: the noise has the stated strength, differs between recordings, and leaves the originals alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr_transfer import audio
from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest, write_manifest
from tests.tones import make_speaker


def test_the_noise_is_white_as_strong_as_stated_and_repeatable(tmp_path: Path) -> None:
    clean = make_speaker(tmp_path / "clean", "amy", 1.0, 3, seed=1)
    write_manifest(tmp_path / "clean.jsonl", clean)
    before = [Path(u.audio).read_bytes() for u in clean]
    command = ["prepare", "noisy", "--manifest", str(tmp_path / "clean.jsonl"), "--amplitude", "0.02", "--out"]
    assert main([*command, str(tmp_path / "one")]) == 0 and main([*command, str(tmp_path / "two")]) == 0
    noisy, again = (read_manifest(tmp_path / name / "noisy.jsonl") for name in ("one", "two"))
    assert [(u.id, u.text, u.speaker) for u in noisy] == [(u.id, u.text, u.speaker) for u in clean]
    noises = [audio.read(n.audio) - audio.read(c.audio) for n, c in zip(noisy, clean, strict=True)]
    for noise in noises:
        assert noise.std() == pytest.approx(0.02, rel=0.03) and abs(noise.mean()) < 1e-3
        assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.03, "white noise has no memory"
    assert not np.allclose(noises[0][:1000], noises[1][:1000])
    assert all(np.array_equal(audio.read(a.audio), audio.read(b.audio)) for a, b in zip(noisy, again, strict=True))
    assert [Path(u.audio).read_bytes() for u in clean] == before


def test_an_impossible_amplitude_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for amplitude in ("0", "1.5", "-0.1"):
        command = ["prepare", "noisy", "--manifest", "m.jsonl", "--out", str(tmp_path), "--amplitude", amplitude]
        assert main(command) == 1
        assert "`amplitude` must be between 0 and 1" in capsys.readouterr().err
