"""L2-ARCTIC, which a user brings along: a small made-up tree of its documented layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError, DataError
from data_prep import l2arctic
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.fixture
def arctic(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "l2arctic"
    for speaker in ("ABA", "HJK"):
        for number, text in (("a0001", "Author of the danger trail, Philip Steels, etc."), ("a0002", "Not at this.")):
            make_audio(root / speaker / "wav" / f"arctic_{number}.wav", seconds=2.5, rate=44_100)
            transcript = root / speaker / "transcript" / f"arctic_{number}.txt"
            transcript.parent.mkdir(exist_ok=True)
            transcript.write_text(text + "\n")
    make_audio(root / "HJK/wav/arctic_b0001.wav")
    (root / "suitcase_corpus").mkdir()
    (root / "README.md").write_text("read me")
    return root


def test_l2arctic(tmp_path: Path, arctic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    l2arctic.prepare(arctic, tmp_path / "out")
    found = read_manifest(tmp_path / "out" / "all.jsonl")
    assert [(u.id, u.speaker, u.text) for u in found[:3]] == [
        ("ABA-arctic_a0001", "ABA", "author of the danger trail philip steels etc"),
        ("ABA-arctic_a0002", "ABA", "not at this"),
        ("HJK-arctic_a0001", "HJK", "author of the danger trail philip steels etc"),
    ]
    assert len(found) == 4
    assert "no transcript belongs to it: HJK-arctic_b0001" in capsys.readouterr().out


def test_l2arctic_of_one_first_language(tmp_path: Path, arctic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", "l2arctic", "--root", str(arctic), "--out", str(tmp_path / "out"), "--first_language"]
    assert main([*command, "korean"]) == 0
    assert {u.speaker for u in read_manifest(tmp_path / "out" / "all.jsonl")} == {"HJK"}
    assert main([*command, "hindi"]) == 1
    assert "holds no speaker of hindi (ASI, RRBI, SVBI, TNI) with the folders" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="first language 'Koraen' is not known. Did you mean 'korean'"):
        l2arctic.prepare(arctic, tmp_path / "out", first_language="Koraen")
    assert sorted(len(speakers) for speakers in l2arctic.FIRST_LANGUAGES.values()) == [4] * 6


def test_l2arctic_wrong_folder(tmp_path: Path, arctic: Path) -> None:
    with pytest.raises(DataError, match="holds no speaker with the folders `wav` and `transcript`"):
        l2arctic.prepare(arctic / "ABA", tmp_path / "out")
