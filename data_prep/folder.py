"""Prepares a folder of recordings with transcripts: one `.txt` beside each recording, or one table for all of them.

`transcript_table` says what tables there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer import recording_file
from asr_transfer.data.manifest import Report, Utterance, write_manifest
from asr_transfer.errors import DataError
from asr_transfer.orthography import Case, in_case, marked, tidied
from asr_transfer.ranges import Count
from data_prep.common import by_reason, existing_folder, read_lines, summary, write_splits
from data_prep.recordings import (
    ENDINGS,
    Recordings,
    Row,
    listen_to_all,
    make_ids,
    text_file,
    tidy,
)
from data_prep.transcript_table import rows_of_table

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
    workers: Count = 2,
) -> None:
    """Write `all.jsonl` for a folder of recordings with transcripts, and `unlabelled.jsonl` for those without one.

    Args:
        root: the folder; recordings (.wav, .flac, .ogg, .opus, .mp3, .aiff, .sph and others) are also looked for in its
            subfolders.
        out: folder for the manifests.
        speaker: name of the speaker, where the table does not say.
        language: ISO 639 code of what is spoken, where the table does not say.
        transcripts: the table of transcripts; without it the folder's only .tsv or .csv, or else one .txt per
            recording.
        lowercase: whether to write transcripts in lower case. Invisible characters that are no part of the writing are
            dropped, and apostrophes within words are one character; everything else is kept.
        workers: recordings that are listened to at the same time; has no influence on the result.

    Raises:
        DataError: the folder or table is missing or ambiguous, a row of the table is broken, or nothing is usable.
    """
    found = divide(root, speaker, language, transcripts, "lower" if lowercase else "kept", workers)
    _require_transcribed(found)
    bare, left_out = found.listen_to_bare(workers)
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
        report: recordings left out for any other reason.
        speaker, language: names for recordings of which no table says them.
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

    def listen_to_bare(self, workers: int = 1) -> tuple[list[Utterance], list[tuple[str, str]]]:
        """Return the recordings without transcript as utterances of empty text, and those that cannot be used.

        See `divide` for the argument.
        """
        found: list[Utterance] = []
        left_out: list[tuple[str, str]] = []
        heard = listen_to_all([row.file for row, _, _ in self.bare], workers)
        for (row, name, _), (defect, duration) in zip(self.bare, heard, strict=True):
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
    workers: int = 1,
) -> Divided:
    """Return what a folder holds; none of it need have a transcript. Arguments not named here are those of `prepare`.

    Args:
        case: the case to write transcripts in; that of a model's tokens where they are for a model.
        workers: recordings that are listened to at the same time.

    Raises:
        DataError: the folder holds no recording, or see `prepare`.
    """
    existing_folder(root, "the recordings and their transcripts")
    recordings = Recordings(root)
    report = Report()
    for file in recordings.undecodable:
        report.drop(recordings.name(file), recording_file.unreadable(file.suffix))
    if not recordings.files and transcripts is None:
        raise DataError(f"{root}: holds no recording ({ENDINGS}); {_hint(report)}")
    table = find_table(recordings, transcripts)
    rows = rows_of_table(table, recordings, report) if table else _rows_of_texts(recordings, report)
    # Before anything is asked of a text: one of invisible characters is empty.
    rows = [replace(row, text=_written(row.text, case, row.language or language)) for row in rows]
    known = {recordings.real(row.file) for row in rows}
    spoken_for = {name for name, _ in report.dropped}
    without = [f for f in recordings.files if recordings.real(f) not in known and recordings.name(f) not in spoken_for]
    ids = make_ids(rows, recordings)
    where = {name: row.where for row, name in zip(rows, ids, strict=True)}
    empty = [(r, name, f"its transcript is empty ({r.where})") for r, name in zip(rows, ids, strict=True) if not r.text]
    bare = [Row(file, str(file), "") for file in without]
    bare_ids = make_ids(bare, recordings, where)
    utterances: list[Utterance] = []
    named = [(row, name) for row, name in zip(rows, ids, strict=True) if row.text]
    heard = listen_to_all([row.file for row, _ in named], workers)
    for (row, name), (defect, duration) in zip(named, heard, strict=True):
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
    if tables and recordings.texts and any(text_file(file) for file in recordings.files):
        raise DataError(
            f"{root}: holds {tables[0].name} and also .txt files beside recordings; name the table with "
            "`--transcripts` to use it, or move it away to use the .txt files."
        )
    return tables[0] if tables else None


def _rows_of_texts(recordings: Recordings, report: Report) -> list[Row]:
    rows: list[Row] = []
    first: dict[str, Path] = {}
    own = {recordings.real(file): file for file in reversed(recordings.files)}
    own |= {recordings.real(file): file for file in recordings.files if not file.is_symlink()}
    for file in recordings.files:
        transcript = text_file(file)
        if transcript is None:
            continue
        if (same := own[recordings.real(file)]) != file:
            report.drop(recordings.name(file), f"is a link to the same recording as {recordings.name(same)}")
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
