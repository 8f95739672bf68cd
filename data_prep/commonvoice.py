"""Prepares Mozilla Common Voice: sentences read by volunteers, some of whom name their accent.

Layout: `LANG/{train,dev,test,validated}.tsv` with the columns client_id, path, sentence and accents (older releases:
accent), and `LANG/clips/*.mp3`. https://commonvoice.mozilla.org (CC0; Ardila et al. 2020)
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from asr_transfer import audio, recording_file
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError, nearest_hint
from data_prep.by_text import recording
from data_prep.common import existing_folder, read_table
from data_prep.quality import write_checked
from data_prep.registry import Corpus
from data_prep.transcripts import rate_defect, spoken, text_defect

_OFFICIAL = ("train", "dev", "test")
_REQUIRED = ("client_id", "path", "sentence")
_ACCENTS = ("accents", "accent")

Row = dict[str, str]


def prepare(root: Path, out: Path, accent: str | None = None, language: str | None = None) -> None:
    """Write `train.jsonl`, `dev.jsonl` and `test.jsonl` with the official split, or `all.jsonl` of one accent.

    Args:
        root: the folder of one language, which holds `clips` and the tables.
        out: folder for the manifests.
        accent: words that the accent of a recording of `validated.tsv` must hold, whatever their case.
        language: ISO 639 code; the folder's name where it is not given.

    Raises:
        DataError: a table or a column is missing, a row is broken, or nobody has the accent.
    """
    existing_folder(root, "one language of Common Voice: `clips` and `validated.tsv`")
    language = language or root.resolve().name
    if accent is None:
        tables = {split: _rows(root / f"{split}.tsv") for split in _OFFICIAL}
    else:
        tables = {"all": _with_accent(_rows(root / "validated.tsv"), accent, root / "validated.tsv")}
    splits: dict[str, list[Utterance]] = {split: [] for split in tables}
    left_out: dict[str, list[tuple[str, str]]] = {split: [] for split in tables}
    for split, rows in tables.items():
        for row in rows:
            name = _stem(row["path"])
            text = spoken(row["sentence"], language)
            # Clips are found under any suffix: many convert them, and releases before 2020 name none.
            named = root / "clips" / row["path"]
            file = named if named.is_file() else recording(root / "clips", name) or named
            defect, duration = text_defect(text, script=""), 0.0
            if defect is None:
                try:
                    duration = audio.probe(file).duration
                    defect = rate_defect(text, duration)
                except DataError as error:
                    defect = str(error)
            if defect is not None:
                left_out[split].append((name, defect))
            else:
                splits[split].append(Utterance(name, str(file), duration, text, row["client_id"], language))
    write_checked(splits, out, left_out)


def _stem(path: str) -> str:
    known = Path(path).suffix.lower() in recording_file.SUFFIXES + recording_file.DECODER_SUFFIXES
    return Path(path).stem if known else Path(path).name


def _rows(table: Path) -> list[Row]:
    return read_table(table, _REQUIRED, "Common Voice", "cv-corpus/en")


def _with_accent(rows: list[Row], accent: str, table: Path) -> list[Row]:
    def accents(row: Row) -> str:
        return next((row[column] for column in _ACCENTS if row.get(column)), "")

    chosen = [row for row in rows if accent.lower() in accents(row).lower()]
    if not chosen:
        known = Counter(accents(row) for row in rows if accents(row))
        common = [name for name, _ in known.most_common(20)]
        raise DataError(f"{table}: nobody has the accent '{accent}'.{nearest_hint(accent, common)}")
    return chosen


CORPUS = Corpus("commonvoice", prepare, page="Common Voice (https://commonvoice.mozilla.org)")
