"""Recordings as by telephone keep their band and their length, and lose what a line does not carry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr_transfer import audio
from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest, write_manifest
from data_prep.telephone import by_telephone
from tests.tones import make_speaker


def _tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE)


@pytest.mark.parametrize(("hertz", "kept"), [(1000, True), (2500, True), (100, False), (5000, False), (7000, False)])
def test_the_band_of_a_line_is_kept_and_nothing_else(hertz: float, kept: bool) -> None:
    before = _tone(hertz)
    after = by_telephone(before)
    share = float(after[2000:-2000].std() / before[2000:-2000].std())
    assert share == pytest.approx(1.0, abs=0.1) if kept else share < 0.1
    assert len(after) == len(before)


def test_eight_bits_leave_a_noise_that_follows_the_loudness() -> None:
    loud, quiet = (by_telephone(scale * _tone(1000)) for scale in (1.0, 0.05))
    for scale, heard in ((1.0, loud), (0.05, quiet)):
        clean = scale * _tone(1000)
        # The best fit of the tone at any phase; what is left is the quantiser's.
        basis = np.stack([clean, np.gradient(clean)], 1)[2000:-2000]
        left = heard[2000:-2000] - basis @ np.linalg.lstsq(basis, heard[2000:-2000], rcond=None)[0]
        assert 20 < 20 * np.log10(clean.std() / left.std()) < 50


def test_the_command_copies_a_manifest(tmp_path: Path) -> None:
    clean = make_speaker(tmp_path / "clean", "amy", 1.0, 2, seed=1)
    write_manifest(tmp_path / "clean.jsonl", clean)
    command = ["prepare", "telephone", "--manifest", str(tmp_path / "clean.jsonl"), "--out", str(tmp_path / "line")]
    assert main(command) == 0
    made = read_manifest(tmp_path / "line" / "telephone.jsonl")
    assert [(u.id, u.text, u.speaker) for u in made] == [(u.id, u.text, u.speaker) for u in clean]
    first = audio.read(made[0].audio)
    np.testing.assert_allclose(first, by_telephone(audio.read(clean[0].audio)), atol=1e-4)
