"""What is given in the place of a recording or manifest is called what it is, with the way to what is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer import audio
from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep.folder import scan_folder

PAGES = ("<html>403 Forbidden</html>", "<!DOCTYPE html>\n<html></html>", "\ufeff<?xml version='1.0'?><Error/>",
         "\n\n<HTML><body>")  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.flac", "a.m4a", "a.ogg"])
def test_a_web_page_is_called_one(tmp_path: Path, page: str, name: str) -> None:
    (tmp_path / name).write_text(page, encoding="utf-8")
    with pytest.raises(DataError, match=rf"{name}: is no audio but a web page, .* download it again"):
        audio.probe(tmp_path / name)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match="is no audio but a web page"):
        scan_folder(tmp_path)


@pytest.mark.parametrize(("text", "message"), [
    ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "a pointer of Git LFS; .*`git lfs pull`"),
    ('{"message": "not found"}', r"text \(it begins with '{\"message\": \"not found\"}'\)"),
    ("привет, это текст", r"text \(it begins with 'привет, это текст'\)"),
])  # fmt: skip
def test_other_texts_too(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.mp3").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"a\.mp3: is no audio but {message}"):
        audio.probe(tmp_path / "a.mp3")


def test_damaged_mp3_does_exist(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(DataError, match=r"cannot|can be decoded") as error:
        audio.probe(tmp_path / "a.mp3")
    assert "does not exist" not in str(error.value)


def test_a_folder_is_no_recording(tmp_path: Path, tone_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", "--model", str(tone_run), str(tmp_path)]) == 1
    assert f"{tmp_path}: is a folder, not a recording; name the recordings in it" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "message"), [
    ("t.csv", r"is a table, .* `asr-transfer prepare folder --root .* --transcripts .*t\.csv --out DIR`"),
    ("t.TSV", "is a table, and a manifest is needed here"),
    ("a.wav", "is a recording, and a manifest is needed here"),
])  # fmt: skip
def test_no_manifest(
    tmp_path: Path, name: str, message: str, tone_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("file,text\na.wav,hello\n")
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / name)
    assert main(["adapt", "--model", str(tone_run), "--data", str(tmp_path / name), "--out", str(tmp_path / "o")]) == 1
    assert "is needed here; make one with" in capsys.readouterr().err


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, and a manifest is needed here; make one with `asr-transfer prep"):
        read_manifest(tmp_path)
