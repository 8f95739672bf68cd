"""Prepares THCHS-30: Mandarin newspaper sentences, 33 hours of about 50 speakers, with pinyin and official splits.

Layout: `data_thchs30/data/ID.wav` and `ID.wav.trn`, whose three lines are the words in hanzi, the syllables in pinyin
with a tone digit, and initials and finals; `data_thchs30/{train,dev,test}/ID.wav` are links that say the split. ID is
`SPEAKER_NUMBER`. A `.wav.trn` beside such a link holds the path of the text in `data`.

Wang and Zhang, "THCHS-30: a free Chinese speech corpus", arXiv 1512.01882, 2015.
https://www.openslr.org/18 (Apache-2.0)
"""

from __future__ import annotations

from pathlib import Path

from asr_transfer.errors import DataError
from data_prep import pinyin
from data_prep.by_text import Gathering, plain_text, recording
from data_prep.common import existing_folder, read_lines
from data_prep.registry import Corpus

SPLITS = ("train", "dev", "test")


def prepare(root: Path, out: Path) -> None:
    """Write manifests of THCHS-30 in its official splits.

    Texts are hanzi without spaces; pronunciations are the corpus's own pinyin as initials and finals, named as in the
    other Mandarin corpora. Most sentences of a split are read by several speakers.

    Args:
        root: `data_thchs30`, or the folder above it.
        out: folder for the manifests.

    Raises:
        ConfigError: pypinyin is not installed.
        DataError: there is no such folder, or a split or its transcripts are missing.
    """
    existing_folder(root, "`data_thchs30`")
    folder = root / "data_thchs30" if (root / "data_thchs30").is_dir() else root
    data = existing_folder(folder / "data", "THCHS-30's recordings and their `.wav.trn`")
    found = Gathering("cmn", dict.fromkeys(SPLITS[1:], 0), prefix="thchs30/", one_voice=False)
    for split in SPLITS:
        # Links are lost where an archive is unpacked on Windows, their names are not.
        names = sorted(entry.name.removesuffix(".wav") for entry in (folder / split).glob("*.wav"))
        if not names:
            raise DataError(f"{folder / split}: holds no link ID.wav; unpack `data_thchs30` again.")
        for name in names:
            _take(found, data, name, split)
    found.write(out)


def _take(found: Gathering, data: Path, name: str, split: str) -> None:
    file, texts = recording(data, name), data / f"{name}.wav.trn"
    if file is None or not texts.is_file():
        found.leave(name, "no recording belongs to it" if file is None else "it has no transcript", split=split)
        return
    lines = read_lines(texts)
    if len(lines) < 2:
        raise DataError(f"{texts}: must hold words and pinyin in two lines; copy the file again.")
    text, defect = plain_text(lines[0], "CJK")
    if defect is not None:
        found.leave(name, defect, split=split)
        return
    said = lines[1].split()
    try:
        phones = " ".join(map(pinyin.split, said))
    except DataError as error:
        found.leave(name, str(error), split=split)
        return
    speaker, letters = f"thchs30-{name.partition('_')[0]}", pinyin.letters(said)
    text = text.replace(" ", "")
    found.take(name, file, text, speaker, split=split, pronunciation=phones, letters=letters)


CORPUS = Corpus("thchs30", prepare, ("cmn",), page="THCHS-30 (https://www.openslr.org/18)")
