"""Knows what of an experiment is finished: the one place where experiments resume, refuse and overwrite.

An experiment has a run folder with a record, its parts have run folders below it, and what is too small for a folder of
its own is a line of a file. Whatever is there must be of the same settings and data, or it is refused by name; what is
finished is not done again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Generic, TypeVar

from asr_transfer.data.items import Items
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from asr_transfer.experiments.core.tables import Table, markdown, show
from asr_transfer.plain import to_json, to_plain
from asr_transfer.runs.emptying import RECORD
from asr_transfer.runs.record import RunRecord, read_record
from asr_transfer.textfiles import append_text, lines_of, read_text, write_text

Data = Mapping[str, tuple[str, Sequence[Utterance]]]
"""Utterances by name, each with the path that they are from."""

ItemData = Mapping[str, tuple[str, Items]]
"""Items that are no utterances, by name, each with the path or name that they are from."""

Result = TypeVar("Result")


class Ledger(RunRecord):
    """The record of an experiment; see `RunRecord` for what it is given and what it refuses."""

    def publish(self, scores: Mapping[str, Any], tables: Mapping[str, Sequence[Table]], **more: Any) -> None:
        """Finish the experiment: keep scores and tables in `run.json`, write `table.md`, and print the tables.

        Args:
            scores: Figures, as plain values or as dataclasses of such.
            tables: Tables by the name that pages know them by.
            more: Further entries of the record.
        """
        every = [table for own in tables.values() for table in own]
        write_text(self.folder / "table.md", markdown(every))
        kept = {name: [table.to_plain() for table in own] for name, own in tables.items()}
        self.finish(scores=to_plain(scores), tables=kept, **more)
        show(every)

    def tables(self) -> list[Table]:
        """Return the tables of an experiment that is finished."""
        return [Table.from_plain(table) for own in self.values.get("tables", {}).values() for table in own]


def open_part(folder: Path, settings: Mapping[str, Any], data: Data, items: ItemData | None = None) -> RunRecord:
    """Open the run folder of a part of an experiment, which goes on where it is there.

    Args:
        folder: Its run folder.
        settings: Settings of the part.
        data: Utterances that it is made of.
        items: Other items that it is made of.

    Raises:
        ConfigError: It was begun with other settings or data.
    """
    record = RunRecord(folder, settings, resume=(folder / RECORD).is_file())
    for name, (path, utterances) in data.items():
        record.data(name, path, utterances)
    for name, (path, content) in (items or {}).items():
        record.data(name, path, content)
    return record


def read_finished(folder: Path) -> dict[str, Any]:
    """Return the record of a finished part.

    Raises:
        DataError: It is not finished.
    """
    record = read_record(folder)
    if record.get("status") != "finished":
        raise DataError(f"{folder}: is not finished; go on with --resume.")
    return record


def renew(folder: Path) -> None:
    """Delete a folder of results that an experiment writes anew each time it ends."""
    shutil.rmtree(folder, ignore_errors=True)


def write_finished(folder: Path, experiment: Mapping[str, Any], **values: Any) -> None:
    """Write the record of a part that the experiment itself has summed up, so that it is compared like a run.

    Args:
        folder: Run folder of the part.
        experiment: Record of the experiment, whose command, code and data made the part.
        values: Configuration, scores and costs of the part.
    """
    shared = ("format", "command", "started", "versions", "commit", "attempts", "data")
    record = {name: experiment[name] for name in shared if name in experiment}
    record |= {"status": "finished", "history": [], **values}
    write_text(folder / RECORD, to_json(record, 2) + "\n")


def mean_seconds(folder: Path, parts: Sequence[str]) -> float:
    """Return the mean processor time of the trainings of finished parts, 0 of none."""
    return fmean(read_finished(folder / part)["training"]["cpu_seconds"] for part in parts) if parts else 0.0


class Lines(Generic[Result]):
    """Results of small tasks, each a line of a file that is written as soon as it is there.

    Args:
        file: File of JSON lines; made with the first of them. A last line that was cut off is taken out of it.
        what: Name of a result, for messages.
        read: Function that makes a result of plain values.
        key: Function that returns what makes a result the same as another.

    Raises:
        DataError: A line is no such result.
    """

    def __init__(
        self, file: Path, what: str, read: Callable[[Any], Result], key: Callable[[Result], tuple[Any, ...]]
    ) -> None:
        self._file, self._key = file, key
        self._found: dict[tuple[Any, ...], Result] = {}
        lines = lines_of(read_text(file).removesuffix("\n")) if file.is_file() else []
        for number, line in enumerate(lines, start=1):
            try:
                result = read(json.loads(line))
                self._found[key(result)] = result
            except (json.JSONDecodeError, TypeError, KeyError, IndexError):
                if number == len(lines):
                    # The run was killed while writing; the task is done again.
                    write_text(file, "".join(f"{kept}\n" for kept in lines[:-1]))
                    break
                raise DataError(f"{file} line {number}: is no {what}; remove the line, it will be run again.") from None
            self._found[key(result)] = result

    def __contains__(self, key: object) -> bool:
        return key in self._found

    def __iter__(self) -> Iterator[Result]:
        return iter(self._found.values())

    def __getitem__(self, key: tuple[Any, ...]) -> Result:
        return self._found[key]

    def add(self, result: Result) -> None:
        """Keep a result."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # As Python reads it again: settings may be infinite, of which other JSON knows nothing.
        append_text(self._file, json.dumps(to_plain(result), ensure_ascii=False) + "\n")
        self._found[self._key(result)] = result


class Kept:
    """Results that are made one after the other, each kept under its name.

    Args:
        file: File that keeps them; None keeps nothing.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._lines = None if file is None else Lines(file, "result", dict, lambda one: (one["name"],))

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a result as plain values, made only if it is not kept."""
        if self._lines is None:
            return to_plain(make())
        if (name,) not in self._lines:
            self._lines.add({"name": name, "made": to_plain(make())})
        return self._lines[name,]["made"]
