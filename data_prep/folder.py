"""A folder of recordings with transcripts: one `.txt` beside each recording, or one table for all of them.

The table is TSV or CSV (comma, semicolon, bar or tab), UTF-8 with or without byte order mark. Its header names a column
for the recording and one for the text, and where wanted speaker, language and id; without a header it has two
columns, recording and text. Tab-separated tables may hold bare quotation marks, as Common Voice's do; in the other
kinds a quoted cell may hold the delimiter, as RFC 4180 says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer.data.manifest import Report, Utterance, write_manifest
from asr_transfer.errors import DataError
from asr_transfer.orthography import Case, in_case, marked, tidied
from asr_transfer.progress import tracked
from data_prep.common import by_reason, existing_folder, read_lines, summary, write_splits
from data_prep.recordings import (
    AUDIO_SUFFIXES,
    UNREADABLE_SUFFIXES,
    Recordings,
    Row,
    listen,
    make_ids,
    text_file,
    tidy,
)

COLUMNS = {
    "file": ("file", "path", "audio_filepath", "audio", "audio_path", "filename", "file_name", "wav"),
    "text": ("text", "sentence", "transcript", "transcription"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "language": ("language", "lang", "locale"),
    "id": ("id", "utterance_id", "utt_id"),
}
"""The names, in lower case, under which a table's header may list what an utterance needs."""

_DELIMITERS = "\t,;|"
_NO_TRANSCRIPT = "no transcript belongs to it"

UNLABELLED = "unlabelled.jsonl"
"""The manifest of recordings without transcript."""


def prepare(
    root: Path,
    out: Path,
    speaker: str = "me",
    language: str = "en",
    transcripts: Path | None = None,
    lowercase: bool = True,
) -> None:
    """Write `all.jsonl` for a folder of recordings with transcripts, and `unlabelled.jsonl` for those without one.

    Args:
        root: the folder; recordings (.wav, .flac, .ogg, .opus, .mp3) are also looked for in its subfolders.
        out: folder for the manifests.
        speaker: who speaks, where the table does not say.
        language: ISO 639 code of what is spoken, where the table does not say.
        transcripts: the table of transcripts; without it the folder's only .tsv or .csv, or else one .txt per
            recording.
        lowercase: write transcripts in lower case. Invisible characters that are no part of the writing are dropped,
            and apostrophes within words are one character; everything else is kept.

    Raises:
        DataError: the folder or table is missing or ambiguous, a row of the table is broken, or nothing is usable.
    """
    found = divide(root, speaker, language, transcripts, "lower" if lowercase else "kept")
    _require_transcribed(found)
    bare, left_out = found.listen_to_bare()
    write_splits({"all": found.utterances}, out, {"all": found.report.dropped})
    file = out / UNLABELLED
    if bare:
        write_manifest(file, bare)
    else:
        # That of an earlier preparation would name recordings that have a transcript by now.
        file.unlink(missing_ok=True)
    if bare or left_out:
        print(summary("unlabelled", bare, left_out))
    if bare:
        print(f"  {file}: recordings without transcript, which `adapt --method pseudo-label` and `transcribe` read")


def read_folder(
    root: Path,
    speaker: str = "me",
    language: str = "en",
    transcripts: Path | None = None,
    case: Case = "lower",
) -> list[Utterance]:
    """Return the usable utterances of a folder and print what was left out, if anything; writes no file.

    The arguments and errors are those of `divide`.
    """
    utterances, report = scan_folder(root, speaker, language, transcripts, case)
    if report.dropped:
        print("\n".join([f"{root}: {report.kept} kept, {len(report.dropped)} left out", *by_reason(report.dropped)]))
    return utterances


def scan_folder(
    root: Path,
    speaker: str = "me",
    language: str = "en",
    transcripts: Path | None = None,
    case: Case = "lower",
) -> tuple[list[Utterance], Report]:
    """Return the usable utterances of a folder and the report of what was left out, without printing.

    The arguments and errors are those of `divide`.
    """
    found = divide(root, speaker, language, transcripts, case)
    _require_transcribed(found)
    return found.utterances, found.whole_report()


@dataclass
class Divided:
    """The recordings below a folder: those with a transcript, and those without.

    Attributes:
        recordings: all that there are.
        utterances: those with a transcript that can be used.
        bare: those without one, each with its id and why it has none; nobody has listened to them.
        report: what was left out for any other reason.
        speaker, language: of what is said by no table.
    """

    recordings: Recordings
    utterances: list[Utterance]
    bare: list[tuple[Row, str, str]]
    report: Report
    speaker: str
    language: str

    def whole_report(self) -> Report:
        """Return the report with the recordings that have no transcript."""
        dropped = [(self.recordings.name(row.file), reason) for row, _, reason in self.bare]
        return Report(self.report.kept, [*self.report.dropped, *dropped])

    def listen_to_bare(self) -> tuple[list[Utterance], list[tuple[str, str]]]:
        """Return the recordings without transcript as utterances of empty text, and those that cannot be used."""
        found: list[Utterance] = []
        left_out: list[tuple[str, str]] = []
        for row, name, _ in self.bare:
            defect, duration = listen(row.file)
            if defect:
                left_out.append((self.recordings.name(row.file), defect))
            else:
                who, language = row.speaker or self.speaker, row.language or self.language
                found.append(Utterance(name, str(row.file), duration, "", who, language))
        return found, left_out


