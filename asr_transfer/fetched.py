"""Finds what `asr-transfer fetch` has put on this machine: the folder of corpora, and models and images by name."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from asr_transfer.cache import home_folder
from asr_transfer.errors import ConfigError, DataError

STAMP = "fetched.json"
"""File that says of a fetched folder what it was made of; without it the folder is not complete."""

IMAGES = "images"
"""Folder of fetched image sets, and of what belongs to them, below `data_folder()`."""

MODELS = "models"
"""Folder of fetched models below `data_folder()`."""

PRETRAINED = ("whisper-tiny",)
"""Names of the models that `asr-transfer fetch` knows."""


def data_folder() -> Path:
    """Return where fetched corpora and models are kept: `$ASR_TRANSFER_DATA`, else `~/.local/share/asr-transfer`.

    Raises:
        ConfigError: The variable is not set, and there is no home folder.
    """
    if named := os.environ.get("ASR_TRANSFER_DATA"):
        return Path(os.path.expanduser(named))
    try:
        return home_folder() / ".local" / "share" / "asr-transfer"
    except ConfigError:
        raise ConfigError("there is no home folder for corpora; set ASR_TRANSFER_DATA to a folder.") from None


def fetched_model(name: str) -> Path | None:
    """Return the folder of a fetched model of this name, such as `whisper-tiny`, or None where there is none."""
    if name in ("", "..") or Path(name).name != name:
        return None
    with contextlib.suppress(ConfigError):  # no home folder, so that nothing was fetched
        folder = data_folder() / MODELS / name
        return folder if (folder / "config.json").is_file() else None
    return None


def fetched_images(name: str) -> Path:
    """Return the folder of a fetched image set, or of what is fetched for one, such as `mnist` or `photographs`.

    Raises:
        DataError: It was not fetched; the sentence names the command.
    """
    folder = data_folder() / IMAGES / name
    if not (folder / STAMP).is_file():
        raise DataError(f"{folder}: there is no '{name}' there; get it with `asr-transfer fetch {name}`.")
    return folder
