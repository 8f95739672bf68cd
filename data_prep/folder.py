"""A folder of recordings with transcripts: one `.txt` beside each recording, or one table for all of them.

The table is TSV or CSV (comma, semicolon, bar or tab), UTF-8 with or without byte order mark. Its header names a column
for the recording and one for the text, and where wanted speaker, language and id; without a header it has two
columns, recording and text, or is LJSpeech's: id, text and normalised text with bars between. Tables with tabs or bars
know no quoting, as Common Voice's and LJSpeech's do not; in the other kinds a quoted cell may hold the delimiter, as
RFC 4180 says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asr_transfer import audio
from asr_transfer.data.manifest import Report, Utterance, write_manifest
from asr_transfer.errors import DataError
from data_prep.common import by_reason, existing_folder, read_lines, summary, write_splits
from data_prep.recordings import (
    ENDINGS,
    Recordings,
    Row,
    listen,
    make_ids,
    text_file,
    tidy,
)

COLUMNS = {
    "file": ("file", "path", "audio_filepath", "audio", "audio_path", "audio_file", "filename", "file_name", "wav"),
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
        root: the folder; recordings (.wav, .flac, .ogg, .opus, .mp3, .aiff, .sph and others) are also looked for in its
            subfolders.
        out: folder for the manifests.
        speaker: who speaks, where the table does not say.
        language: ISO 639 code of what is spoken, where the table does not say.
        transcripts: the table of transcripts; without it the folder's only .tsv or .csv, or else one .txt per
            recording.
        lowercase: write transcripts in lower case; everything else in them is kept.

    Raises:
        DataError: the folder or table is missing or ambiguous, a row of the table is broken, or nothing is usable.
    """
    found = divide(root, speaker, language, transcripts, lowercase)
    _require_transcribed(found)
    bare, left_out = found.listen_to_bare()
    write_splits({"all": found.utterances}, out, {"all": found.report.dropped})
    file = out / UNLABELLED
    try:
        if bare:
            write_manifest(file, bare)
        else:
            # That of an earlier preparation would name recordings that have a transcript by now.
            file.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror}); choose another folder with `--out`.") from None
    if bare or left_out:
        print(summary("unlabelled", bare, left_out))
    if bare:
        print(f"  {file}: recordings without transcript, which `adapt --method pseudo-label` and `transcribe` read")


def read_folder(
    root: Path,
    speaker: str = "me",
    language: str = "en",
    transcripts: Path | None = None,
    lowercase: bool = True,
) -> list[Utterance]:
    """Return the usable utterances of a folder and print what was left out, if anything; writes no file.

    The arguments and errors are those of `prepare`.
    """
    utterances, report = scan_folder(root, speaker, language, transcripts, lowercase)
    if report.dropped:
        print("\n".join([f"{root}: {report.kept} kept, {len(report.dropped)} left out", *by_reason(report.dropped)]))
    return utterances


def scan_folder(
    root: Path,
    speaker: str = "me",
    language: str = "en",
    transcripts: Path | None = None,
    lowercase: bool = True,
) -> tuple[list[Utterance], Report]:
    """Return the usable utterances of a folder and the report of what was left out, without printing.

    The arguments and errors are those of `prepare`.
    """
    found = divide(root, speaker, language, transcripts, lowercase)
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
    lowercase: bool = True,
) -> Divided:
    """Return what a folder holds; none of it need have a transcript. The arguments are those of `prepare`.

    Raises:
        DataError: the folder holds no recording, or see `prepare`.
    """
    existing_folder(root, "the recordings and their transcripts")
    recordings = Recordings(root)
    report = Report()
    for file in recordings.undecodable:
        report.drop(recordings.name(file), audio.unreadable(file.suffix))
    if not recordings.files and transcripts is None:
        raise DataError(f"{root}: holds no recording ({ENDINGS}); {_hint(report)}")
    table = find_table(recordings, transcripts)
    rows = _rows_of_table(table, recordings, report) if table else _rows_of_texts(recordings, report)
    known = {row.file.resolve() for row in rows}
    spoken_for = {name for name, _ in report.dropped}
    without = [f for f in recordings.files if f.resolve() not in known and recordings.name(f) not in spoken_for]
    ids = make_ids(rows, recordings)
    where = {name: row.where for row, name in zip(rows, ids, strict=True)}
    empty = [(r, name, f"its transcript is empty ({r.where})") for r, name in zip(rows, ids, strict=True) if not r.text]
    bare = [Row(file, str(file), "") for file in without]
    bare_ids = make_ids(bare, recordings, where)
    utterances: list[Utterance] = []
    for row, name in zip(rows, ids, strict=True):
        if not row.text:
            continue
        defect, duration = listen(row.file)
        if defect:
            report.drop(recordings.name(row.file), defect)
            continue
        text = row.text.lower() if lowercase else row.text
        utterances.append(
            Utterance(name, str(row.file), duration, text, row.speaker or speaker, row.language or language)
        )
    report.kept = len(utterances)
    lacking = [(row, name, _NO_TRANSCRIPT) for row, name in zip(bare, bare_ids, strict=True)]
    return Divided(recordings, utterances, [*lacking, *empty], report, speaker, language)


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
    for text in recordings.texts:
        if recordings.key(text) not in stems:
            report.drop(recordings.name(text), "no recording belongs to it")
    return rows


@dataclass(frozen=True)
class _Line:
    """A row of a table: the number of its first line, its cells, and the further lines that a quoted cell takes in."""

    number: int
    cells: list[str]
    further: list[str]


