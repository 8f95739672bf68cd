"""Reads the JSON files of pretrained models, and refuses what git-lfs writes in place of any file of theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_transfer import textfiles
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.models.configuration import readable
from asr_transfer.plain import checked

_INNER = "feature_extractor"
"""Field of the settings that holds those of the feature extractor, where others stand beside them."""
_POINTER = b"version https://git-lfs"
"""How the text begins that stands in a copy of a repository for a large file which was not fetched."""


def read_json(file: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        ModelError: It is missing, may not be read, or is damaged.
    """
    try:
        text = textfiles.read_text(file, "copy the model again")
    except DataError as error:
        raise ModelError(str(error)) from None
    refuse_pointer(file)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ModelError(f"{file}: is no JSON object; copy the model again.")
    return found


def read_model_config(file: Path) -> dict[str, Any]:
    """Read a `config.json` of Transformers, and check what it says of every family.

    Raises:
        ModelError: It is missing or damaged, a field is of another type, or the weights are quantised.
    """
    config = read_json(file)
    kinds: dict[str, Any] = {"model_type": str, "architectures": list[str], "target_lang": str}
    try:
        for name, kind in kinds.items():
            checked(kind | None, config.get(name), str(file), name)
    except ConfigError as error:
        raise ModelError(f"{error} Copy the model again.") from None
    if config.get("quantization_config") is not None:
        raise ModelError(
            f"{file}: `quantization_config` says that the weights are quantised, which cannot be opened; take the "
            "model as it was before, in float32 or float16."
        )
    return config


def read_feature_settings(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """Return the file that tells what a model's feature extractor computes, and its settings, empty without a file.

    Raises:
        ModelError: The file is damaged.
        ConfigError: The settings are no mapping.
    """
    files = [folder / name for name in ("preprocessor_config.json", "processor_config.json")]
    file = next((file for file in files if file.is_file()), files[0])
    found = read_json(file) if file.is_file() else {}
    return file, checked(Mapping[str, Any], found.get(_INNER, found), str(file), _INNER)


def refuse_pointer(file: Path) -> None:
    """Refuse a file that names another one, which git-lfs has not fetched.

    Raises:
        ModelError: It is such a file.
    """
    with readable(file), file.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise ModelError(
                f"{file}: is a pointer of git-lfs and not the file itself; fetch it with `git lfs pull` where the "
                "model was cloned."
            )
