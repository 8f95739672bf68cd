"""Prepares LibriSpeech: audiobooks read in English, about a thousand hours, in official subsets of disjoint speakers.

Layout: `LibriSpeech/SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` with lines `ID TEXT`, where ID is
`SPEAKER-CHAPTER-NUMBER`, and `ID.flac` beside it. Subsets are `train-clean-100`, `train-clean-360`, `train-other-500`,
`dev-clean`, `dev-other`, `test-clean` and `test-other`.

Panayotov et al., "LibriSpeech: an ASR corpus based on public domain audio books", ICASSP 2015.
https://www.openslr.org/12 (CC BY 4.0)
"""

from __future__ import annotations

from pathlib import Path

from asr_transfer.errors import DataError
from data_prep.by_text import Gathering, recording
from data_prep.common import existing_folder, read_lines
from data_prep.registry import Corpus

SUBSETS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)


def prepare(root: Path, out: Path) -> None:
    """Write one manifest for each official subset that is there: `train-clean-100.jsonl`, `dev-clean.jsonl`, ….

    Args:
        root: `LibriSpeech`, which holds the subsets, or the folder above it.
        out: folder for the manifests.

    Raises:
        DataError: there is no such folder, it holds no subset, or a line of a transcript is not as documented.
    """
    existing_folder(root, "LibriSpeech's subsets, such as `dev-clean`")
    folder = root / "LibriSpeech" if (root / "LibriSpeech").is_dir() else root
    subsets = [subset for subset in SUBSETS if (folder / subset).is_dir()]
    if not subsets:
        raise DataError(f"{root}: holds no subset of LibriSpeech; give the folder that holds {', '.join(SUBSETS)}.")
    found = Gathering("en", {}, prefix="librispeech/", one_voice=False)
    found.splits, found.left_out = {subset: [] for subset in subsets}, {subset: [] for subset in subsets}
    for subset in subsets:
        chapters = sorted((folder / subset).glob("*/*/*.trans.txt"))
        if not chapters:
            raise DataError(f"{folder / subset}: holds no SPEAKER/CHAPTER/*.trans.txt; unpack the subset again.")
        for texts in chapters:
            _take_chapter(found, texts, subset)
    found.write(out)


def _take_chapter(found: Gathering, texts: Path, subset: str) -> None:
    speaker = texts.parent.parent.name
    for number, line in enumerate(read_lines(texts), start=1):
        if not line.strip():
            continue
        name, _, written = line.strip().partition(" ")
        if not written.strip() or name.count("-") != 2:
            raise DataError(f"{texts} line {number}: is not `SPEAKER-CHAPTER-NUMBER TEXT`; copy the file again.")
        found.hear(name, recording(texts.parent, name), written, f"librispeech-{speaker}", split=subset)


CORPUS = Corpus(
    "librispeech",
    prepare,
    ("en",),
    splits=(),
    page="LibriSpeech (https://www.openslr.org/12)",
)
