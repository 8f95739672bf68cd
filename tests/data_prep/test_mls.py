"""Multilingual LibriSpeech, which a user brings along: a made-up tree of its documented layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.errors import DataError
from data_prep import mls
from tests.prepared import rows_of, write
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.fixture
def books(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "mls_german_opus"
    for split, name in (("train", "10_20_000001"), ("dev", "11_21_000000"), ("test", "12_22_000000")):
        speaker, book, _ = name.split("_")
        make_audio(root / split / "audio" / speaker / book / f"{name}.opus", seconds=2.0)
        write(root / split / "transcripts.txt", f"{name}\tdas ist für {split} gut", f"{speaker}_{book}_000099\tfehlt")
    return root


def test_mls(tmp_path: Path, books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mls.prepare(books, tmp_path / "out")
    assert rows_of(tmp_path / "out") == {
        "train": [("mls-de/10_20_000001", "mls-10", "das ist für train gut", "de")],
        "dev": [("mls-de/11_21_000000", "mls-11", "das ist für dev gut", "de")],
        "test": [("mls-de/12_22_000000", "mls-12", "das ist für test gut", "de")],
    }
    assert "no recording belongs to it: mls-de/10_20_000099" in capsys.readouterr().out


def test_mls_says_what_is_wrong(tmp_path: Path, books: Path) -> None:
    write(books / "dev/transcripts.txt", "11_21_000000 kein Tabulator")
    with pytest.raises(DataError, match=r"transcripts.txt line 1: is not `SPEAKER_BOOK_NUMBER<TAB>text`"):
        mls.prepare(books, tmp_path / "out")
    with pytest.raises(DataError, match=r"name is not `mls_LANGUAGE`; give the folder of one .* Did you mean 'ger"):
        mls.prepare(books.rename(tmp_path / "mls_germn"), tmp_path / "out")
