"""Opens folders of pretrained models by the family that their `config.json` names."""

from __future__ import annotations

from pathlib import Path

from asr_transfer.errors import ModelError
from asr_transfer.models.contract import Criterion
from asr_transfer.models.pretrained import whisper_encoder, whisper_folder  # noqa: F401  # register their families
from asr_transfer.models.pretrained.family import FAMILIES, Family, Pretrained
from asr_transfer.models.pretrained.json_files import read_json

CONFIG = "config.json"


def is_foreign(folder: str | Path) -> bool:
    """Return whether a folder holds a model of another house: a `config.json`, and no `config.yaml` as ours do."""
    path = Path(folder)
    return (path / CONFIG).is_file() and not (path / "config.yaml").is_file()


def open_pretrained(folder: str | Path, criterion: Criterion | None = None) -> Pretrained:
    """Read a pretrained model, in evaluation mode and float32 on the CPU; nothing of the folder is executed.

    Args:
        folder: Folder with `config.json` and weights.
        criterion: Loss that the model shall be trained by; None takes the model as it was published: of an
            encoder-decoder all of it, where that can be opened.

    Raises:
        ModelError: Something is missing or damaged, the family is unknown or knows no such criterion, or a library is
            not installed.
    """
    path = Path(folder)
    config = read_json(path / CONFIG)
    return _found(path, config.get("model_type"), criterion).open(path, config)


def criterion_of(folder: str | Path, criterion: Criterion | None = None) -> Criterion:
    """Return the loss by which a pretrained model would be trained here; see `open_pretrained`, which opens it.

    Raises:
        ModelError: As there.
    """
    path = Path(folder)
    return _found(path, read_json(path / CONFIG).get("model_type"), criterion).criterion


def _found(path: Path, model_type: object, criterion: Criterion | None) -> Family:
    able = [one for one in FAMILIES.values() if model_type in one.model_types]
    if not able:
        known = sorted(set().union(*(one.model_types for one in FAMILIES.values())))
        raise ModelError(
            f"{path / CONFIG}: `model_type` is {model_type!r}, a family that cannot be opened; known are "
            f"{', '.join(known)}."
        )
    fitting = [one for one in able if criterion in (None, one.criterion)]
    if not fitting:
        raise ModelError(
            f"{path}: models of the type {model_type} cannot be trained by {criterion}, but by "
            f"{' or '.join(one.criterion for one in able)}; take another model."
        )
    # As it was published: an encoder-decoder is more than its encoder.
    return max(fitting, key=lambda one: one.criterion == "cross-entropy")
