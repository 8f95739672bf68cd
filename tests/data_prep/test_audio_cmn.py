"""Mandarin words, made-up and real: readings, splits, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import audio_cmn
from data_prep.by_text import split_of
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


WORDS = ["中国", "银行", "一", "天", "一样", "三", "丈夫", "一辈子"]


@pytest.fixture
def words(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "audio-cmn"
    for word in [*WORDS, "ABC"]:
        make_audio(root / f"hsk/cmn-{word}.wav")
    for syllable in ("zhong1", "er2", "lv4", "_hm1"):
        make_audio(root / f"syllabs/cmn-{syllable}.ogg")
    (root / "lists").mkdir()
    (root / "lists/HSK2012_1.txt").write_text("HSK1\n中国\n一\n", encoding="utf-8")
    (root / "lists/HSK2012_3.txt").write_text("HSK3\n银行\n一\n办法\n", encoding="utf-8")
    return root


def test_audio_cmn(tmp_path: Path, words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audio_cmn.prepare(words, tmp_path / "out")
    splits = {s: read_manifest(tmp_path / "out" / f"{s}.jsonl") for s in ("train", "dev", "test", "syllables")}
    hsk = {u.text: (u, split) for split in ("train", "dev", "test") for u in splits[split]}
    assert set(hsk) == set(WORDS)
    assert all(split == split_of(text, {"test": 15, "dev": 5}) for text, (_, split) in hsk.items())
    assert (hsk["中国"][0].id, hsk["中国"][0].pronunciation, hsk["中国"][0].speaker, hsk["中国"][0].language) == (
        "hsk1/中国", "zh ong1 g uo2", "yue-tan", "cmn",
    )  # fmt: skip
    assert (hsk["银行"][0].id, hsk["一"][0].id, hsk["天"][0].id) == ("hsk3/银行", "hsk1/一", "hsk/天")
    assert [(u.text, u.pronunciation, u.speaker) for u in splits["syllables"]] == [
        ("er2", "er2", "chen-wang"), ("lv4", "l v4", "chen-wang"), ("zhong1", "zh ong1", "chen-wang"),
    ]  # fmt: skip
    lexicon = (tmp_path / "out/hsk_lexicon.txt").read_text(encoding="utf-8")
    assert lexicon == "中国\tzh ong1 g uo2\n一\ti1\n银行\tin2 h ang2\n办法\tb an4 f a3\n", "recorded or not, each once"
    printed = capsys.readouterr().out
    assert "the text holds letters of another script: hsk/ABC" in printed
    assert "the name is no syllable with a tone from 1 to 5: _hm1" in printed


def test_audio_cmn_wrong_folder(tmp_path: Path, words: Path) -> None:
    for file in (words / "syllabs").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"syllabs: holds no recording named cmn-NAME"):
        audio_cmn.prepare(words, tmp_path / "out")
    for file in (words / "lists").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"lists: holds no list HSK2012_L.txt of words"):
        audio_cmn.prepare(words, tmp_path / "out")


def test_real_words(corpus: Callable[[str], Path], tmp_path: Path) -> None:
    audio_cmn.prepare(corpus("audio-cmn"), tmp_path)
    splits = {s: read_manifest(tmp_path / f"{s}.jsonl") for s in ("train", "dev", "test", "syllables")}
    assert {s: len(utterances) for s, utterances in splits.items()} == {
        "train": 1844, "dev": 119, "test": 343, "syllables": 1668,
    }  # fmt: skip
    assert all(u.pronunciation for utterances in splits.values() for u in utterances)
    assert len((tmp_path / "hsk_lexicon.txt").read_text(encoding="utf-8").splitlines()) == 4995
