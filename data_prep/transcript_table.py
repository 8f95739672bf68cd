"""Reads tables of transcripts as users bring them: which delimiter they have, which columns, and which rows.

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

from asr_transfer import recording_file
from asr_transfer.data.manifest import Report
from asr_transfer.errors import DataError
from data_prep.common import read_lines
from data_prep.recordings import Recordings, Row, tidy

COLUMNS = {
    "file": ("file", "path", "audio_filepath", "audio", "audio_path", "audio_file", "filename", "file_name", "wav"),
    "text": ("text", "sentence", "transcript", "transcription"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "language": ("language", "lang", "locale"),
    "id": ("id", "utterance_id", "utt_id"),
}
"""The names, in lower case, under which a table's header may list what an utterance needs."""

_DELIMITERS = "\t,;|"


@dataclass(frozen=True)
class _Line:
    """A row of a table: the number of its first line, its cells, and the further lines that a quoted cell takes in."""

    number: int
    cells: list[str]
    further: list[str]


def rows_of_table(table: Path, recordings: Recordings, report: Report) -> list[Row]:
    """Return the rows of a table whose recordings can be found; the others are dropped in the report.

    Raises:
        DataError: the table has no columns for recording and text, or a row is broken or there twice.
    """
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
        for kind, key in (("recording", recordings.real(found)), ("id", value.get("id", ""))):
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
        DataError: a further line names a recording, or each has the columns of a row, packed as no sentence is.
    """
    packed = [_packed(further, delimiter) for further in line.further]
    rows = bool(packed) and all(len(cells) == len(line.cells) and all(cells) for cells in packed)
    for number, further in enumerate(line.further, start=line.number + 1):
        cells = next(csv.reader([further], delimiter=delimiter, skipinitialspace=True), [])
        if len(cells) < 2 or column >= len(cells):
            continue
        name = cells[column].strip().strip('"')
        if rows or _is_recording(name) or (name and isinstance(recordings.find(name, table.parent), Path)):
            end = line.number + len(line.further)
            raise DataError(
                f"{table} line {line.number}: a quotation mark opens here and closes on line {end}, and takes in the "
                f"row of line {number}; close it, or write it twice where it belongs to the text."
            )


def _packed(line: str, delimiter: str) -> list[str]:
    """Split a line where there is no white space behind the delimiters; with some, as in sentences, it is one cell."""
    cells = line.split(delimiter)
    return cells if all(cell == cell.lstrip() for cell in cells) else [line]


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
    if any(_is_of_ljspeech(line.split("|"), table, recordings) for line in lines):
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
    return Path(name).suffix.lower() in recording_file.SUFFIXES + recording_file.DECODER_SUFFIXES


def _is_of_ljspeech(cells: list[str], table: Path, recordings: Recordings) -> bool:
    name = cells[0].strip()
    return 2 <= len(cells) <= 3 and bool(name) and isinstance(recordings.find(name, table.parent), Path)


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
