"""Reads what stands in a model's folder beside its weights: `config.yaml`, by whoever needs no network for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from asr_transfer import textfiles
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.models.replacing import restore
from asr_transfer.plain import checked

FORMAT = 1
_OTHERS = {
    "profile.yaml": "is a speaker's profile, not a model; give the model that it was made with",
    "keywords.yaml": "is a set of keywords, not a model; give the model that listens for them",
}
"""What a folder without a model is, by the file that tells it."""
LAST_LANGUAGE = "language"
"""Where `origin` names the head that a model was taught or adapted in last, which commands take by default."""


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model folder's `config.yaml`, and check what stands in it beside the model's own description.

    Raises:
        ModelError: it is missing, may not be read, is damaged, or its heads or origin are of another type.
    """
    restore(folder)
    file = folder / "config.yaml"
    with readable(file):
        if not file.is_file():
            for name, words in _OTHERS.items():
                if (folder / name).is_file():
                    raise ModelError(f"{folder}: {words}.")
            weighed = any(any(folder.glob(name)) for name in ("*.safetensors", "pytorch_model*.bin"))
            mend = (
                "beside its weights there must be that file, or the config.json of a pretrained model; copy the model "
                "again."
                if weighed
                else "give a folder written by `train` or `adapt`."
            )
            raise ModelError(f"{folder}: is not a model folder (it holds no config.yaml); {mend}")
    config = read_yaml(file, FORMAT, "model")
    try:
        heads = checked(Mapping[str, int], config.get("heads"), str(file), "heads")
        config["origin"] = checked(Mapping[str, Any] | None, config.get("origin"), str(file), "origin") or {}
    except ConfigError as error:
        raise ModelError(str(error)) from None
    if not heads and "base" not in config:
        raise ModelError(f"{file}: `heads` names none; copy the model again.")
    return config


def read_yaml(file: Path, number: int, what: str) -> dict[str, Any]:
    """Read a plain YAML mapping whose field `format` is `number`.

    Args:
        file: file that must exist.
        number: number of the format.
        what: the folder holds, such as `model`; for messages.

    Raises:
        ModelError: it may not be read, is damaged, or of another format.
    """
    try:
        text = textfiles.read_text(file, f"copy the {what} again")
    except DataError as error:
        raise ModelError(str(error)) from None
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" line {line + 1}" if line is not None else ""
        raise ModelError(f"{file}{place}: is not plain YAML; copy the {what} again.") from None
    if not isinstance(config, dict) or config.get("format") != number or isinstance(config["format"], bool):
        found = config.get("format") if isinstance(config, dict) else None
        raise ModelError(
            f"{file}: `format` must be {number}, got {found!r}; the {what} is of another version or damaged."
        )
    return config


def refuse_foreign(target: Path, marker: str, what: str) -> None:
    """Refuse to replace something other than a folder of the same sort, which holds the file `marker`.

    Raises:
        ModelError: `target` is a file or holds other files.
    """
    if target.exists() and not target.is_dir():
        raise ModelError(f"{target}: is a file; choose another folder for the {what}.")
    others = sorted(path.name for path in target.iterdir()) if target.is_dir() else []
    if others and marker not in others:
        raise ModelError(
            f"{target}: holds other files ({others[0]}) that a {what} would replace; choose another folder."
        )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system refuses while `path` is looked at into a sentence.

    Raises:
        ModelError: it may not be read.
    """
    try:
        yield
    except OSError as error:
        raise ModelError(textfiles.unreadable(path, error, "copy it again")) from None
