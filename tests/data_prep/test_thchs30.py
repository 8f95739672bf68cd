"""THCHS-30, which a user brings along: a made-up tree of its documented layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import thchs30
from tests.prepared import rows_of, write
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.fixture
def newspaper(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "data_thchs30"
    texts = {
        "A2_0": ("绿 是 阳春", "lv4 shi4 yang2 chun1", "l v4 sh ix4 ii iang2 ch un1"),
        "A2_1": ("绿 是 阳春", "lv shi4", "l v4"),
        "C4_5": ("中国", "zhong1 guo2", "zh ong1 g uo2"),
        "D7_9": ("中国", "zhong1 guo2", "zh ong1 g uo2"),
    }
    for name, lines in texts.items():
        make_audio(root / f"data/{name}.wav", seconds=1.5)
        write(root / f"data/{name}.wav.trn", *lines)
        split = {"A": "train", "C": "dev", "D": "test"}[name[0]]
        (root / split).mkdir(exist_ok=True)
        (root / split / f"{name}.wav").symlink_to(f"../data/{name}.wav")
        write(root / split / f"{name}.wav.trn", f"../data/{name}.wav.trn")
    return root


def test_thchs30(tmp_path: Path, newspaper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")
    thchs30.prepare(tmp_path, tmp_path / "out")
    assert rows_of(tmp_path / "out") == {
        "train": [("thchs30/A2_0", "thchs30-A2", "绿是阳春", "cmn")],
        "dev": [("thchs30/C4_5", "thchs30-C4", "中国", "cmn")],
        "test": [("thchs30/D7_9", "thchs30-D7", "中国", "cmn")],
    }
    (first,) = read_manifest(tmp_path / "out/train.jsonl")
    assert first.pronunciation == "l v4 sh i4 iang2 ch uen1", "finals as in the other Mandarin corpora"
    assert Path(first.audio) == newspaper / "data/A2_0.wav"
    printed = capsys.readouterr().out
    assert "'lv' is no pinyin syllable" in printed and "dev: " in printed
    write(newspaper / "data/C4_5.wav.trn", "中国")
    with pytest.raises(DataError, match=r"C4_5.wav.trn: must hold words and pinyin in two lines"):
        thchs30.prepare(newspaper, tmp_path / "out")
    for link in (newspaper / "dev").iterdir():
        link.unlink()
    with pytest.raises(DataError, match=r"dev: holds no link ID.wav"):
        thchs30.prepare(newspaper, tmp_path / "out")
