"""What a manifest says of times holds when its audio is used: without offset an utterance begins with the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr_transfer.adaptation.checks import check_audio
from asr_transfer.cli import main
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import build_store, model_input
from asr_transfer.data.manifest import Utterance, read_audio, write_manifest
from asr_transfer.errors import DataError
from tests.tones import speak

WORDS = ("abba", "cab", "deed")
PARTS = [speak(text, 1.0, number) for number, text in enumerate(WORDS)]


@pytest.fixture
def segments(tmp_path: Path) -> list[Utterance]:
    """Return parts of one recording, as NeMo writes them: the first without offset."""
    soundfile.write(tmp_path / "long.wav", np.concatenate(PARTS), 16_000, subtype="FLOAT")
    made, at = [], 0.0
    for number, (text, samples) in enumerate(zip(WORDS, PARTS, strict=True)):
        seconds = len(samples) / 16_000
        start = at if number else None
        made.append(Utterance(f"u{number}", str(tmp_path / "long.wav"), seconds, text, "ann", "en", start))
        at += seconds
    return made


def test_a_segment_without_offset_begins_with_the_file(tmp_path: Path, segments: list[Utterance]) -> None:
    for utterance, samples in zip(segments, PARTS, strict=True):
        np.testing.assert_array_equal(read_audio(utterance), samples)
    config = FeatureConfig()
    store = build_store(segments, config, cache=tmp_path / "cache")
    for utterance, samples in zip(segments, PARTS, strict=True):
        expected = model_input(torch.from_numpy(samples), config)
        np.testing.assert_allclose(store.load(store.view(utterance.id)), expected, atol=1e-4)
    assert [finding.kind for finding in check_audio(segments).findings] == []


def test_a_rounded_duration_is_the_whole_file(segments: list[Utterance]) -> None:
    whole = np.concatenate(PARTS)
    for off in (-0.04, -0.00004, 0.0, 0.04):
        np.testing.assert_array_equal(read_audio(replace(segments[0], duration=len(whole) / 16_000 + off)), whole)


@pytest.mark.parametrize("start", [None, 0.5])
def test_a_longer_one_is_refused_with_the_utterance(tmp_path: Path, segments: list[Utterance], start: float) -> None:
    wrong = replace(segments[0], start=start, duration=9.0)
    for use in (lambda: read_audio(wrong), lambda: build_store([wrong], FeatureConfig(), cache=tmp_path / "cache")):
        with pytest.raises(DataError, match=r"utterance 'u0': .*long\.wav: .* is asked for but the file lasts"):
            use()


def test_commands(
    tmp_path: Path, segments: list[Utterance], tone_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(tmp_path / "m.jsonl", segments)
    assert main(["transcribe", "--model", str(tone_run), str(tmp_path / "m.jsonl")]) == 0
    heard = capsys.readouterr().out.splitlines()
    for utterance, samples in zip(segments, PARTS, strict=True):
        soundfile.write(tmp_path / f"{utterance.id}.wav", samples, 16_000, subtype="FLOAT")
    alone = [str(tmp_path / f"{utterance.id}.wav") for utterance in segments]
    assert main(["transcribe", "--model", str(tone_run), *alone]) == 0
    assert [line.split("\t")[1] for line in heard] == [
        line.split("\t")[1] for line in capsys.readouterr().out.splitlines()
    ]
    command = ["evaluate", "--model", str(tone_run), "--data", str(tmp_path / "m.jsonl")]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["test"]["seconds"] == round(sum(map(len, PARTS)) / 16_000, 2)
    write_manifest(tmp_path / "m.jsonl", [*segments[:2], replace(segments[2], duration=99.0)])
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "run2")]) == 1
    assert "utterance 'u2'" in capsys.readouterr().err and not (tmp_path / "run2").exists()
