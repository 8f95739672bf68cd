"""Prepares FLEURS: sentences of Wikipedia read in 102 languages, about ten hours each, with official splits.

Layout: `LANGUAGE/{train,dev,test}.tsv` without a header, its columns number of the sentence, file, written text,
normalised text, its characters, samples and gender; and `LANGUAGE/audio/{train,dev,test}/FILE` (the archives in
`audio` unpacked). LANGUAGE is FLEURS's own code, such as `de_de` or `cmn_hans_cn`, which begins with the ISO 639 code.

Conneau et al., "FLEURS: few-shot learning evaluation of universal representations of speech", SLT 2022. (CC BY 4.0)
"""

from __future__ import annotations

from pathlib import Path

from asr_transfer.errors import DataError
from asr_transfer.orthography import dotless
from data_prep import pinyin
from data_prep.by_text import Gathering, recording
from data_prep.common import existing_folder, read_lines
from data_prep.registry import Corpus
from data_prep.transcripts import spoken, text_defect

SPLITS = ("train", "dev", "test")
COLUMNS = 7


def prepare(root: Path, out: Path) -> None:
    """Write manifests of one language of FLEURS in its official splits.

    Texts are the normalised ones (of Turkish and its like the written ones, for FLEURS lower-cases them as English);
    those with digits are left out. Who speaks is not documented: speakers are
    "LANGUAGE-male" and "LANGUAGE-female", many persons each. Mandarin has pronunciations.

    Args:
        root: the folder of one language, such as `de_de`.
        out: folder for the manifests.

    Raises:
        ConfigError: the language is Mandarin, and pypinyin is not installed.
        DataError: there is no such folder or table, or a row has too few columns.
    """
    existing_folder(root, "one language of FLEURS: `train.tsv`, `dev.tsv`, `test.tsv` and `audio`")
    code = root.resolve().name
    language = code.partition("_")[0]
    found = Gathering(language, dict.fromkeys(SPLITS[1:], 0), prefix=f"fleurs-{language}/", one_voice=False)
    for split in SPLITS:
        table = root / f"{split}.tsv"
        if not table.is_file():
            raise DataError(f"{table}: there is no such table; give the folder of one language, such as `de_de`.")
        folder = existing_folder(root / "audio" / split, f"the recordings of `{table.name}`; unpack its archive there")
        for number, line in enumerate(read_lines(table), start=1):
            cells = line.split("\t")
            if not line.strip():
                continue
            if len(cells) < COLUMNS:
                raise DataError(
                    f"{table} line {number}: has {len(cells)} columns where FLEURS has {COLUMNS}; mend the row."
                )
            speaker = f"fleurs-{language}-{cells[6].strip().lower()}"
            written = cells[2] if dotless(language) else cells[3]
            _take(found, recording(folder, Path(cells[1]).stem), Path(cells[1]).stem, written, speaker, split)
    found.write(out)


def _take(found: Gathering, file: Path | None, name: str, written: str, speaker: str, split: str) -> None:
    text = spoken(written, found.language)
    mandarin = found.language == "cmn"
    text = text.replace(" ", "") if mandarin else text
    defect = text_defect(text, "CJK" if mandarin else "")
    if defect is not None or file is None:
        found.leave(name, defect or "no recording belongs to it", split=split)
        return
    if not mandarin:
        found.take(name, file, text, speaker, split=split)
        return
    try:
        said = pinyin.syllables(text)
    except DataError as error:
        found.leave(name, str(error), split=split)
        return
    phones, letters = " ".join(map(pinyin.split, said)), pinyin.letters(said)
    found.take(name, file, text, speaker, split=split, pronunciation=phones, letters=letters)


CORPUS = Corpus("fleurs", prepare, page="FLEURS (https://huggingface.co/datasets/google/fleurs)")
