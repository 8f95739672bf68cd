"""Checks the splits of a corpus and writes them as manifests: what every corpus module shares."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from asr_transfer import audio
from asr_transfer.data.manifest import Report, Utterance, manifest_text, validate
from asr_transfer.errors import DataError, one_line
from asr_transfer.remarks import remark
from asr_transfer.textfiles import read_text, unreadable, write_text

LEFT_OUT = "left_out.txt"
SHOWN = 8
"""Names of what is left out for one reason that a terminal shows."""

LeftOut = Sequence[tuple[str, str]]
"""Pairs of (name, reason) for files that a corpus module could not turn into utterances."""


def write_splits(
    splits: Mapping[str, Sequence[Utterance]], out: Path, left_out: Mapping[str, LeftOut] | None = None
) -> dict[str, Report]:
    """Check the splits of a corpus against the audio on disk, write `out/<split>.jsonl` and print what each holds.

    Where more is left out than a terminal should show, `out/left_out.txt` names all of it.

    Nothing is written before every split is known to be good, so a failed run never leaves half a corpus.

    Args:
        splits: utterances by split name.
        out: folder for the manifests; it is created.
        left_out: utterances, by split name, that the caller left out already; it is reported together with what is
            found here.

    Returns:
        By split name, the number of utterances kept and what was left out and why.

    Raises:
        DataError: an id occurs twice, a split has no usable utterance, or `out` cannot be written.
    """
    check_ids(splits)
    kept: dict[str, list[Utterance]] = {}
    reports: dict[str, Report] = {}
    for split, utterances in splits.items():
        kept[split], report = validate(utterances)
        earlier = (left_out or {}).get(split, ())
        report.dropped[:0] = earlier
        if not kept[split]:
            raise DataError(_nothing_left(split, report))
        reports[split] = report
    full = [summary(split, utterances, reports[split].dropped) for split, utterances in kept.items()]
    short = [
        summary(split, utterances, reports[split].dropped, f"; {out / LEFT_OUT} names all")
        for split, utterances in kept.items()
    ]
    # Made before anything is written: what no command would accept is refused.
    texts = {out / f"{split}.jsonl": manifest_text(out / f"{split}.jsonl", own) for split, own in kept.items()}
    if short != full:
        write_text(out / LEFT_OUT, "\n".join(full) + "\n")
    for file, text in texts.items():
        write_text(file, text)
    print("\n".join(short))
    return reports


def summary(name: str, utterances: Sequence[Utterance], dropped: LeftOut, elsewhere: str = "") -> str:
    """Return what a person wants to know of a split: its size, and by reason the names of what was left out.

    Where `elsewhere` says in which file all names stand, only the first are given.
    """
    speakers = len({utterance.speaker for utterance in utterances})
    minutes = sum(utterance.duration for utterance in utterances) / 60
    head = (
        f"{name}: {_count(len(utterances), 'utterance')}, {_count(speakers, 'speaker')}, "
        f"{minutes:.1f} minutes, {len(dropped)} left out"
    )
    return "\n".join([head, *by_reason(dropped, elsewhere)])


def by_reason(dropped: LeftOut, elsewhere: str = "") -> list[str]:
    """Return one indented line per reason, with the names that it applies to: `SHOWN` of them, given `elsewhere`."""
    names: dict[str, list[str]] = {}
    for name, reason in dropped:
        names.setdefault(reason, []).append(name)
    lines = []
    for reason, group in names.items():
        shown = group if not elsewhere or len(group) <= SHOWN else group[:SHOWN]
        more = f" and {len(group) - len(shown)} more{elsewhere}" if len(shown) < len(group) else ""
        lines.append(f"  left out, {reason}: {', '.join(map(one_line, shown))}{more}")
    return lines


def existing_folder(root: Path, expected: str) -> Path:
    """Return `root` when it is a folder.

    Args:
        root: the folder that the user named.
        expected: files that the folder should hold, for the message.

    Raises:
        DataError: there is no such folder.
    """
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "there is no such folder"
        raise DataError(f"{root}: {problem}; give the folder that holds {expected}.")
    return root


def require_language(root: Path, language: str, there: Iterable[str], get: str = "") -> None:
    """Refuse a language that a corpus does not hold, naming those that it holds; where it holds none, say nothing.

    Args:
        root: the folder that the user named.
        language: the code that is asked for.
        there: codes of the languages in the folder.
        get: way to get the language, where that is known.

    Raises:
        DataError: the language is not among them.
    """
    known = sorted(set(there))
    if known and language not in known:
        take = f"{get}, or take" if get else "take"
        codes = " or ".join(filter(None, (", ".join(known[:-1]), known[-1])))
        raise DataError(f"{root}: holds no speech in '{language}'; {take} `--language` {codes}.")


def walk(root: Path) -> list[Path]:
    """Return all that lies below a folder, folders too, sorted; behind linked folders too, each folder once.

    Folders below it that may not be read are left out, which is remarked.

    Raises:
        DataError: the folder itself may not be read.
    """

    def refused(error: OSError) -> None:
        if error.filename == str(root):
            raise DataError(unreadable(root, error, "give a folder")) from None
        if not Path(error.filename).name.startswith((".", "lost+found")):
            remark("the folder may not be read, so what lies in it was left out", str(error.filename))

    found: list[Path] = []
    seen: set[str] = set()
    tops = [str(root)]
    while tops:
        links: list[str] = []
        for top in tops:
            for folder, folders, files in os.walk(top, onerror=refused):
                # A folder that lies here itself goes before a link to it, and a link to a folder above ends here.
                if (real := os.path.realpath(folder)) in seen:
                    folders.clear()
                    continue
                seen.add(real)
                found += [Path(folder, name) for name in (*folders, *files)]
                links += [path for name in folders if os.path.islink(path := os.path.join(folder, name))]
        tops = sorted(links)
    return sorted(found)


def read_lines(file: Path) -> list[str]:
    """Return the lines of a UTF-8 text file, with or without a byte order mark.

    Lines end as in an editor (LF, CRLF or CR), not at Unicode's other separators, so that line numbers agree.

    Raises:
        DataError: the file cannot be read or is not UTF-8.
    """
    text = read_text(file, "correct the path")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if "\0" in line:  # UTF-16 without its mark
            raise DataError(f"{file} line {number}: is not UTF-8 text; save the file as UTF-8.")
    return lines


def read_table(table: Path, required: Sequence[str], corpus: str, example: str) -> list[dict[str, str]]:
    """Return the rows of a tab-separated table without quoting, whose first line names its columns.

    Args:
        table: the file.
        required: the columns that must be there.
        corpus, example: name of the corpus, and a folder that holds such tables, for messages.

    Raises:
        DataError: there is no such file, a column is missing, or a row has another number of columns.
    """
    if not table.is_file():
        raise DataError(f"{table}: there is no such table; give the folder of one language, such as {example}.")
    lines = read_lines(table)
    head = lines[0].split("\t")
    for column in required:
        if column not in head:
            raise DataError(f"{table} line 1: the column '{column}' is missing; restore {corpus}'s own table.")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != len(head):
            raise DataError(
                f"{table} line {number}: has {len(cells)} columns where the first line has {len(head)}; mend the row."
            )
        rows.append(dict(zip(head, cells, strict=True)))
    return rows


def check_ids(splits: Mapping[str, Iterable[Utterance]]) -> None:
    """Refuse an id that two splits have.

    Raises:
        DataError: there is one.
    """
    split_of: dict[str, str] = {}
    for split, utterances in splits.items():
        for utterance in utterances:
            first = split_of.setdefault(utterance.id, split)
            if first != split:
                raise DataError(
                    f"id '{utterance.id}' occurs in the splits '{first}' and '{split}'; "
                    "an utterance must belong to one split, give it another id or remove one of the two."
                )


def _nothing_left(split: str, report: Report) -> str:
    if not report.dropped:
        return f"split '{split}' holds no utterances; check that the corpus folder is complete."
    name, reason = report.dropped[0]
    return (
        f"split '{split}': none of its {_count(len(report.dropped), 'utterance')} can be used "
        f"(the first, {name}: {reason.rstrip('.')}); mend the files and prepare again."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def write_audio(file: Path, samples: np.ndarray) -> None:
    """Write samples at the toolkit's rate in 16 bits, in the format that the file's ending names.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Through memory: soundfile waits for the disk at the end of every file it writes itself.
        encoded = io.BytesIO()
        soundfile.write(encoded, samples, audio.SAMPLE_RATE, subtype="PCM_16", format=file.suffix[1:])
        file.write_bytes(encoded.getvalue())
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(f"{file}: cannot be written ({error}); choose another folder with `--out`.") from None
