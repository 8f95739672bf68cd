"""LibriSpeech, which a user brings along: a made-up tree of its documented layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.errors import DataError
from data_prep import librispeech
from tests.prepared import rows_of, write
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.fixture
def chapters(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "LibriSpeech"
    for subset, chapter in (("train-clean-100", "19/198"), ("dev-clean", "84/121123"), ("test-other", "367/130732")):
        stem = chapter.replace("/", "-")
        write(root / subset / chapter / f"{stem}.trans.txt", f"{stem}-0000 IT'S 1 O'CLOCK", f"{stem}-0001 GO ON")
        make_audio(root / subset / chapter / f"{stem}-0000.flac", seconds=1.5)
        make_audio(root / subset / chapter / f"{stem}-0001.flac", seconds=1.0)
    return root


def test_librispeech(tmp_path: Path, chapters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    librispeech.prepare(tmp_path, tmp_path / "out")
    assert rows_of(tmp_path / "out", ("train-clean-100", "dev-clean", "test-other")) == {
        "train-clean-100": [("librispeech/19-198-0001", "librispeech-19", "go on", "en")],
        "dev-clean": [("librispeech/84-121123-0001", "librispeech-84", "go on", "en")],
        "test-other": [("librispeech/367-130732-0001", "librispeech-367", "go on", "en")],
    }
    assert sorted(file.name for file in (tmp_path / "out").iterdir())[0] == "dev-clean.jsonl"
    printed = capsys.readouterr().out
    assert "digits or symbols, whose reading is not known: librispeech/19-198-0000" in printed
    assert "dev-clean: 1 of its 1 utterances have a text that train-clean-100 has too" in printed, "and it stays"


def test_librispeech_says_what_is_wrong(tmp_path: Path, chapters: Path) -> None:
    write(chapters / "dev-clean/84/121123/84-121123.trans.txt", "84-121123 NO NUMBER")
    with pytest.raises(DataError, match=r"84-121123.trans.txt line 1: is not `SPEAKER-CHAPTER-NUMBER TEXT`"):
        librispeech.prepare(chapters, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no subset of LibriSpeech; give the folder that holds train-clean-100"):
        librispeech.prepare(tmp_path / "empty", tmp_path / "out")
