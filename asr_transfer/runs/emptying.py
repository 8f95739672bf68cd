"""Empties a run folder for a new run: everything in it is the old run's, whatever command or recipe wrote it.

What is deleted is first moved aside in the folder, `run.json` last. A process that is killed meanwhile leaves either
the old run, which is put back, or nothing of it: never a part of it that a new run would take for its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from asr_transfer.errors import ConfigError
from asr_transfer.runs.lock import FILE as LOCK

RECORD = "run.json"
_ASIDE, _REMOVED = ".removing", ".removed"


def holds_run(folder: Path) -> bool:
    """Return whether a folder holds a run, or what is left of one that is being removed."""
    return any((folder / name).exists() for name in (RECORD, _ASIDE, _REMOVED))


def in_use(folder: Path) -> bool:
    """Return whether anything stands where a run folder is to be, so that it is not simply made."""
    return folder.is_file() or (folder.is_dir() and any(folder.iterdir()))


def empty(folder: Path, inputs: Mapping[str, Path]) -> None:
    """Delete all that a run folder holds. The folder itself stays, and so does what symbolic links in it lead to.

    Args:
        folder: folder that holds a `run.json` and is locked by this process.
        inputs: paths that the new run will read, by the names of their settings.

    Raises:
        ConfigError: an input lies in the folder, another disk is mounted in it, or it cannot be written.
    """
    _require_free(folder, inputs)
    aside = folder / _ASIDE
    moved: list[Path] = []
    children = [path for path in folder.iterdir() if path.name not in (LOCK, RECORD, _REMOVED)]
    try:
        aside.mkdir()
        for path in [*children, folder / RECORD]:
            os.rename(path, aside / path.name)
            moved.append(path)
    except OSError as error:
        for path in moved:
            os.rename(aside / path.name, path)
        if aside.is_dir():
            aside.rmdir()
        raise ConfigError(
            f"{error.filename or folder}: cannot be removed ({error.strerror}); nothing was, give another --out."
        ) from None
    shutil.rmtree(folder / _REMOVED, ignore_errors=True)
    os.rename(aside, folder / _REMOVED)
    shutil.rmtree(folder / _REMOVED, ignore_errors=True)  # links are deleted, not followed


def restore(folder: Path) -> None:
    """Take back or finish what a process that was killed while it emptied the folder left behind."""
    aside = folder / _ASIDE
    if aside.is_dir() and not aside.is_symlink():
        for path in aside.iterdir():
            os.rename(path, folder / path.name)
        aside.rmdir()
    if not (folder / _REMOVED).is_symlink():
        shutil.rmtree(folder / _REMOVED, ignore_errors=True)


def _require_free(folder: Path, inputs: Mapping[str, Path]) -> None:
    home = folder.resolve()
    for name, path in inputs.items():
        if name != "out" and path.exists() and path.resolve().is_relative_to(home):
            raise ConfigError(
                f"`{name}`: {path} lies in {folder}, which --overwrite empties; give another --out, or move it away."
            )
    for place, names, _ in os.walk(folder):
        for path in (Path(place) / name for name in names):
            if os.path.ismount(path):
                raise ConfigError(f"{path}: is a disk mounted where --overwrite would delete; give another --out.")
