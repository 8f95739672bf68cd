"""Reads the record of a finished run, its fields checked before anybody relies on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_transfer.errors import DataError, nearest_hint
from asr_transfer.evaluation.normalisation import DEFAULT, PROFILES
from asr_transfer.runs.record import read_record

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "status": str,
    "command": str,
    "config": dict,
    "scores": dict,
    "data": dict,
    "versions": dict,
    "time": dict,
    "history": list,
    "attempts": list,
    "started": str,
    "finished": str,
    "commit": str,
}
_REQUIRED = ("status", "command", "config", "scores")


def read_finished(folder: Path) -> dict[str, Any]:
    """Return the record of a finished run.

    Raises:
        DataError: it is missing or damaged, or the run is not finished.
    """
    record = read_record(folder)
    file = folder / "run.json"
    for name, kind in _FIELDS.items():
        value = record.get(name)
        if value is None and name not in _REQUIRED:
            continue
        if not isinstance(value, kind):
            wanted = {str: "text", dict: "an object", list: "a list"}[kind]  # type: ignore[index]
            raise DataError(f"{file}: `{name}` must be {wanted}, got {value!r}; the record is damaged, run again.")
    for name, entry in (record.get("data") or {}).items():
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise DataError(f"{file}: `data.{name}.path` must be text; the record is damaged, run again.")
    if record["status"] != "finished":
        raise DataError(f"{file}: `status` is '{record['status']}'; finish the run with --resume first.")
    return record


def profile_of(record: Mapping[str, Any], where: Path | str = "run.json") -> str:
    """Return the normalisation profile that a run record's scores state; `none` where they state none.

    Raises:
        DataError: a profile is not known, or the record states several.
    """
    found: dict[str, str] = {}

    def search(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                if key == "profile":
                    found[f"{path}.{key}"] = below
                search(below, f"{path}.{key}")

    search(record.get("scores", {}), "scores")
    for field_, name in found.items():
        if not isinstance(name, str) or name not in PROFILES:
            raise DataError(
                f"{where}: `{field_}` is {name!r}, which is no normalisation.{nearest_hint(str(name), PROFILES)}"
            )
    if len(set(found.values())) > 1:
        raise DataError(f"{where}: `scores` states several normalisations ({', '.join(sorted(set(found.values())))}).")
    return next(iter(found.values()), DEFAULT)
