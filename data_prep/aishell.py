"""Prepares AISHELL-1: Mandarin read speech of 400 speakers, 178 hours, official splits by speaker; and its sample.

Layout: `data_aishell/wav/{train,dev,test}/SPEAKER/ID.wav` (the archives in `wav` unpacked) and
`data_aishell/transcript/aishell_transcript_v0.8.txt` with lines `ID WORD WORD …`. The sample that is given away with
the corpus has a speaker's folder with `ID.txt` beside every recording.

Bu et al., "AISHELL-1: An open-source Mandarin speech corpus and a speech recognition baseline", O-COCOSDA 2017.
https://www.openslr.org/33 (Apache-2.0)
"""

from __future__ import annotations

from pathlib import Path

from asr_transfer import recording_file
from asr_transfer.errors import DataError
from data_prep import pinyin
from data_prep.by_text import Gathering, plain_text
from data_prep.common import existing_folder, read_lines, walk
from data_prep.registry import Corpus, Use

SPLITS = ("train", "dev", "test")
TRANSCRIPT = "transcript/aishell_transcript_v0.8.txt"

SAMPLE_SHARES = {"test": 30, "dev": 10}
"""Percent of the sample's texts by split; the rest is `train`."""


def prepare(root: Path, out: Path) -> None:
    """Write manifests of AISHELL-1 in its official splits, or of its sample in splits by text.

    Texts are hanzi without spaces, pronunciations initials and finals. Texts with Latin letters are left out: they
    stand for names of letters or for English words.

    Args:
        root: `data_aishell` or the folder above it, or the sample's speaker folder or the folder above it.
        out: folder for the manifests.

    Raises:
        ConfigError: pypinyin is not installed.
        DataError: there is no such folder, or it has neither layout.
    """
    existing_folder(root, "`data_aishell` or the sample of AISHELL-1")
    for folder in (root, root / "data_aishell"):
        if (folder / TRANSCRIPT).is_file():
            _corpus(folder).write(out)
            return
    _sample(root).write(out)


def _corpus(folder: Path) -> Gathering:
    texts = _transcripts(folder / TRANSCRIPT)
    found = Gathering("cmn", dict.fromkeys(SPLITS[1:], 0), one_voice=False)
    for split in SPLITS:
        files = sorted(file for file in (folder / "wav" / split).glob("*/*") if recording_file.readable(file.suffix))
        if not files:
            raise DataError(
                f"{folder / 'wav' / split}: holds no recording SPEAKER/ID.wav; unpack the archives that lie in `wav`."
            )
        for file in files:
            if file.stem in texts:
                _take(found, file, texts[file.stem], split)
            else:
                found.leave(file.stem, "it has no transcript", split=split)
    return found


def _transcripts(file: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        name, _, text = line.strip().partition(" ")
        if not text.strip():
            raise DataError(f"{file} line {number}: holds no transcript behind the id; copy the file again.")
        texts[name] = text
    return texts


def _sample(root: Path) -> Gathering:
    found = Gathering("cmn", SAMPLE_SHARES)
    files = [file for file in walk(root) if recording_file.readable(file.suffix) and file.with_suffix(".txt").is_file()]
    if not files:
        raise DataError(
            f"{root}: holds neither `{TRANSCRIPT}` of AISHELL-1 nor recordings with a .txt beside each; "
            "give `data_aishell` or the sample."
        )
    for file in files:
        _take(found, file, " ".join(read_lines(file.with_suffix(".txt"))), None)
    return found


def _take(found: Gathering, file: Path, written: str, split: str | None) -> None:
    text, defect = plain_text(written, "CJK")
    words = text.split()
    text = "".join(words)
    if defect is not None:
        found.leave(file.stem, defect, text, split)
        return
    try:
        # Word by word, where the corpus says what the words are: it decides between the readings of a character.
        said = [syllable for word in words for syllable in pinyin.syllables(word)]
    except DataError as error:
        found.leave(file.stem, str(error), text, split)
        return
    phones = " ".join(map(pinyin.split, said))
    found.take(file.stem, file, text, file.parent.name, split=split, pronunciation=phones, letters=pinyin.letters(said))


CORPUS = Corpus(
    "aishell",
    prepare,
    ("cmn",),
    page="AISHELL-1 or its sample (https://www.openslr.org/33)",
    licence="Apache 2.0 (AISHELL-1, Bu et al. 2017)",
    folder="aishell-sample",
    use=Use("target", test_set="sentences"),
)
