"""Finds what `asr-transfer fetch` has put on this machine: the folder of fetched corpora, and models by their names."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from asr_transfer.cache import home_folder
from asr_transfer.errors import ConfigError

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
