"""A null in a manifest is a value that is not there: no text for speech without transcripts, else one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError

GOOD: dict[str, Any] = {"id": "u", "audio_filepath": "a.wav", "duration": 1, "text": "abba", "speaker": "s",
                        "language": "en"}  # fmt: skip


def manifest(folder: Path, **changes: Any) -> Path:
    file = folder / "m.jsonl"
    file.write_text(json.dumps({**GOOD, **changes}) + "\n")
    return file


def test_a_null_text_is_none_where_none_is_needed(tmp_path: Path) -> None:
    assert read_manifest(manifest(tmp_path, text=None), labelled=False)[0].text == ""


@pytest.mark.parametrize("text", [None, ""])
def test_where_a_text_is_needed_one_sentence_says_so(tmp_path: Path, text: str | None) -> None:
    with pytest.raises(DataError, match=r"m\.jsonl line 1: has no transcript \(`text` is (null|\"\")\), which is"):
        read_manifest(manifest(tmp_path, text=text))


def test_a_null_in_what_may_be_missing_is_missing(tmp_path: Path) -> None:
    (found,) = read_manifest(manifest(tmp_path, offset=None, phones=None, pronunciation=None))
    assert (found.start, found.phones, found.pronunciation) == (None, None, None)


@pytest.mark.parametrize("key", ["id", "audio_filepath", "speaker", "language", "duration"])
def test_a_null_in_what_is_needed_is_called_so(tmp_path: Path, key: str) -> None:
    for labelled in (True, False):
        with pytest.raises(DataError, match=f"m.jsonl line 1: `{key}` must be .*, got null"):
            read_manifest(manifest(tmp_path, **{key: None}), labelled)


def test_transcribe_takes_it(
    tmp_path: Path, tone_corpus: dict[str, Path], tone_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = read_manifest(tone_corpus["test"])[0]
    file = manifest(tmp_path, audio_filepath=recording.audio, duration=recording.duration, text=None)
    assert main(["transcribe", "--model", str(tone_run), str(file)]) == 0
    assert capsys.readouterr().out.startswith("u\t")
    assert main(["evaluate", "--model", str(tone_run), "--data", str(file), "--out", str(tmp_path / "run")]) == 1
    assert "has no transcript" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(("changes", "message"), [
    ({"audio_filepath": "a\0.wav"}, r"line 1: `audio_filepath` holds a NUL character \(\\x00\); write it anew"),
    ({"text": "ab\ud83d"}, r"line 1: `text` holds half a character \(\\ud83d\); write it anew"),
])  # fmt: skip
def test_what_no_file_name_and_no_text_can_hold(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_manifest(manifest(tmp_path, **changes))
    assert read_manifest(manifest(tmp_path, id="a\udcff", audio_filepath="a\udcff.wav"))[0].id == "a\udcff"
