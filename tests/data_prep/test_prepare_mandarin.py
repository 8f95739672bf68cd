"""Mandarin: readings of hanzi, and the corpora of words, sentences and syllables on made-up trees and real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import ConfigError, DataError
from data_prep import aishell, audio_cmn, gcin_voice, pinyin
from data_prep.by_text import split_of
from data_prep.fetch import data_folder
from tests.recorded import MakeAudio, distinct

pypinyin = pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.mark.parametrize(
    ("hanzi", "phones"),
    [
        ("中国", "zh ong1 g uo2"),
        ("银行", "in2 h ang2"),
        ("行", "x ing2"),
        ("女儿", "n v3 er2"),
        ("一", "i1"),
        ("一定", "i1 d ing4"),
        ("语言", "v3 ian2"),
        ("六月", "l iou4 ve4"),
        ("朋友", "p eng2 iou5"),
        ("我们都很漂亮", "uo3 m en5 d ou1 h en3 p iao4 l iang5"),
        ("不客气", "b u4 k e4 q i5"),
        ("校长", "x iao4 zh ang3"),
        ("长", "ch ang2"),
        ("教", "j iao1"),
        ("教室", "j iao4 sh i4"),
        ("得到", "d e2 d ao4"),
        ("地方", "d i4 f ang5"),
    ],
)
def test_pronunciations(hanzi: str, phones: str) -> None:
    assert pinyin.pronunciation(hanzi) == phones


def test_syllables_are_split_as_pypinyin_splits_characters() -> None:
    options = {"neutral_tone_with_five": True, "strict": True}
    checked = 0
    for code in range(0x4E00, 0x5200):
        sign = chr(code)
        whole = pypinyin.lazy_pinyin(sign, style=pypinyin.Style.TONE3, neutral_tone_with_five=True)[0]
        initial = pypinyin.lazy_pinyin(sign, style=pypinyin.Style.INITIALS, **options)[0]
        final = pypinyin.lazy_pinyin(sign, style=pypinyin.Style.FINALS_TONE3, **options)[0]
        if whole == sign or not final.rstrip("12345"):
            continue
        assert pinyin.split(whole) == f"{initial} {final}".strip(), sign
        checked += 1
    assert checked > 900


@pytest.mark.parametrize("wrong", ["zhong", "zhong6", "Zhong1", "1", "", "zh ong1", "hm1"])
def test_what_is_no_syllable_is_refused(wrong: str) -> None:
    with pytest.raises(DataError, match=rf"'{wrong}' is no pinyin syllable with a tone digit from 1 to 5"):
        pinyin.split(wrong)


def test_what_has_no_reading_is_refused() -> None:
    with pytest.raises(DataError, match="'中A' holds a character without a known reading"):
        pinyin.pronunciation("中A")


def test_without_pypinyin_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    monkeypatch.setitem(sys.modules, "pypinyin.contrib.tone_convert", None)
    pinyin._reader.cache_clear()
    pinyin._parts.cache_clear()
    for ask in (lambda: pinyin.pronunciation("中国"), lambda: pinyin.split("zhong1")):
        with pytest.raises(ConfigError, match=r"`pypinyin` is not installed; install it with: pip .*\[mandarin\]"):
            ask()


def test_bopomofo_is_what_pypinyin_makes_of_the_pinyin() -> None:
    from pypinyin.contrib.tone_convert import to_tone
    from pypinyin.style import convert

    marks = {"ˊ": "2", "ˇ": "3", "ˋ": "4", "": ""}
    syllables = (
        "ba bo zhi ri ci yi ya ye yao you yan yin yang ying wu wa wo wai wei wan wen wang weng yu yue yuan yun yong"
    )
    syllables += " e er ei ang jiu gui lun dong ju que xun qiong lv nve nu liang guang juan lia xia ao chuang se te"
    for plain in syllables.split():
        for tone in "1234":
            spelled = convert(to_tone(plain + tone), pypinyin.Style.BOPOMOFO, strict=True)
            own = spelled.rstrip("ˊˇˋ") + marks[spelled[len(spelled.rstrip("ˊˇˋ")) :]]
            assert gcin_voice.from_bopomofo(own) == plain + tone
    assert gcin_voice.from_bopomofo("ㄉㄜ1") == "de5", "gcin writes the neutral tone with a 1"
    assert [gcin_voice.from_bopomofo(name) for name in ("ㄅ", "ㄇ1", "ㄝ4", "a", "ㄅㄚ5", "")] == [None] * 6


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


@pytest.fixture
def corpus_tree(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "data_aishell"
    for name in ("train/S0002/A1", "train/S0002/A2", "train/S0002/A3", "dev/S0724/B1", "test/S0764/C1"):
        make_audio(root / f"wav/{name}.wav", seconds=1.5)
    (root / "transcript").mkdir()
    (root / aishell.TRANSCRIPT).write_text(
        "A1 而 对 楼市\nA2 用 ａｐｐ 看\nB1 中国 银行\nC1 中国 银行\nZ9 多余\n", encoding="utf-8"
    )
    return root


def test_aishell_keeps_its_official_splits(
    tmp_path: Path, corpus_tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aishell.prepare(tmp_path, tmp_path / "out")
    found = {s: read_manifest(tmp_path / "out" / f"{s}.jsonl") for s in ("train", "dev", "test")}
    assert {s: [(u.id, u.text, u.speaker, u.pronunciation) for u in utterances] for s, utterances in found.items()} == {
        "train": [("A1", "而对楼市", "S0002", "er2 d uei4 l ou2 sh i4")],
        "dev": [("B1", "中国银行", "S0724", "zh ong1 g uo2 in2 h ang2")],
        "test": [("C1", "中国银行", "S0764", "zh ong1 g uo2 in2 h ang2")],
    }
    printed = capsys.readouterr().out
    assert "the text holds letters of another script: A2" in printed and "it has no transcript: A3" in printed


def test_aishell_says_what_is_missing(tmp_path: Path, corpus_tree: Path) -> None:
    (corpus_tree / "wav/dev/S0724/B1.wav").unlink()
    with pytest.raises(DataError, match=r"dev: holds no recording SPEAKER/ID.wav; unpack the archives that lie in"):
        aishell.prepare(corpus_tree, tmp_path / "out")
    (corpus_tree / aishell.TRANSCRIPT).write_text("A1 而\nA2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"v0\.8\.txt line 2: holds no transcript behind the id"):
        aishell.prepare(corpus_tree, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds neither .* nor recordings with a .txt beside each"):
        aishell.prepare(tmp_path / "empty", tmp_path / "out")


def test_real_words(corpus: Callable[[str], Path], tmp_path: Path) -> None:
    audio_cmn.prepare(corpus("audio-cmn"), tmp_path)
    splits = {s: read_manifest(tmp_path / f"{s}.jsonl") for s in ("train", "dev", "test", "syllables")}
    assert {s: len(utterances) for s, utterances in splits.items()} == {
        "train": 1844, "dev": 119, "test": 343, "syllables": 1668,
    }  # fmt: skip
    assert all(u.pronunciation for utterances in splits.values() for u in utterances)
    assert len((tmp_path / "hsk_lexicon.txt").read_text(encoding="utf-8").splitlines()) == 4995


def test_real_sentences(corpus: Callable[[str], Path], tmp_path: Path) -> None:
    aishell.prepare(corpus("aishell-sample"), tmp_path)
    splits = [read_manifest(tmp_path / f"{split}.jsonl") for split in ("train", "dev", "test")]
    assert [len(split) for split in splits] == [204, 42, 107]
    texts = [{u.text for u in split} for split in splits]
    assert not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])
    assert {u.speaker for split in splits for u in split} == {"S0150"}


def test_gcin_voice(tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ㄓㄨㄥ/3", "ㄓㄨㄥ/5", "ㄦ2/3", "ㄌㄜ1/3", "ㄅ/3"):
        make_audio(tmp_path / f"usr/ogg/{name}.ogg")
    gcin_voice.prepare(tmp_path, tmp_path / "out")
    found = {split: read_manifest(tmp_path / "out" / f"{split}.jsonl") for split in ("train", "test")}
    assert sorted(map(_said, found["train"])) == [
        ("gcin-man", "er2", "er2"), ("gcin-man", "le5", "l e5"), ("gcin-man", "zhong1", "zh ong1"),
    ]  # fmt: skip
    assert [_said(u) for u in found["test"]] == [("gcin-woman", "zhong1", "zh ong1")]
    (said,) = found["test"]
    heard, whole = audio.read(tmp_path / "usr/ogg/ㄓㄨㄥ/5.ogg"), audio.read(said.audio)
    edge = round(gcin_voice.EDGE * audio.SAMPLE_RATE)
    assert len(whole) == len(heard) + 2 * edge and said.duration == pytest.approx(len(whole) / audio.SAMPLE_RATE)
    np.testing.assert_allclose(whole[edge:-edge], heard, atol=1e-4)
    loudest = max(np.sqrt(np.square(heard[n : n + 160]).mean()) for n in range(0, len(heard), 160))
    for part in (whole[:edge], whole[-edge:]):
        assert 20 * np.log10(loudest / np.sqrt(np.square(part).mean())) == pytest.approx(gcin_voice.BELOW, abs=2)
    assert "the name of its folder is no syllable: gcin/man/ㄅ" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"get the sounds with `asr-transfer fetch gcin-voice`"):
        gcin_voice.prepare(tmp_path / "out", tmp_path / "again")


def _said(utterance: Utterance) -> tuple[str, str, str]:
    return utterance.speaker, utterance.text, utterance.pronunciation or ""


def test_real_gcin_voice(tmp_path: Path) -> None:
    root = data_folder() / "gcin-voice"
    if not root.is_dir():
        pytest.skip("the syllables are absent: fetch them with `asr-transfer fetch gcin-voice`")
    gcin_voice.prepare(root, tmp_path)
    assert [len(read_manifest(tmp_path / f"{split}.jsonl")) for split in ("train", "test")] == [1183, 1158]
