"""Writes and reads model folders: `model.safetensors`, `config.yaml`, `README.md`, and where there are `tokens.txt`
(with `tokens.model`, if they are subwords) and `lexicon.txt`.

Loading executes no code from the folder. A folder is written under a temporary name and exchanged with the old one, so
that a killed or failing write leaves the old model or the new one, never half of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError

from asr_transfer import textfiles
from asr_transfer.errors import AsrTransferError, DataError, ModelError
from asr_transfer.models import (  # noqa: F401  # registers their kinds
    acoustic,
    attributes,
    efficientnet,
    image,
    progressive,
    shared_private,
    vectors,
)
from asr_transfer.models.adapters import base_checksum
from asr_transfer.models.configuration import FORMAT, read_config, refuse_foreign
from asr_transfer.models.contract import Model, SpeechModel
from asr_transfer.models.kinds import describe, make, require_speech
from asr_transfer.models.pretrained import door  # noqa: F401  # likewise
from asr_transfer.models.replacing import replace_folder
from asr_transfer.models.speaker_space import FILE as SPEAKERS
from asr_transfer.models.speaker_space import SpeakerSpace
from asr_transfer.models.weight_files import load_weights, read_weights, write_weights


def save_model(
    folder: str | Path,
    model: Model,
    card: str,
    files: Mapping[str, Callable[[Path], None]],
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write a model folder, replacing an older one only when the new one is complete; adapters are kept with it.

    Args:
        folder: folder to write.
        model: model to describe.
        card: text of the folder's README.md.
        files: functions, by file name such as `tokens.txt`, that write it to the path they are given.
        origin: facts about the training kept in `config.yaml` (plain values only).

    Raises:
        ModelError: the disk is full or not writable, or `folder` holds something other than a model; what stood there
            is untouched.
    """
    target = Path(folder)
    refuse_foreign(target, "config.yaml", "model")
    config = {"format": FORMAT, **describe(model), "origin": dict(origin or {})}

    def write(partial: Path) -> None:
        write_weights(partial / "model.safetensors", model.state_dict())
        textfiles.write_text(partial / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        textfiles.write_text(partial / "README.md", card)
        if isinstance(model, SpeechModel) and model.speakers and model.speakers.base == base_checksum(model):
            model.speakers.save(partial / SPEAKERS)  # of other weights, which were trained since, it says nothing
        for name, save in files.items():
            save(partial / name)

    try:
        replace_folder(target, write)
    except (OSError, SafetensorError, DataError) as error:
        raise ModelError(
            f"{target}: the model cannot be written ({error}); free space or choose another folder. "
            "What stood there before is untouched."
        ) from error


def load_model(folder: str | Path, speakers: bool = True) -> SpeechModel:
    """Read a folder of a model of speech, in evaluation mode on the CPU; see `load_any`.

    Args:
        folder: folder of the model.
        speakers: whether to read what its training speakers' profiles have in common, where it has that.

    Raises:
        ModelError: as there, or the model listens to no speech.
    """
    model = require_speech(load_any(folder), str(Path(folder) / "config.yaml"))
    if speakers and (file := Path(folder) / SPEAKERS).is_file():
        model.speakers = SpeakerSpace.load(file)
    return model


def load_any(folder: str | Path) -> Model:
    """Read a model folder of whatever kind, in evaluation mode on the CPU.

    Raises:
        ModelError: something is missing, damaged, or the weights are of another architecture than `config.yaml` says.
    """
    path = Path(folder)
    config = read_config(path)
    file = path / "config.yaml"
    try:
        model = make(config, str(file))
    except AsrTransferError as error:
        raise ModelError(str(error) if str(error).startswith(str(file)) else f"{file}: {error}") from None
    except (TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
        # Sizes that no tensor can have.
        reason = str(error).strip().split("\n")[0][:160] or type(error).__name__
        raise ModelError(f"{file}: is damaged ({reason}); copy the model again.") from None
    load_weights(model, read_weights(path / "model.safetensors"), str(path))
    return model.eval()


def update_origin(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add `facts` to the origin that a model folder's `config.yaml` keeps, or replace them; all else stays as it is.

    Raises:
        ModelError: the folder is no model, or cannot be written.
    """
    config = read_config(folder)
    config["origin"] = {**config["origin"], **facts}
    try:
        textfiles.write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False), "model")
    except DataError as error:
        raise ModelError(str(error)) from None


def update_card(folder: Path, card: str) -> None:
    """Replace the text of a model folder's README.md.

    Raises:
        ModelError: it cannot be written.
    """
    try:
        textfiles.write_text(folder / "README.md", card, "model")
    except DataError as error:
        raise ModelError(str(error)) from None
