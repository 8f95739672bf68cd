"""Finds the folder of a model that is named by its place on a model hub, and fetches it where there is a network."""

from __future__ import annotations

import re
from pathlib import Path

from asr_transfer.errors import ModelError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
"""What a model's folder needs; weights in other formats, code and pictures are not fetched."""


def is_hub_name(name: str | Path) -> bool:
    """Return whether a text is such as `openai/whisper-small`, and no path below a folder that exists."""
    text = str(name)
    return bool(_NAME.fullmatch(text)) and not Path(text.split("/")[0]).exists()


def local_folder(name: str | Path) -> Path:
    """Return the folder of a model: `name` itself where it exists, else what the hub has under it, fetched once.

    Raises:
        ModelError: There is no such folder, and nothing can be fetched under that name.
    """
    path = Path(name)
    if path.exists() or not is_hub_name(name):
        return path
    try:
        import huggingface_hub
    except ImportError:
        raise ModelError(
            f"{name}: there is no such folder, and to fetch a model of that name huggingface_hub is needed: "
            "pip install 'asr-transfer[pretrained]', or give the folder of a copy."
        ) from None
    try:
        folder = Path(huggingface_hub.snapshot_download(str(name), allow_patterns=FILES))
        if not any(folder.glob("*.safetensors")):
            huggingface_hub.snapshot_download(str(name), allow_patterns=[*FILES, "pytorch_model*"])
    except Exception as error:  # of whichever library of the network
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise ModelError(
            f"{name}: there is no such folder, and no model of that name could be fetched ({reason}); copy the model's "
            "folder onto this machine and give its path."
        ) from None
    return folder