def divide(
    root: Path,
    speaker: str = "me",
    language: str = "en",
    transcripts: Path | None = None,
    case: Case = "lower",
) -> Divided:
    """Return what a folder holds; none of it need have a transcript. Arguments not named here are those of `prepare`.

    Args:
        case: the case to write transcripts in; that of a model's tokens where they are for a model.

    Raises:
        DataError: the folder holds no recording, or see `prepare`.
    """
    existing_folder(root, "the recordings and their transcripts")
    recordings = Recordings(root)
    report = Report()
    for file in recordings.undecodable:
        report.drop(recordings.name(file), f"{file.suffix} cannot be read; convert it to WAV or FLAC")
    if not recordings.files and transcripts is None:
        raise DataError(f"{root}: holds no recording ({', '.join(AUDIO_SUFFIXES)}); {_hint(report)}")
    table = find_table(recordings, transcripts)
    rows = _rows_of_table(table, recordings, report) if table else _rows_of_texts(recordings, report)
    # Before anything is asked of a text: one of invisible characters is empty.
    rows = [replace(row, text=_written(row.text, case, row.language or language)) for row in rows]
    known = {row.file.resolve() for row in rows}
    spoken_for = {name for name, _ in report.dropped}
    without = [f for f in recordings.files if f.resolve() not in known and recordings.name(f) not in spoken_for]
    ids = make_ids(rows, recordings)
    where = {name: row.where for row, name in zip(rows, ids, strict=True)}
    empty = [(r, name, f"its transcript is empty ({r.where})") for r, name in zip(rows, ids, strict=True) if not r.text]
    bare = [Row(file, str(file), "") for file in without]
    bare_ids = make_ids(bare, recordings, where)
    utterances: list[Utterance] = []
    named = list(zip(rows, ids, strict=True))
    for row, name in tracked(named, "listening", len(named), "recording"):
        if not row.text:
            continue
        defect, duration = listen(row.file)
        if defect:
            report.drop(recordings.name(row.file), defect)
            continue
        utterances.append(
            Utterance(name, str(row.file), duration, row.text, row.speaker or speaker, row.language or language)
        )
    report.kept = len(utterances)
    lacking = [(row, name, _NO_TRANSCRIPT) for row, name in zip(bare, bare_ids, strict=True)]
    return Divided(recordings, utterances, [*lacking, *empty], report, speaker, language)


def _written(text: str, case: Case, language: str) -> str:
    """Return a transcript with its punctuation, in a case, as the language writes it."""
    return in_case(marked(tidied(text), language), case, language)


def _require_transcribed(found: Divided) -> None:
    if not found.utterances:
        raise DataError(f"{found.recordings.root}: no recording can be used; {_hint(found.whole_report())}")


def _hint(report: Report) -> str:
    reasons = by_reason(report.dropped[:10])
    return (
        "put WAV or FLAC files there, each with its transcript in a .txt file of the same name, or all transcripts in "
        f"one table with the columns `file` and `text`.{''.join(chr(10) + line for line in reasons)}"
    )


def find_table(recordings: Recordings, transcripts: Path | None) -> Path | None:
    """Return the table to read, None when transcripts lie beside the recordings."""
    root = recordings.root
    if transcripts is not None:
        if not transcripts.is_file():
            raise DataError(f"{transcripts}: there is no such table of transcripts; correct `--transcripts`.")
        return transcripts
    tables = sorted(
        file for file in root.iterdir() if file.suffix.lower() in (".tsv", ".csv") and not file.name.startswith(".")
    )
    if len(tables) > 1:
        names = ", ".join(file.name for file in tables)
        raise DataError(f"{root}: holds several tables ({names}); name the one to read with `--transcripts`.")
    if tables and any(text_file(file) for file in recordings.files):
        raise DataError(
            f"{root}: holds {tables[0].name} and also .txt files beside recordings; name the table with "
            "`--transcripts` to use it, or move it away to use the .txt files."
        )
    return tables[0] if tables else None


