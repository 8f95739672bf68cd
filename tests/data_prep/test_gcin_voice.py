"""Mandarin syllables of two speakers: bopomofo, a made-up tree and the real package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import DataError
from data_prep import gcin_voice
from data_prep.fetch import data_folder
from tests.recorded import MakeAudio, distinct

pypinyin = pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


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