def _rows_of_table(table: Path, recordings: Recordings, report: Report) -> list[Row]:
    lines = read_lines(table)
    if not any(line.strip() for line in lines):
        raise DataError(f"{table}: is empty; write the columns `file` and `text` into it.")
    delimiter = _delimiter(table, lines, recordings)
    parsed = list(_parse(table, lines, delimiter))
    head = parsed[0].cells
    columns = _columns(head, f"{table} line {parsed[0].number}")
    if columns is None:
        columns = {"file": 0, "text": 1} if len(head) == 2 else _of_ljspeech(parsed, table)
    else:
        parsed = parsed[1:]
    rows: list[Row] = []
    line_of: dict[tuple[str, str], int] = {}
    for line in parsed:
        _require_closed(line, table, delimiter, columns["file"], recordings)
        number, cells = line.number, line.cells
        where = f"{table} line {number}"
        if len(cells) != len(head):
            quoted = "put text that contains the delimiter in quotation marks, or mend the row"
            raise DataError(
                f"{where}: has {len(cells)} columns where the first line has {len(head)}; "
                f"{quoted if delimiter in ',;' else 'mend the row'}."
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


def _of_ljspeech(lines: list[_Line], table: Path) -> dict[str, int]:
    """Return the columns of a table of three columns without header: id, text, normalised text.

    Raises:
        DataError: the third column is another thing than the text of the second.
    """
    rows = [line.cells for line in lines if len(line.cells) == 3]
    same = sum(_letters(third) == _letters(second) for _, second, third in rows)
    if 2 * same < len(rows):
        raise DataError(
            f"{table} line {lines[0].number}: has three columns and no header, and the third is not the text of the "
            "second; say what they are in a header such as `file|speaker|text`."
        )
    return {"file": 0, "text": 2}


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalpha())


def _parse(table: Path, lines: list[str], delimiter: str) -> Iterator[_Line]:
    """Yield the table's rows that are not blank."""
    if delimiter in "\t|":
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _Line(number, [_unquoted(cell, delimiter) for cell in line.split(delimiter)], [])
        return
    reader = csv.reader(io.StringIO("\n".join(lines) + "\n"), delimiter=delimiter, strict=True, skipinitialspace=True)
    number = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _Line(number, cells, lines[number : reader.line_num])
            number = reader.line_num + 1
    except csv.Error as error:
        reason = f"{error}"
        if "end of data" in reason:
            reason = f"a quotation mark opens here that is not closed up to line {len(lines)}, the last"
        elif reader.line_num > number:
            reason = f"a quotation mark opens here, and on line {reader.line_num} {error}"
        raise DataError(f"{table} line {number}: is not proper CSV ({reason}); check its quotation marks.") from None


def _require_closed(line: _Line, table: Path, delimiter: str, column: int, recordings: Recordings) -> None:
    """Refuse a quoted cell that takes in other rows; one of several lines is a text.

    Raises:
        DataError: a further line names a recording.
    """
    for number, further in enumerate(line.further, start=line.number + 1):
        cells = next(csv.reader([further], delimiter=delimiter, skipinitialspace=True), [])
        if len(cells) < 2 or column >= len(cells):
            continue
        name = cells[column].strip().strip('"')
        if _is_recording(name) or (name and isinstance(recordings.find(name, table.parent), Path)):
            end = line.number + len(line.further)
            raise DataError(
                f"{table} line {line.number}: a quotation mark opens here and closes on line {end}, and takes in the "
                f"row of line {number}; close it, or write it twice where it belongs to the text."
            )


def _delimiter(table: Path, lines: list[str], recordings: Recordings) -> str:
    """Return the delimiter under which the first line is a header, or else names a recording and its text."""
    number, first = next((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    for accepts in (_is_header, _is_pair):
        for delimiter in _DELIMITERS:
            if delimiter == "|":
                cells = first.split(delimiter)
            else:
                cells = next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])
            if accepts(cells):
                return delimiter
    cells = first.split("|")
    if 2 <= len(cells) <= 3 and isinstance(recordings.find(cells[0].strip(), table.parent), Path):
        return "|"
    raise DataError(
        f"{table} line {number}: names no columns for recording and text; "
        f"begin the table with a header that holds `file` ({', '.join(COLUMNS['file'][1:])}) and "
        f"`text` ({', '.join(COLUMNS['text'][1:])})."
    )


def _is_header(cells: list[str]) -> bool:
    names = {cell.strip().lower() for cell in cells}
    return bool(names & set(COLUMNS["file"])) and bool(names & set(COLUMNS["text"]))


def _is_pair(cells: list[str]) -> bool:
    return len(cells) == 2 and _is_recording(cells[0].strip())


def _is_recording(name: str) -> bool:
    return Path(name).suffix.lower() in audio.SUFFIXES + audio.DECODER_SUFFIXES


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


def _unquoted(cell: str, delimiter: str) -> str:
    """Take a spreadsheet's quotation marks off a cell, and leave those that belong to the text.

    A spreadsheet quotes a cell with tabs between for any mark in it and doubles that; in tables with bars only doubled
    ones show that a program and no person wrote the outer ones.
    """
    inner = cell.strip()[1:-1]
    quoted = len(cell.strip()) >= 2 and cell.strip()[0] == cell.strip()[-1] == '"'
    if quoted and '"' not in inner.replace('""', "") and (delimiter == "\t" or '""' in inner):
        return inner.replace('""', '"')
    return cell
