"""Tells whether a run may go on: settings and data now against those that it began with.

Data are compared by their checksums, whatever their place: a run folder that was moved, a path that is written in
another way and a corpus that is mounted elsewhere are no change. So are settings that are paths: a file or a model
that is given by an option is compared by its content; manifests and folders of recordings by their utterances, which a
record keeps as data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.plain import spelled_infinity, to_plain
from asr_transfer.textfiles import read_text

NOT_COMPARED = ("out",)
"""Settings that say only where the run folder is, which is plain."""


def plain(value: Any) -> Any:
    """Return settings as a record has them: paths as text, tuples as lists, infinity as "inf"."""
    return spelled_infinity(to_plain(value))


def paths(config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the path of every setting that is one, `also.0` and `also.1` of several.

    A text is one where it names a folder that is there, as corpora may be given.
    """
    for name, value in _leaves(config).items():
        several = isinstance(value, list | tuple)
        for number, item in enumerate(value if several else [value]):
            if isinstance(item, Path) or (isinstance(item, str) and os.sep in item and os.path.isdir(item)):
                yield f"{name}.{number}" if several else name, Path(item)


def given_files(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return path and checksum of every setting that is a file or a model, for a run record."""
    found = {}
    for name, path in paths(config):
        checksum = None if name in NOT_COMPARED else content(path)
        if checksum is not None:
            found[name] = {"path": str(path), "checksum": checksum}
    return found


def content(path: Path) -> str | None:
    """Return a short hash of a file, or of a model, a profile or a run that has one; None for anything else.

    Manifests are none of these: what they say is compared as data. So are folders of recordings.
    """
    try:
        if path.is_file():
            return None if path.suffix == ".jsonl" else _hash([path])
        if path.is_dir():
            places = [p for p in (path, path / "model", path / "profile") if any(p.glob("*.safetensors"))]
            kinds = ("*.safetensors", "*.txt", "*.yaml")
            files = [file for place in places for kind in kinds for file in place.glob(kind)]
            return _hash(sorted(files)) if files else None
    except OSError:
        pass  # whoever reads it says so
    return None


def require_same_settings(
    before: Mapping[str, Any], config: Mapping[str, Any], files: Mapping[str, Mapping[str, str]], folder: Path
) -> None:
    """Refuse settings, files and models that are not those of an earlier attempt.

    Args:
        before: record of the earlier attempt.
        config: settings now; paths are `Path`s.
        files: result of `given_files` for them.
        folder: run folder.

    Raises:
        ConfigError: something differs; it is named.
    """
    known, has_data = before.get("files") or {}, bool(before.get("data"))

    def compared(name: str) -> bool:
        """Return whether what a path leads to is compared by its checksum, as a file or as data."""
        return name in known and name in files if name in known or name in files else has_data

    old, new = _leaves(before.get("config") or {}), _leaves(config)
    for key in sorted(old.keys() | new.keys()):
        if key in NOT_COMPARED:
            continue
        if not _same(old.get(key), new.get(key), key, compared):
            raise ConfigError(
                f"{folder}: cannot be resumed, for `{key}` was {old.get(key)!r} and is now {plain(new.get(key))!r}; "
                f"{_mend('the same settings')}"
            )
    for name in sorted(known.keys() & files.keys()):
        require_same_content(name, known[name], files[name], folder)


def require_same_content(name: str, before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse data or a file whose checksum is not that of an earlier attempt.

    Raises:
        ConfigError: it is not.
    """
    if before.get("checksum") in (None, now["checksum"]):
        return

    def told(entry: Mapping[str, Any]) -> str:
        amount = "".join(f"{entry[unit]} {unit}, " for unit in ("utterances", "items") if unit in entry)
        return f"{entry.get('path')} ({amount}checksum {entry['checksum']})"

    raise ConfigError(
        f"{folder}: cannot be resumed, for the content of `{name}` has changed: the run began with {told(before)}, and "
        f"now there is {told(now)}; {_mend('what it began with')}"
    )


def _mend(same: str) -> str:
    return f"give {same}, or another --out (--overwrite would delete all that the run has done)."


def _same(old: Any, new: Any, key: str, compared: Callable[[str], bool]) -> bool:
    """Return whether a setting is as it was; of a path that leads elsewhere, whether its content will say so."""
    if plain(new) == plain(old):  # a record from before infinity was written as text has the number
        return True
    if isinstance(new, list | tuple) and isinstance(old, list):
        return len(new) == len(old) and all(
            _same(one, other, f"{key}.{number}", compared)
            for number, (one, other) in enumerate(zip(old, new, strict=True))
        )
    if not isinstance(old, str) or not isinstance(new, str | Path):
        return False
    if isinstance(new, str) and not (os.sep in old + new and Path(new).is_dir()):
        return False  # a name, and no folder of manifests
    if os.path.abspath(old) == os.path.abspath(new):
        return True
    return os.path.exists(new) and compared(key)


def _leaves(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping):
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found.update(_leaves(value, f"{prefix}.{key}" if prefix else str(key)))
    return found


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        settings = _without_origin(file) if file.name == "config.yaml" else None
        if len(files) > 1:
            digest.update(file.name.encode())
        if settings is not None:
            digest.update(settings)
            continue
        with file.open("rb") as opened:
            while part := opened.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()[:16]


def _without_origin(file: Path) -> bytes | None:
    """Return what a model's settings say without where it comes from, to which later commands add."""
    try:
        values = yaml.safe_load(read_text(file))
        return json.dumps({k: v for k, v in values.items() if k != "origin"}, sort_keys=True).encode()
    except (DataError, yaml.YAMLError, AttributeError, TypeError):
        return None