def _rows_of_texts(recordings: Recordings, report: Report) -> list[Row]:
    rows: list[Row] = []
    first: dict[str, Path] = {}
    for file in recordings.files:
        transcript = text_file(file)
        if transcript is None:
            continue
        twin = first.setdefault(recordings.key(file), file)
        if twin is not file:
            report.drop(recordings.name(file), f"{recordings.name(twin)} has the same name and transcript")
            continue
        rows.append(Row(file, str(transcript), tidy(" ".join(read_lines(transcript)))))
    stems = {recordings.key(file) for file in (*recordings.files, *recordings.undecodable)}
    for text in sorted(recordings.root.rglob("*")):
        hidden = any(part.startswith(".") for part in text.relative_to(recordings.root).parts)
        if text.suffix.lower() == ".txt" and not hidden and recordings.key(text) not in stems:
            report.drop(recordings.name(text), "no recording belongs to it")
    return rows


def _rows_of_table(table: Path, recordings: Recordings, report: Report) -> list[Row]:
    lines = _parse(table)
    number, head = next(lines, (1, []))
    columns = _columns(head, f"{table} line {number}")
    width = len(head)
    if columns is None:
        columns = {"file": 0, "text": 1}
        lines = _parse(table)
    rows: list[Row] = []
    line_of: dict[tuple[str, str], int] = {}
    for number, cells in lines:
        where = f"{table} line {number}"
        if len(cells) != width:
            raise DataError(
                f"{where}: has {len(cells)} columns where the first line has {width}; "
                "put text that contains the delimiter in quotation marks, or mend the row."
            )
        value = {column: tidy(cells[index]) for column, index in columns.items()}
        if not value["file"]:
            raise DataError(f"{where}: names no recording; fill in its file name or remove the row.")
        found = recordings.find(value["file"], table.parent)
        if found in recordings.undecodable:
            continue  # reported already
        if isinstance(found, str):
            report.drop(f"{value['file']} (line {number})", found)
            continue
        for kind, key in (("recording", str(found.resolve())), ("id", value.get("id", ""))):
            if key and line_of.setdefault((kind, key), number) != number:
                what = value["file" if kind == "recording" else "id"]
                raise DataError(
                    f"{where}: the {kind} '{what}' is already on line {line_of[kind, key]}; remove one of the rows."
                )
        optional = [value.get(column, "") for column in ("speaker", "language", "id")]
        rows.append(Row(found, where, value["text"], *optional))
    return rows


def _parse(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the table's rows that are not blank, each with the line that it starts on."""
    lines = read_lines(table)
    if not any(line.strip() for line in lines):
        raise DataError(f"{table}: is empty; write the columns `file` and `text` into it.")
    delimiter = _delimiter(table, lines)
    if delimiter == "\t":
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, [_unquoted(cell) for cell in line.split("\t")]
        return
    reader = csv.reader(io.StringIO("\n".join(lines) + "\n"), delimiter=delimiter, strict=True, skipinitialspace=True)
    number = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{table} line {number}: is not proper CSV ({error}); check its quotation marks.") from None


def _delimiter(table: Path, lines: list[str]) -> str:
    """Return the delimiter under which the first line is a header, or else a pair of recording and text."""
    number, first = next((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    for accepts in (_is_header, _is_pair):
        for delimiter in _DELIMITERS:
            if accepts(next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])):
                return delimiter
    raise DataError(
        f"{table} line {number}: names no columns for recording and text; "
        f"begin the table with a header that holds `file` ({', '.join(COLUMNS['file'][1:])}) and "
        f"`text` ({', '.join(COLUMNS['text'][1:])})."
    )


def _is_header(cells: list[str]) -> bool:
    names = {cell.strip().lower() for cell in cells}
    return bool(names & set(COLUMNS["file"])) and bool(names & set(COLUMNS["text"]))


def _is_pair(cells: list[str]) -> bool:
    return len(cells) == 2 and Path(cells[0].strip()).suffix.lower() in AUDIO_SUFFIXES + UNREADABLE_SUFFIXES


def _columns(head: list[str], where: str) -> dict[str, int] | None:
    """Return the index of each known column, None when the line is no header."""
    if not _is_header(head):
        return None
    columns: dict[str, int] = {}
    for index, cell in enumerate(head):
        for column, names in COLUMNS.items():
            if cell.strip().lower() not in names:
                continue
            if column in columns:
                raise DataError(
                    f"{where}: the columns '{head[columns[column]].strip()}' and '{cell.strip()}' both give the "
                    f"{column}; rename or remove one of them."
                )
            columns[column] = index
    return columns


def _unquoted(cell: str) -> str:
    """Take spreadsheet quotation marks off a tab-separated cell, and leave those that belong to the text."""
    inner = cell.strip()[1:-1]
    quoted = len(cell.strip()) >= 2 and cell.strip()[0] == cell.strip()[-1] == '"'
    return inner.replace('""', '"') if quoted and '"' not in inner.replace('""', "") else cell
