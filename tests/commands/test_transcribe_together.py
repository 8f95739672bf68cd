"""`transcribe` listens to short recordings together, says what is wrong between them, and answers names from a pipe."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.cli import main
from asr_transfer.commands import transcribe_together


def _lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    found = capsys.readouterr()
    return found.out.splitlines(), found.err


def _audio(manifest: Path) -> list[str]:
    return [json.loads(line)["audio_filepath"] for line in manifest.read_text().splitlines()]


def test_together_and_one_by_one_give_the_same_lines_in_the_same_order(
    tone_run: Path,
    tone_corpus: dict[str, Path],
    feature_cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [str(tone_corpus["test"].parent / name) for name in _audio(tone_corpus["test"])[:4]]
    asked = [files[2], files[0], "gone.wav", files[1], files[0]]
    command = ["transcribe", "--model", str(tone_run), *asked]
    assert main(command) == 1
    together, errors = _lines(capsys)
    assert [line.partition("\t")[0] for line in together] == [files[2], files[0], files[1], files[0]]
    assert errors.count("gone.wav") == 1
    monkeypatch.setattr(transcribe_together, "TOGETHER", 0.0)
    assert main(command) == 1
    assert _lines(capsys)[0] == together


def test_a_recording_that_turns_out_damaged_costs_nobody_else(
    tone_run: Path,
    tone_corpus: dict[str, Path],
    feature_cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [str(tone_corpus["test"].parent / name) for name in _audio(tone_corpus["test"])[:2]]
    cut = tmp_path / "cut.flac"
    soundfile.write(cut, np.random.default_rng(0).uniform(-0.1, 0.1, 16_000), 16_000)
    cut.write_bytes(cut.read_bytes()[:5000])  # the header says a second, the rest is gone
    assert main(["transcribe", "--model", str(tone_run), files[0], str(cut), files[1]]) == 1
    lines, errors = _lines(capsys)
    assert [line.partition("\t")[0] for line in lines] == files and "cut.flac" in errors


def test_names_come_by_a_pipe_and_each_is_answered_with_a_line(
    tone_run: Path,
    tone_corpus: dict[str, Path],
    feature_cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [str(tone_corpus["test"].parent / name) for name in _audio(tone_corpus["test"])[:2]]
    assert main(["transcribe", "--model", str(tone_run), *files]) == 0
    plain, _ = _lines(capsys)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{files[0]}\n\ngone.wav\r\n{files[1]}\n"))
    assert main(["transcribe", "--model", str(tone_run), "-"]) == 1
    lines, errors = _lines(capsys)
    assert lines == [plain[0], "gone.wav\t", plain[1]] and "gone.wav" in errors
    assert main(["transcribe", "--model", str(tone_run), "-", files[0]]) == 1
    assert "give it alone" in _lines(capsys)[1]
