"""Finds the folder where computed features are kept from run to run."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from asr_transfer import textfiles
from asr_transfer.errors import ConfigError

VARIABLE = "ASR_TRANSFER_CACHE"
"""Names the folder in the environment."""


def cache_folder() -> Path:
    """Return the folder, made where it is missing: `$ASR_TRANSFER_CACHE`, else `~/.cache/asr-transfer`.

    Where there is no home folder, or none that can be written, it is a temporary one, which a line on the standard
    error names. This process removes it at its end; those that it starts meanwhile share it.

    Raises:
        ConfigError: the folder that the variable names cannot be written, or there is no temporary one either.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return _usable(Path(os.path.expanduser(named)))
    try:
        return _usable(home_folder() / ".cache" / "asr-transfer")
    except ConfigError as error:
        reason = str(error).split(";")[0]
    try:
        made = Path(tempfile.mkdtemp(prefix="asr-transfer-cache-"))
    except OSError:
        raise ConfigError(
            f"{reason}, and there is no temporary folder either; set {VARIABLE} to a folder that can be written."
        ) from None
    if int(os.environ.get("RANK", "0")) == 0:  # of several processes on one work, the first speaks
        print(
            f"asr-transfer: {reason}, so computed features are kept in {textfiles.spelled(made)} until this command "
            f"ends; set {VARIABLE} to a folder that keeps them.",
            file=sys.stderr,
        )
    os.environ[VARIABLE] = str(made)
    atexit.register(_remove, made, os.getpid())
    return made


def home_folder() -> Path:
    """Return the user's home folder.

    Raises:
        ConfigError: the environment names none, and the system does not know the user.
    """
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        raise ConfigError("there is no home folder; set HOME to one.") from None
    if not home.is_absolute():
        raise ConfigError("there is no home folder; set HOME to one.")
    return home


def _usable(folder: Path) -> Path:
    textfiles.require_writable_folder(folder, VARIABLE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(textfiles.unwritable(folder, error, VARIABLE)) from None
    return folder


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
        if os.environ.get(VARIABLE) == str(folder):
            del os.environ[VARIABLE]
