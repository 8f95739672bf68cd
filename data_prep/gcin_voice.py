"""Prepares gcin-voice: the syllables of Mandarin with their tones, spoken by a man and by a woman.

Layout: `ogg/SYLLABLE/3.ogg` is the man, `ogg/SYLLABLE/5.ogg` the woman. A syllable is spelled in bopomofo (Zhuyin) and
ends with 2, 3 or 4 for that tone, with 1 for the neutral tone, or without a digit for the first.

The recordings begin and end with the sound itself. What listens to them was trained on recordings with silence around
the speech, and misses sounds at the edges; the manifests are of copies with a faint noise before and behind.

The sounds lie in a Debian package (`asr-transfer fetch gcin-voice`). GPL-3 or LGPL-3 (the man, Edward Der-Hua Liu) and
CC BY 3.0 (the woman, Chu Lo).
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np

from asr_transfer import audio
from asr_transfer.errors import DataError
from data_prep import pinyin
from data_prep.by_text import Gathering
from data_prep.common import existing_folder, walk, write_audio
from data_prep.registry import Corpus, Packages, Use

SPEAKERS = {"3": "man", "5": "woman"}
"""Who speaks, by the file's name; the manifests call them `gcin-man` and `gcin-woman`."""

EDGE, BELOW = 0.28, 47.0
"""Seconds of noise, and how many dB it lies below the speech: what other recordings of Mandarin words have (HSK's)."""

_INITIALS = {
    **{"ㄅ": "b", "ㄆ": "p", "ㄇ": "m", "ㄈ": "f", "ㄉ": "d", "ㄊ": "t", "ㄋ": "n", "ㄌ": "l", "ㄍ": "g", "ㄎ": "k"},
    **{"ㄏ": "h", "ㄐ": "j", "ㄑ": "q", "ㄒ": "x", "ㄓ": "zh", "ㄔ": "ch", "ㄕ": "sh", "ㄖ": "r", "ㄗ": "z"},
    **{"ㄘ": "c", "ㄙ": "s"},
}
_FINALS = {
    **{"ㄚ": "a", "ㄛ": "o", "ㄜ": "e", "ㄞ": "ai", "ㄟ": "ei", "ㄠ": "ao", "ㄡ": "ou", "ㄢ": "an", "ㄣ": "en"},
    **{"ㄤ": "ang", "ㄥ": "eng", "ㄦ": "er", "ㄧ": "i", "ㄨ": "u", "ㄩ": "v", "ㄧㄝ": "ie", "ㄧㄣ": "in"},
    **{"ㄧㄥ": "ing", "ㄨㄣ": "uen", "ㄨㄥ": "ong", "ㄩㄝ": "ve", "ㄩㄣ": "vn", "ㄩㄥ": "iong"},
}
"""Finals as they sound; what is not here is a glide and a final (ㄨㄢ is u and an)."""

_WITH_VOWEL = frozenset("ㄓㄔㄕㄖㄗㄘㄙ")
"""Initials that are syllables by themselves (zhi, chi, …)."""

_ALONE = {"i": "yi", "in": "yin", "ing": "ying", "u": "wu", "v": "yu", "ong": "weng", "iong": "yong", "vn": "yun"}
_AFTER_INITIAL = {"iou": "iu", "uei": "ui", "uen": "un"}
_TONES = {"": "1", "1": "5", "2": "2", "3": "3", "4": "4"}
_NAME = re.compile(f"([{''.join(_INITIALS)}]?)([ㄧㄨㄩ]?[ㄚ-ㄦ]?)([1-4]?)")


def prepare(root: Path, out: Path) -> None:
    """Write `train.jsonl` (the man) and `test.jsonl` (the woman): the same syllables by two speakers.

    Texts are pinyin with tone ("zhong1"), pronunciations the initial and final ("zh ong1").

    Args:
        root: the folder of syllables, or a folder above it.
        out: folder for the manifests and for `audio/SPEAKER/SYLLABLE.flac`.

    Raises:
        ConfigError: pypinyin is not installed.
        DataError: there is no such folder, or it holds no syllable in bopomofo.
    """
    existing_folder(root, "gcin-voice's folders of syllables")
    files = [file for file in walk(root) if file.suffix == ".ogg" and file.stem in SPEAKERS]
    if not files:
        raise DataError(f"{root}: holds no SYLLABLE/3.ogg; get the sounds with `asr-transfer fetch gcin-voice`.")
    found = Gathering("cmn", {"test": 0}, prefix="gcin/", one_voice=False)
    for file in files:
        speaker, folder = SPEAKERS[file.stem], file.parent.name
        split, name = ("train" if speaker == "man" else "test"), f"{speaker}/{folder}"
        text = from_bopomofo(folder)
        if text is None:
            found.leave(name, "the name of its folder is no syllable", split=split)
            continue
        copy = out / "audio" / f"{name}.flac"
        try:
            write_audio(copy, surrounded(audio.read(file), zlib.crc32(name.encode())))
        except DataError as error:
            found.leave(name, str(error), text, split=split)
            continue
        found.take(name, copy, text, f"gcin-{speaker}", split=split, pronunciation=pinyin.split(text))
    found.write(out)


def surrounded(samples: np.ndarray, seed: int) -> np.ndarray:
    """Return samples with noise before and behind them, `BELOW` dB below their loudest hundredth of a second."""
    size = audio.SAMPLE_RATE // 100
    blocks = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    level = np.sqrt(np.square(blocks).mean(1).max(initial=0.0)) * 10 ** (-BELOW / 20)
    noise = level * np.random.default_rng(seed).standard_normal((2, round(EDGE * audio.SAMPLE_RATE)))
    return np.concatenate([noise[0], samples, noise[1]]).astype(np.float32)


def from_bopomofo(syllable: str) -> str | None:
    """Return a syllable of gcin's spelling in pinyin with its tone digit (5 is neutral), or None where it is none."""
    match = _NAME.fullmatch(syllable)
    if match is None:
        return None
    initial, final, tone = match[1], match[2], _TONES[match[3]]
    if not final:
        return f"{_INITIALS[initial]}i{tone}" if initial in _WITH_VOWEL else None
    if final not in _FINALS and (final[0] not in "ㄧㄨㄩ" or final[1:] not in _FINALS):
        return None
    spelled = _FINALS.get(final) or _FINALS[final[0]] + _FINALS[final[1:]]
    if initial:
        spelled = _AFTER_INITIAL.get(spelled, spelled)
        if spelled.startswith("v") and _INITIALS[initial] in ("j", "q", "x"):
            spelled = "u" + spelled[1:]
        return f"{_INITIALS[initial]}{spelled}{tone}"
    if spelled in _ALONE:
        return _ALONE[spelled] + tone
    glide = {"i": "y", "u": "w", "v": "yu"}.get(spelled[0]) if len(final) > 1 else None
    return f"{glide}{spelled[1:]}{tone}" if glide else spelled + tone


CORPUS = Corpus(
    "gcin",
    prepare,
    ("cmn",),
    splits=("train", "test"),
    packages={
        "gcin-voice": Packages(
            ("gcin-voice",),
            "the man's voice GPL-3 or LGPL-3 (2014, Edward Der-Hua Liu), the woman's CC BY 3.0 (ChionMeilin, Chu Lo)",
            {
                "gcin-voice_0~20170223-3": "6a0353f0294d06f7bd901bada3d5d9eec63b66c2ec029f92da3124d93d45de70",
            },
        )
    },
    use=Use("target", cost=4, optional=True),
)
