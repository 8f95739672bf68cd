"""Readings of hanzi and of toned syllables, held against pypinyin."""

from __future__ import annotations

import sys

import pytest

from asr_transfer.errors import ConfigError, DataError
from data_prep import pinyin

pypinyin = pytest.importorskip("pypinyin", reason="the extra `mandarin` is not installed")


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
