"""Common Voice, which a user brings along: a small made-up tree of its documented layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import commonvoice
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.fixture
def voices(tmp_path: Path, make_audio: MakeAudio) -> Path:
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile cannot write MP3")
    root = tmp_path / "cv-corpus" / "en"
    rows = {
        "train": [("ann", "c1.mp3", 'He said "no".', "England English")],
        "dev": [("ben", "c2.mp3", "Where is it?", "")],
        "test": [("eve", "c3", "Well, well.", "India and South Asia (India, Pakistan)")],
        "validated": [
            ("ann", "c1.mp3", 'He said "no".', "England English"),
            ("eve", "c3.mp3", "Well, well.", "India and South Asia (India, Pakistan)"),
            ("eve", "c4.mp3", "Room 24.", "India and South Asia (India, Pakistan)"),
            ("eve", "c5.mp3", "Gone for good.", "India and South Asia (India, Pakistan)"),
            ("tim", "c6.mp3", "One two three.", "India and South Asia (India, Pakistan)"),
        ],
    }
    for number in (1, 2, 3, 4, 6):
        make_audio(root / "clips" / f"c{number}.mp3", seconds=1.0, rate=32_000)
    for split, lines in rows.items():
        table = ["client_id\tpath\tsentence\tup_votes\taccents"]
        table += [f"{who}\t{path}\t{text}\t2\t{accent}" for who, path, text, accent in lines]
        (root / f"{split}.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return root


def test_commonvoice_official_split(tmp_path: Path, voices: Path) -> None:
    commonvoice.prepare(voices, tmp_path / "out")
    found = {split: read_manifest(tmp_path / "out" / f"{split}.jsonl") for split in ("train", "dev", "test")}
    assert {split: [(u.id, u.speaker, u.text, u.language) for u in rows] for split, rows in found.items()} == {
        "train": [("c1", "ann", "he said no", "en")],
        "dev": [("c2", "ben", "where is it", "en")],
        "test": [("c3", "eve", "well well", "en")],
    }


def test_commonvoice_of_one_accent(tmp_path: Path, voices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commonvoice.prepare(voices, tmp_path / "out", accent="south asia", language="en-IN")
    found = read_manifest(tmp_path / "out" / "all.jsonl")
    assert [(u.id, u.speaker, u.language) for u in found] == [("c3", "eve", "en-IN"), ("c6", "tim", "en-IN")]
    printed = capsys.readouterr().out
    assert "digits or symbols, whose reading is not known: c4" in printed
    assert "c5.mp3: there is no such audio file" in printed
    with pytest.raises(DataError, match="nobody has the accent 'Englnd English'. Did you mean 'England English'"):
        commonvoice.prepare(voices, tmp_path / "out", accent="Englnd English")


def test_commonvoice_of_an_older_release(tmp_path: Path, voices: Path) -> None:
    table = voices / "validated.tsv"
    table.write_text(table.read_text().replace("\taccents\n", "\taccent\n"))
    commonvoice.prepare(voices, tmp_path / "out", accent="England")
    assert [u.id for u in read_manifest(tmp_path / "out" / "all.jsonl")] == ["c1"]


def test_commonvoice_mistakes(tmp_path: Path, voices: Path) -> None:
    table = voices / "dev.tsv"
    whole = table.read_text()
    table.write_text(whole.replace("\t2\t", "\t"))
    with pytest.raises(DataError, match=r"dev\.tsv line 2: has 4 columns where the first line has 5"):
        commonvoice.prepare(voices, tmp_path / "out")
    table.write_text(whole.replace("client_id", "who"))
    with pytest.raises(DataError, match=r"dev\.tsv line 1: the column 'client_id' is missing"):
        commonvoice.prepare(voices, tmp_path / "out")
    table.unlink()
    with pytest.raises(DataError, match=r"dev\.tsv: there is no such table; give the folder of one language"):
        commonvoice.prepare(voices, tmp_path / "out")
