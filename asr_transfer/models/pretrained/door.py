"""Opens folders of pretrained models by the family that their `config.json` names."""

from __future__ import annotations

from pathlib import Path

from asr_transfer.errors import ModelError
from asr_transfer.models.configuration import readable
from asr_transfer.models.contract import Criterion
from asr_transfer.models.pretrained import (  # noqa: F401  # registers their families
    ctc_folder,
    torchaudio_bundle,
    whisper_encoder,
    whisper_folder,
)
from asr_transfer.models.pretrained.family import FAMILIES, Family, Pretrained
from asr_transfer.models.pretrained.json_files import read_model_config
from asr_transfer.models.pretrained.speechbrain_folder import SETTINGS, open_speechbrain

CONFIG = "config.json"


def is_foreign(folder: str | Path) -> bool:
    """Return whether a folder holds a model of another house, and no `config.yaml` as ours do.

    That is a `config.json` as Transformers writes it, or SpeechBrain's `hyperparams.yaml`.
    """
    path = Path(folder)
    with readable(path):
        return any((path / name).is_file() for name in (CONFIG, SETTINGS)) and not (path / "config.yaml").is_file()


def open_pretrained(folder: str | Path, criterion: Criterion | None = None, language: str | None = None) -> Pretrained:
    """Read a pretrained model, in evaluation mode and float32 on the CPU; nothing of the folder is executed.

    Args:
        folder: Folder with `config.json` and weights.
        criterion: Loss that the model shall be trained by; None takes the model as it was published: of an
            encoder-decoder all of it, where that can be opened.
        language: Language that is asked for, of a model that has weights of their own for several; None for the one
            that the folder names. Families find it as `target_lang` in their config.

    Raises:
        ModelError: Something is missing or damaged, the family is unknown or knows no such criterion, or a library is
            not installed.
    """
    path = Path(folder)
    if (path / SETTINGS).is_file():
        if criterion == "cross-entropy":
            raise ModelError(
                f"{path}: SpeechBrain's models of CTC cannot be trained by {criterion}; take another model."
            )
        return open_speechbrain(path)
    config = read_model_config(path / CONFIG)
    if language is not None:
        config["target_lang"] = language
    return _found(path, config.get("model_type"), criterion).open(path, config)


def pretrained_heads(folder: str | Path) -> list[str]:
    """Return the names of the heads that a pretrained model has for whoever asks for them, opening it if need be.

    Raises:
        ModelError: As of `open_pretrained`.
    """
    path = Path(folder)
    if (path / SETTINGS).is_file():
        return [ctc_folder.HEAD]
    config = read_model_config(path / CONFIG)
    known = _found(path, config.get("model_type"), None).heads(path, config)
    return open_pretrained(path).model.head_names() if known is None else known


def criterion_of(folder: str | Path, criterion: Criterion | None = None) -> Criterion:
    """Return the loss by which a pretrained model would be trained here; see `open_pretrained`, which opens it.

    Raises:
        ModelError: As there.
    """
    path = Path(folder)
    if (path / SETTINGS).is_file():
        return "ctc"
    return _found(path, read_model_config(path / CONFIG).get("model_type"), criterion).criterion


def _found(path: Path, model_type: object, criterion: Criterion | None) -> Family:
    able = [one for one in FAMILIES.values() if model_type in one.model_types]
    if not able:
        known = ", ".join(sorted(set().union(*(one.model_types for one in FAMILIES.values()))))
        if model_type is None:
            raise ModelError(
                f"{path / CONFIG}: the field `model_type` is missing, which says the model's family; copy the model "
                f"again. Families that can be opened: {known}."
            )
        raise ModelError(
            f"{path / CONFIG}: `model_type` is {model_type!r}, a family that cannot be opened; known are {known}."
        )
    fitting = [one for one in able if criterion in (None, one.criterion)]
    if not fitting:
        raise ModelError(
            f"{path}: models of the type {model_type} cannot be trained by {criterion}, but by "
            f"{' or '.join(one.criterion for one in able)}; take another model."
        )
    # As it was published: an encoder-decoder is more than its encoder.
    return max(fitting, key=lambda one: one.criterion == "cross-entropy")
