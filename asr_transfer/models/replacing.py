"""Puts a finished folder in the place of an older one in a single step, so that a kill leaves the one or the other."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from asr_transfer.textfiles import beside, clear_leftovers, leftovers

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def replace_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder beside `target`, flush it to disk, and put it in `target`'s place.

    Where the system cannot exchange two folders, the old one is set aside for a moment; after a kill in that moment,
    `restore` gives it its name back. The modes of all files and folders are those that the umask gives new ones. What
    killed writers left behind is removed.

    Raises:
        OSError: the folder cannot be written; what stood there is untouched.
    """
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    restore(target)
    clear_leftovers(target)
    partial, old = beside(target, "partial"), beside(target, "old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        write(partial)
        _obey_umask(partial)
        for file in partial.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        if not target.exists():
            os.replace(partial, target)
        elif not _exchange(partial, target):
            os.replace(target, old)
            os.replace(partial, target)
    finally:
        if old.exists() and not target.exists():
            os.replace(old, target)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    for path in leftovers(target, "old"):
        shutil.rmtree(path, ignore_errors=True)


def restore(target: Path) -> None:
    """Give a folder its name back that a killed `replace_folder` set aside, where nothing stands in its place."""
    with contextlib.suppress(OSError):
        target = Path(os.path.realpath(target))
        if not target.exists() and (found := leftovers(target, "old")):
            os.rename(found[-1], target)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two folders in one step; return whether the system can."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(second))


def _obey_umask(folder: Path) -> None:
    """Give files and folders the modes of newly made ones: libraries make some that only their owner can read."""
    with tempfile.TemporaryDirectory(prefix=".mode-", dir=folder) as scratch:
        file, below = Path(scratch, "file"), Path(scratch, "folder")
        file.touch()
        below.mkdir()
        modes = {False: stat.S_IMODE(file.stat().st_mode), True: stat.S_IMODE(below.stat().st_mode)}
    for path in (folder, *folder.rglob("*")):
        path.chmod(modes[path.is_dir()])
