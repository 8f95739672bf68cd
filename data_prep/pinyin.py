"""Pronounces Mandarin: hanzi to pinyin, and pinyin syllables to an initial and a final with its tone.

Tones are the dictionary's: 一 is always yi1 and 不 bu4, and two third tones in a row stay what they are, although
speech changes them (tone sandhi). Readings come from the package pypinyin, whose phrases decide between the readings of
a character; where its phrases keep the full tone of a syllable that everybody speaks without one, this module's own
list of common words goes before (chosen by hand; most are those where CC-CEDICT has a neutral tone and pypinyin not).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from asr_transfer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NEUTRAL_LAST = (
    "东西 朋友 头发 地方 漂亮 丈夫 主意 事情 亲戚 休息 先生 关系 没关系 凉快 力气 力量 厉害 叔叔 哥哥 名字 "
    "味道 咳嗽 商量 喜欢 在乎 太太 太阳 奶奶 好处 妈妈 妹妹 姐姐 姑姑 姑娘 委屈 学生 小姐 师傅 应付 打听 打扮 "
    "打招呼 护士 抽屉 收拾 时候 明白 晚上 早上 月亮 模糊 活泼 消息 清楚 点心 热闹 爷爷 爸爸 玻璃 眉毛 眼睛 知识 "
    "称呼 窗户 笑话 答应 粮食 糊涂 老实 耳朵 耽误 聪明 胳膊 脑袋 脾气 舅舅 舒服 葡萄 衣服 要是 规矩 认识 讲究 "
    "谢谢 豆腐 起来 运气 还是 道理 部分 马虎 麻烦 右边 左边 干净 告诉 行李 客气 不客气 困难"
)
"""Words, between spaces, whose last syllable has no tone of its own."""

READINGS = {
    "一点儿": "yi1 dian3 er5",
    "一会儿": "yi1 hui4 er5",
    "干活儿": "gan4 huo2 er5",
    "大夫": "dai4 fu5",
    "舍不得": "she3 bu5 de5",
    "怪不得": "guai4 bu5 de5",
    "不得了": "bu4 de2 liao3",
    "对不起": "dui4 bu5 qi3",
    "了不起": "liao3 bu5 qi3",
    "看不起": "kan4 bu5 qi3",
    "来不及": "lai2 bu5 ji2",
    "忍不住": "ren3 bu5 zhu4",
    "说不定": "shuo1 bu5 ding4",
}
"""Words read otherwise than pypinyin says."""

ALONE = {"长": "chang2", "得": "de5", "地": "de5", "教": "jiao1", "脏": "zang1", "切": "qie1", "嗯": "en1"}
"""The reading of a character that is a word by itself, where pypinyin takes a rarer one. In a sentence pypinyin's own
reading stands: it reads the particles 得 and 地 with their full tones there."""

_CITATION = {"一": "yi1", "不": "bu4"}
_CHANGED = {"一": ("yi2", "yi4"), "不": ("bu2",)}


def pronunciation(hanzi: str) -> str:
    """Return the initials and finals of a word or sentence: 中国 is "zh ong1 g uo2".

    Args:
        hanzi: Chinese characters only.

    Raises:
        ConfigError: pypinyin is not installed.
        DataError: a character has no known reading.
    """
    return " ".join(split(syllable) for syllable in syllables(hanzi))


def syllables(hanzi: str) -> list[str]:
    """Return the pinyin of a word or sentence, a tone digit 1 to 5 behind each syllable; arguments as `pronunciation`.

    Raises:
        ConfigError: pypinyin is not installed.
        DataError: a character has no known reading.
    """
    if hanzi in ALONE:
        return [ALONE[hanzi]]
    read = _reader()(hanzi)
    if len(read) != len(hanzi) or not all(_is_syllable(syllable) for syllable in read):
        raise DataError(f"'{hanzi}' holds a character without a known reading; leave it out.")
    return [
        _CITATION[sign] if syllable in _CHANGED.get(sign, ()) else syllable
        for sign, syllable in zip(hanzi, read, strict=True)
    ]


def split(syllable: str) -> str:
    """Return a syllable as initial and final with its tone: "zhong1" is "zh ong1", "er2" stays "er2".

    Finals are named as they sound, after pypinyin's strict style: "yu3" is "v3" (ü), "liu2" is "l iou2".

    Raises:
        ConfigError: pypinyin is not installed.
        DataError: it is no syllable with a tone digit from 1 to 5.
    """
    initials, finals = _parts()
    plain, tone = syllable[:-1], syllable[-1:]
    final = finals(plain) if _is_syllable(syllable) else ""
    if not final:
        raise DataError(f"'{syllable}' is no pinyin syllable with a tone digit from 1 to 5, such as 'zhong1'.")
    return f"{initials(plain)} {final}{tone}".strip()


def letters(said: Iterable[str]) -> str:
    """Return syllables in letters without tones: what speaking rates of alphabetic scripts compare with."""
    return "".join(syllable[:-1] for syllable in said)


def _is_syllable(text: str) -> bool:
    return text[:-1].isalpha() and text[:-1].islower() and text[:-1].isascii() and text[-1:] in tuple("12345")


@functools.cache
def _parts() -> tuple[Callable[[str], str], Callable[[str], str]]:
    """Return pypinyin's functions from a syllable without tone to its initial and its final."""
    try:
        from pypinyin.contrib.tone_convert import to_finals, to_initials
    except ImportError:
        raise _missing() from None
    return (lambda plain: to_initials(plain, strict=True)), (lambda plain: to_finals(plain, strict=True))


@functools.cache
def _reader() -> Callable[[str], list[str]]:
    """Return pypinyin's reader; it is told this module's readings first."""
    try:
        import pypinyin
        from pypinyin.contrib.tone_convert import to_tone
    except ImportError:
        raise _missing() from None

    def read(hanzi: str) -> list[str]:
        return pypinyin.lazy_pinyin(hanzi, style=pypinyin.Style.TONE3, neutral_tone_with_five=True)

    neutral = {word: [*(known := read(word))[:-1], known[-1][:-1] + "5"] for word in NEUTRAL_LAST.split()}
    known_words = neutral | {word: reading.split() for word, reading in READINGS.items()}
    pypinyin.load_phrases_dict({word: [[to_tone(s)] for s in reading] for word, reading in known_words.items()})
    return read


def _missing() -> ConfigError:
    return ConfigError("`pypinyin` is not installed; install it with: pip install asr-transfer[mandarin]")
