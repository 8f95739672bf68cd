"""Adds the record of a finished run to those that the tables of the pages come from.

    python -m docs.add_record runs/fsdd          as docs/results/fsdd.json
    python -m docs.add_record runs/try an4       as docs/results/an4.json

Places of this machine are written as anyone would give them: below the checkout and beside it relative to it, below the
home folder with `~`. What the run measured stays as it is. A run that is not finished, or of code that was changed
since its commit, is refused: nobody could repeat it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_transfer.errors import AsrTransferError, DataError
from asr_transfer.plain import to_json
from asr_transfer.runs.emptying import RECORD
from asr_transfer.runs.record import read_record
from asr_transfer.textfiles import write_text
from docs import records

PLACES = ("command", "attempts", "config", "files", "data")
"""Parts of a record that name places."""


def add(folder: Path, name: str) -> Path:
    """Write a run's record to the records of the pages, and return the file.

    Args:
        folder: run folder.
        name: name of the record.

    Raises:
        DataError: the folder holds no run, or one that is not finished, whose code had no commit or was changed, or
            that names a place which only this machine has.
    """
    values = read_record(folder)
    file = folder / RECORD
    if values["status"] != "finished":
        raise DataError(f"{file}: the run is not finished; go on with it by --resume.")
    for attempt in values["attempts"]:
        if attempt["changes"] is not None or attempt["commit"] is None:
            raise DataError(f"{file}: was made by code that is no commit; commit it and run again in a fresh folder.")
    shown = {**values, **{part: portable(values[part], folder) for part in PLACES if part in values}}
    if left := sorted(_absolute({part: shown.get(part) for part in PLACES})):
        raise DataError(f"{file}: names '{left[0]}', a place of this machine; run from the checkout with another path.")
    written = records.RESULTS / f"{name}.json"
    write_text(written, to_json(shown, indent=2) + "\n")
    return written


def portable(values: Any, folder: Path) -> Any:
    """Return part of a record with its places written as they would be given in the checkout that holds a run folder.

    Args:
        values: plain values.
        folder: run folder.
    """
    if isinstance(values, Mapping):
        return {key: portable(item, folder) for key, item in values.items()}
    if isinstance(values, list):
        return [portable(item, folder) for item in values]
    if not isinstance(values, str):
        return values
    home = _checkout(folder)
    for place, instead in ((home, ""), (home.parent, "../"), (Path.home(), "~/")):
        values = re.sub(rf"(?<![\w.~/-]){re.escape(str(place))}{os.sep}", instead, values)
    return values


def _checkout(folder: Path) -> Path:
    """Return the folder with the checkout that a run folder lies in, or that it lies directly below."""
    absolute = folder.absolute()
    return next((place for place in absolute.parents if (place / "pyproject.toml").is_file()), absolute.parent)


def _absolute(values: Any) -> set[str]:
    if isinstance(values, Mapping):
        return {found for item in values.values() for found in _absolute(item)}
    if isinstance(values, list):
        return {found for item in values for found in _absolute(item)}
    return set(re.findall(r"(?<![\w.~*/])/\w[\w./~-]*", values)) if isinstance(values, str) else set()


def main(arguments: list[str]) -> int:
    """Add the record of the run that is named, under its folder's name or the one that is given."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m docs.add_record RUN [NAME]", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        file = add(folder, (arguments[1:] or [folder.name])[0])
    except AsrTransferError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{file}: written; `python -m docs.update_tables` fills the pages from it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
