"""Tabs and line ends in names stay out of outputs that are read by line and column."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError, one_line
from data_prep.common import by_reason

NAMES = ("my\ttake.wav", "my\ntake.wav", "my\r\ntake.wav", "my\u2028take.wav", "my\x1btake.wav")


def test_names_become_one_line() -> None:
    assert [one_line(name) for name in NAMES] == [
        r"my\ttake.wav", r"my\ntake.wav", r"my\r\ntake.wav", r"my\u2028take.wav", r"my\x1btake.wav"
    ]  # fmt: skip
    for plain in ("a b", "ü/é", "\\t", "क्ष\u200dः", "\xa0"):
        assert one_line(plain) == plain


@pytest.mark.parametrize("name", NAMES)
def test_transcribe_prints_one_line_of_two_columns(
    tmp_path: Path, name: str, tone_corpus: dict[str, Path], tone_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(read_manifest(tone_corpus["test"])[0].audio, tmp_path / name)
    assert main(["transcribe", "--model", str(tone_run), str(tmp_path / name)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split("\t")[0] == one_line(str(tmp_path / name)) and len(line.split("\t")) == 2


@pytest.mark.parametrize("key", ["id", "speaker", "language"])
@pytest.mark.parametrize("value", ["a\tb", "a\nb", "a\u2028b"])
def test_a_manifest_with_such_an_id_is_refused(tmp_path: Path, key: str, value: str) -> None:
    entry = {"id": "u", "audio_filepath": "a\tb.wav", "duration": 1, "text": "x", "speaker": "s", "language": "en"}
    (tmp_path / "m.jsonl").write_text(json.dumps(entry) + "\n")
    assert read_manifest(tmp_path / "m.jsonl")[0].audio.endswith("a\tb.wav")
    (tmp_path / "m.jsonl").write_text(json.dumps({**entry, key: value}) + "\n")
    with pytest.raises(DataError, match=f"m.jsonl line 1: `{key}` holds a tab, a line end or another control"):
        read_manifest(tmp_path / "m.jsonl")


def test_reports_of_what_is_left_out_keep_their_lines() -> None:
    (line,) = by_reason([("a\nb.wav", "it is broken")])
    assert line == r"  left out, it is broken: a\nb.wav"
