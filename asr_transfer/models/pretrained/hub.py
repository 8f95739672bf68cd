"""Finds the folder of a model by its name: one that was fetched from a package, or one on a model hub, which is copied
where there is a network."""

from __future__ import annotations

import re
from pathlib import Path

from asr_transfer.errors import ModelError
from asr_transfer.fetched import PRETRAINED, fetched_model
from asr_transfer.models.pretrained.provenance import LICENCES

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
FILES = ["*.json", "*.txt", "*.model", "model.safetensors", "model-*-of-*.safetensors", "adapter.*.safetensors"]
FILES += ["README.md", *LICENCES]
"""What a model's folder needs, and what tells its licence; weights in other formats or once more in another precision,
code and pictures are not fetched."""

_PICKLED = ["pytorch_model.bin", "pytorch_model-*-of-*.bin"]
_ADDRESS = re.compile(r"https?:/+(?:(?:www\.)?(?:huggingface\.co|hf\.co)/+([\w.-]+/[\w.-]+))?.*")


def is_hub_name(name: str | Path) -> bool:
    """Return whether a text is such as `openai/whisper-small`, and no path below a folder that exists."""
    text = str(name)
    return bool(_NAME.fullmatch(text)) and not Path(text.split("/")[0]).exists()


def local_folder(name: str | Path) -> Path:
    """Return the folder of a model: `name` itself where it exists, else what was fetched from a package by that name,
    else what the hub has under it, copied once.

    Raises:
        ModelError: There is no such folder, and nothing can be fetched under that name.
    """
    path = Path(name)
    if path.exists():
        return path
    if (fetched := fetched_model(str(name))) is not None:
        return fetched
    if str(name) in PRETRAINED:
        raise ModelError(
            f"{name}: there is no such folder; get the model of that name with `asr-transfer fetch {name}`."
        )
    if address := _ADDRESS.fullmatch(str(name)):
        mend = (
            f"give the model's name alone, `{address[1]}`" if address[1] else "copy what is there and give its folder"
        )
        raise ModelError(f"{name}: is an address, and a model is a folder or the name of one on the hub; {mend}.")
    if not is_hub_name(name):
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
        if not any(folder.glob("model*.safetensors")):
            huggingface_hub.snapshot_download(str(name), allow_patterns=[*FILES, *_PICKLED])
    except Exception as error:  # of whichever library of the network
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        known = "".join(f", or try `asr-transfer fetch {one}`" for one in PRETRAINED if one == path.name)
        raise ModelError(
            f"{name}: there is no such folder, and no model of that name could be fetched ({reason}); copy the model's "
            f"folder onto this machine and give its path{known}."
        ) from None
    return folder
