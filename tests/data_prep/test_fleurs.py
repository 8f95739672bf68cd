"""FLEURS, which a user brings along: a made-up tree of its documented layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import fleurs
from tests.prepared import SPLITS, rows_of, write
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


def make_fleurs(root: Path, make_audio: MakeAudio, texts: tuple[str, str, str]) -> Path:
    for number, (split, text) in enumerate(zip(SPLITS, texts, strict=True)):
        row = [str(number), f"{number}{number}.wav", text.upper(), text, "| ".join(text), "32000", "FEMALE"]
        write(root / f"{split}.tsv", "\t".join(row), "\t".join([str(number), "9.wav", "7", "7", "7", "1", "MALE"]))
        make_audio(root / "audio" / split / f"{number}{number}.wav", seconds=2.0)
    return root


def test_fleurs(tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_fleurs(tmp_path / "pl_pl", make_audio, ("żółw idzie", "kot śpi teraz", "pies je"))
    fleurs.prepare(root, tmp_path / "out")
    assert rows_of(tmp_path / "out") == {
        "train": [("fleurs-pl/00", "fleurs-pl-female", "żółw idzie", "pl")],
        "dev": [("fleurs-pl/11", "fleurs-pl-female", "kot śpi teraz", "pl")],
        "test": [("fleurs-pl/22", "fleurs-pl-female", "pies je", "pl")],
    }
    assert "the text holds digits or symbols, whose reading is not known: fleurs-pl/9" in capsys.readouterr().out
    write(root / "dev.tsv", "1\t11.wav\tkot")
    with pytest.raises(DataError, match=r"dev.tsv line 1: has 3 columns where FLEURS has 7; mend the row"):
        fleurs.prepare(root, tmp_path / "out")
    (root / "dev.tsv").unlink()
    with pytest.raises(DataError, match=r"dev.tsv: there is no such table; give the folder of one language"):
        fleurs.prepare(root, tmp_path / "out")


def test_fleurs_in_mandarin_has_pronunciations(tmp_path: Path, make_audio: MakeAudio) -> None:
    pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")
    root = make_fleurs(tmp_path / "cmn_hans_cn", make_audio, ("中 国 银 行", "语 言", "朋 友"))
    fleurs.prepare(root, tmp_path / "out")
    (first,) = read_manifest(tmp_path / "out/train.jsonl")
    assert (first.text, first.pronunciation, first.language) == ("中国银行", "zh ong1 g uo2 in2 h ang2", "cmn")
