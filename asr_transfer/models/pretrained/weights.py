"""Reads the weights of pretrained models, whole or in shards, and fills models with them, name by name.

Safetensors hold numbers alone. Older pickles are read by PyTorch's reader of weights, which builds tensors and refuses
whatever else a pickle would run.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import BadZipFile

import torch
from torch import nn

from asr_transfer.errors import ModelError
from asr_transfer.models.configuration import readable
from asr_transfer.models.pretrained.family import Matched
from asr_transfer.models.pretrained.json_files import read_json
from asr_transfer.models.weight_files import read_weights

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Read all tensors of a folder, those of floating point in float32.

    Raises:
        ModelError: There are none, or a file is missing, cut off, or holds more than tensors.
    """
    for name in (SAFE, PICKLED):
        if files := _shards(folder, name):
            return {key: tensor for file in files for key, tensor in read_file(file).items()}
    raise ModelError(f"{folder}: holds neither {SAFE} nor {PICKLED}; the folder is incomplete, copy it again.")


def read_file(file: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of one file, safetensors or else a pickle of PyTorch, those of floating point in float32.

    Raises:
        ModelError: It is missing, cut off, or holds more than tensors.
    """
    tensors = read_weights(file) if file.suffix == ".safetensors" else _unpickled(file)
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}


def fill(
    model: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    name_in: Callable[[str], str | None],
    where: str,
    initialised: tuple[str, ...] = (),
) -> Matched:
    """Copy tensors into a model and return what was matched.

    Args:
        model: Model with initial weights.
        tensors: Tensors by their names in the folder.
        name_in: Function from a name in the folder to the model's, or to None where it is left out by intention.
        where: Folder, for messages.
        initialised: Beginnings of names in the model that the folder need not have.

    Raises:
        ModelError: A tensor that the model needs is missing, or of another shape.
    """
    own = model.state_dict()
    renamed = {name: name_in(name) for name in tensors}
    found = {new: tensors[name] for name, new in renamed.items() if new in own and new is not None}
    fresh = tuple(name for name in own if name not in found and name.startswith(initialised or (" ",)))
    problems = [f"'{name}' is missing" for name in own if name not in found and name not in fresh]
    problems += [
        f"'{name}' has shape {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in found.items()
        if tensor.shape != own[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more differences" if len(problems) > 3 else ""
        raise ModelError(
            f"{where}: the weights are not those that config.json describes: {'; '.join(problems[:3])}{more}; copy the "
            "model again."
        )
    model.load_state_dict(found, strict=False)
    ignored = tuple(name for name, new in renamed.items() if new is None)
    unexpected = tuple(name for name, new in renamed.items() if new is not None and new not in own)
    return Matched(tuple(found), ignored, fresh, unexpected)


def _shards(folder: Path, name: str) -> list[Path]:
    """Return the files that weights are divided into, as an index beside them says, or the only one; [] for none."""
    index = folder / f"{name}.index.json"
    with readable(folder):
        if index.is_file():
            shards = read_json(index).get("weight_map")
            if not isinstance(shards, Mapping) or not all(isinstance(file, str) for file in shards.values()):
                raise ModelError(f"{index}: `weight_map` names no files; copy the model again.")
            return [folder / Path(file).name for file in sorted(set(shards.values()))]
        return [folder / name] if (folder / name).is_file() else []


def _unpickled(file: Path) -> dict[str, torch.Tensor]:
    with readable(file):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # which asks users to write to PyTorch about foreign files
                found = torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise ModelError(
                f"{file}: holds more than tensors, and code of strangers is not run; take a copy with {SAFE}."
            ) from None
        except (RuntimeError, EOFError, ValueError, KeyError, BadZipFile):
            raise ModelError(f"{file}: is cut off or damaged; copy the model again.") from None
    if not isinstance(found, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        raise ModelError(f"{file}: holds no tensors by name; copy the model again.")
    return dict(found)
