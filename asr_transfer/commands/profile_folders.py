"""Finds the folders of profiles and opens them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from asr_transfer.errors import ModelError
from asr_transfer.remarks import remark
from asr_transfer.textfiles import unreadable

if TYPE_CHECKING:
    from asr_transfer.adaptation.profile import Profile

DIGITS = 12
"""So many hex digits of a checksum are shown."""


def open_profile(path: Path) -> Profile:
    """Read a profile folder, or that of a run folder of `adapt`.

    Raises:
        ModelError: it is missing, damaged or cannot be read.
    """
    from asr_transfer.adaptation.profile import Profile

    folder = profile_folder(path)
    with told_by_sentence():
        return Profile.load(folder)


def profile_folder(path: Path) -> Path:
    """Return `path`, or its `profile` folder where it is the run folder of `adapt`.

    Raises:
        ModelError: there is no such folder.
    """
    if not path.is_dir():
        raise ModelError(f"{path}: there is no such profile folder; `asr-transfer profile list` names those there are.")
    return path if _holds_profile(path) or not _holds_profile(path / "profile") else path / "profile"


def find_profiles(folder: Path) -> Iterator[Path]:
    """Yield all profile folders below `folder` and itself, sorted; links and hidden folders are passed over.

    Raises:
        ModelError: `folder` is no folder.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder; name the one to look for profiles in.")

    def refused(error: OSError) -> None:
        reason = unreadable(error.filename, error, "give another folder")
        if error.filename == str(folder):
            raise ModelError(reason) from None
        remark(reason.split(";")[0], str(error.filename))

    for current, below, _ in os.walk(folder, onerror=refused, followlinks=False):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if _holds_profile(Path(current)):
            yield Path(current)


def _holds_profile(folder: Path) -> bool:
    from asr_transfer.adaptation.profile import FACTS

    try:
        return (folder / FACTS).is_file()
    except OSError:
        return False


@contextmanager
def told_by_sentence() -> Iterator[None]:
    """Turn what the file system refuses into an error of ours."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{error.filename}: {error.strerror}; check its rights and those of its folder.") from None
