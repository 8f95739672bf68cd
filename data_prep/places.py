"""Names the folder where fetched corpora are kept."""

from __future__ import annotations

import os
from pathlib import Path

from asr_transfer.cache import home_folder
from asr_transfer.errors import ConfigError


def data_folder() -> Path:
    """Return where fetched corpora are kept: `$ASR_TRANSFER_DATA`, else `~/.local/share/asr-transfer`.

    Raises:
        ConfigError: The variable is not set, and there is no home folder.
    """
    if named := os.environ.get("ASR_TRANSFER_DATA"):
        return Path(os.path.expanduser(named))
    try:
        return home_folder() / ".local" / "share" / "asr-transfer"
    except ConfigError:
        raise ConfigError("there is no home folder for corpora; set ASR_TRANSFER_DATA to a folder.") from None
