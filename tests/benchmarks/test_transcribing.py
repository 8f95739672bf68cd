"""The benchmark of `transcribe` runs the command itself, and tells its start from the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

from asr_transfer.data.manifest import read_manifest
from benchmarks import transcribing
from docs.tables import kept


def test_short_files_and_a_long_one_are_transcribed_and_recorded(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = read_manifest(tone_corpus["test"])
    monkeypatch.setattr(transcribing, "find_utterances", lambda an4, work: (spoken, "tones"))
    out = tmp_path / "out"
    transcribing.main(tone_run, files=len(spoken) + 1, minutes=0.1, rounds=1, out=out)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    one, short, long = record["scores"]["commands"]
    assert [one["files"], short["files"], long["files"]] == [1, len(spoken) + 1, 1] and one["rate_beyond"] is None
    assert short["audio_seconds"] > one["audio_seconds"] and long["audio_seconds"] == pytest.approx(6.0)
    assert all(
        row["rate"] == pytest.approx(row["audio_seconds"] / row["cpu_seconds"], rel=0.1) for row in (short, long)
    )
    assert kept({**record, "name": "transcribing"}, "transcribing")[0].markdown().count("≥ 400") == 2


def test_recordings_are_joined_to_the_length_that_is_asked_for(tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    spoken = read_manifest(tone_corpus["test"])[:2]
    made = transcribing.join(spoken, 7.5, tmp_path / "long.flac")
    assert soundfile.info(made.audio).duration == pytest.approx(7.5) == made.duration


def test_a_command_that_fails_says_why(tmp_path: Path, tone_corpus: dict[str, Path]) -> None:
    with pytest.raises(SystemExit, match="nowhere"):
        transcribing.transcribed(tmp_path / "nowhere", read_manifest(tone_corpus["test"])[:1])


def test_a_model_with_random_weights_can_be_listened_with(tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    model = transcribing.untrained(tmp_path / "model")
    assert transcribing.transcribed(model, read_manifest(tone_corpus["test"])[:1]) > 0


@pytest.mark.parametrize("wrong", [{"files": 0}, {"rounds": 0}, {"minutes": 0.0}])
def test_nothing_to_transcribe_is_told_before_anything_is_made(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="must be above 0"):
        transcribing.main(out=tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()
