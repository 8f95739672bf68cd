"""Prepares audio-cmn: isolated Mandarin words of the HSK examination by one woman, all syllables with tones by another.

Layout: `hsk/cmn-WORD.mp3` (hanzi), `syllabs/cmn-PINYINn.mp3` with the tone n from 1 to 5, `lists/HSK2012_L.txt` with
the words of level L, one a line below a heading. The suffix may be another one.

https://github.com/hugolpz/audio-cmn (CC BY-SA; the words by Yue Tan, the syllables by Chen Wang)
"""

from __future__ import annotations

import re
from pathlib import Path

from asr_transfer import recording_file
from asr_transfer.errors import DataError
from asr_transfer.textfiles import write_text
from data_prep import pinyin
from data_prep.by_text import Gathering, plain_text
from data_prep.common import existing_folder, read_lines
from data_prep.registry import Corpus, Use

WORDS, SYLLABLES = "yue-tan", "chen-wang"
"""The two speakers."""

SHARES = {"test": 15, "dev": 5}
"""Percent of the words by split; the rest is `train`, and all syllables are a split of their own."""

LEXICON = "hsk_lexicon.txt"

_SYLLABLE = re.compile(r"[a-z]+[1-5]")
_LEVEL = re.compile(r"HSK2012_([1-6])\.txt")


def prepare(root: Path, out: Path) -> None:
    """Write manifests of audio-cmn: words as `train`, `dev` and `test`, all syllables as `syllables`, and a lexicon.

    Texts are hanzi, of syllables their pinyin with tone ("zhong1"); pronunciations are initials and finals. Words' ids
    begin with their level ("hsk3/语言"). The lexicon `hsk_lexicon.txt` has every word of all lists, recorded or not, as
    `word<TAB>phones`.

    Args:
        root: the folder that holds `hsk`, `syllabs` and `lists`.
        out: folder for the manifests and the lexicon.

    Raises:
        ConfigError: pypinyin is not installed.
        DataError: there is no such folder, or it holds no recordings of words and syllables.
    """
    existing_folder(root, "audio-cmn's `hsk`, `syllabs` and `lists`")
    levels = _levels(root / "lists")
    found = Gathering("cmn", SHARES)
    for file in _recordings(root / "hsk"):
        _take_word(found, file, levels)
    for file in _recordings(root / "syllabs"):
        _take_syllable(found, file)
    found.write(out)
    lines, unread = [], []
    for word in levels:
        try:
            lines.append(f"{word}\t{pinyin.pronunciation(word)}\n")
        except DataError:
            unread.append(word)
    write_text(out / LEXICON, "".join(lines))
    print(f"{out / LEXICON}: {len(lines)} words{', without ' if unread else ''}{', '.join(unread)}")


def _levels(folder: Path) -> dict[str, str]:
    """Return the lowest level of every listed word."""
    levels: dict[str, str] = {}
    for file in sorted(existing_folder(folder, "audio-cmn's `HSK2012_1.txt` to `HSK2012_6.txt`").iterdir()):
        if match := _LEVEL.fullmatch(file.name):
            for line in read_lines(file)[1:]:
                if word := line.strip():
                    levels.setdefault(word, match[1])
    if not levels:
        raise DataError(f"{folder}: holds no list HSK2012_L.txt of words; get audio-cmn's `lists`.")
    return levels


def _recordings(folder: Path) -> list[Path]:
    existing_folder(folder, "audio-cmn's recordings, `cmn-NAME`")
    files = [file for file in folder.iterdir() if file.name.startswith("cmn-") and recording_file.readable(file.suffix)]
    if not files:
        raise DataError(f"{folder}: holds no recording named cmn-NAME; get audio-cmn's `{folder.name}`.")
    return sorted(files)


def _take_word(found: Gathering, file: Path, levels: dict[str, str]) -> None:
    word = file.stem.removeprefix("cmn-")
    text, defect = plain_text(word, "CJK")
    name = f"hsk{levels.get(word, '')}/{word}"
    if defect is not None:
        found.leave(name, defect, text)
        return
    try:
        said = pinyin.syllables(text)
    except DataError as error:
        found.leave(name, str(error), text)
        return
    phones = " ".join(map(pinyin.split, said))
    found.take(name, file, text, WORDS, pronunciation=phones, letters=pinyin.letters(said))


def _take_syllable(found: Gathering, file: Path) -> None:
    text = file.stem.removeprefix("cmn-")
    if not _SYLLABLE.fullmatch(text):
        found.leave(text, "the name is no syllable with a tone from 1 to 5", split="syllables")
        return
    found.take(text, file, text, SYLLABLES, split="syllables", pronunciation=pinyin.split(text))


CORPUS = Corpus(
    "hsk",
    prepare,
    ("cmn",),
    splits=("train", "dev", "test", "syllables"),
    page="https://github.com/hugolpz/audio-cmn",
    licence="CC BY-SA (audio-cmn)",
    folder="audio-cmn",
    holds="hsk",
    use=Use("target", cost=5, test_set="words"),
)
