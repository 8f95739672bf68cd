"""Reads the weights of pretrained models, whole or in shards, and fills models with them, name by name.

Safetensors hold numbers alone. Older pickles are read by PyTorch's reader of weights, which builds tensors and refuses
whatever else a pickle would run.
"""

from __future__ import annotations

import errno
import math
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from asr_transfer.errors import ModelError
from asr_transfer.models.configuration import readable
from asr_transfer.models.pretrained.family import Matched
from asr_transfer.models.pretrained.json_files import read_json, refuse_pointer
from asr_transfer.models.weight_files import read_weights

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"

_COMPUTED = re.compile(r"(^|\.)(num_batches_tracked|position_ids|inv_freq)$")
"""Tensors that count or that a model computes: they may be whole numbers, and a model need not have them."""

_NO_PICKLE = re.compile(rf"Unsupported operand (?!{pickle.FRAME[0]}\b)")
"""What PyTorch says of bytes that are no instruction which it knows; of a newer pickle it names the first."""


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Read all tensors of a folder, those of floating point in float32.

    Raises:
        ModelError: There are none, or a file is one that `read_file` refuses.
    """
    for name in (SAFE, PICKLED):
        if files := _shards(folder, name):
            return {key: tensor for file in files for key, tensor in read_file(file).items()}
    raise ModelError(f"{folder}: holds neither {SAFE} nor {PICKLED}; the folder is incomplete, copy it again.")


def read_file(file: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of one file, safetensors or else a pickle of PyTorch, those of floating point in float32.

    Raises:
        ModelError: It is missing, cut off, a pointer of git-lfs, holds more than tensors, or numbers that no model
            computes with: quantised ones, or such as are none.
    """
    with readable(file):
        if file.is_file():
            refuse_pointer(file)
    tensors = read_weights(file) if file.suffix == ".safetensors" else _unpickled(file)
    return {name: _usable(name, tensor, file) for name, tensor in tensors.items()}


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
        ModelError: A tensor that the model needs is missing or of another shape, or nobody knows one of the folder.
    """
    own = model.state_dict()
    renamed = {name: name_in(name) for name in tensors}
    renamed = {n: None if new not in own and _COMPUTED.search(n) else new for n, new in renamed.items()}
    found = {new: tensors[name] for name, new in renamed.items() if new in own and new is not None}
    fresh = tuple(name for name in own if name not in found and name.startswith(initialised or (" ",)))
    problems = [f"'{name}' is missing" for name in own if name not in found and name not in fresh]
    problems += [
        f"'{name}' has shape {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in found.items()
        if tensor.shape != own[name].shape
    ]
    problems += [f"'{name}' is unknown" for name, new in renamed.items() if new is not None and new not in own]
    if problems:
        more = f" and {len(problems) - 3} more differences" if len(problems) > 3 else ""
        raise ModelError(
            f"{where}: the weights are not those that config.json describes: {'; '.join(problems[:3])}{more}; copy the "
            "model again."
        )
    model.load_state_dict(found, strict=False)
    ignored = tuple(name for name, new in renamed.items() if new is None)
    return Matched(tuple(found), ignored, fresh)


def _usable(name: str, tensor: torch.Tensor, file: Path) -> torch.Tensor:
    """Return a tensor as a model takes it, in float32 where it is of floating point."""
    if not tensor.is_floating_point() and _COMPUTED.search(name):
        return tensor
    kind = str(tensor.dtype).removeprefix("torch.")
    if not tensor.is_floating_point():
        raise ModelError(
            f"{file}: '{name}' holds numbers of the type {kind}, as quantised weights do, which cannot be opened; take "
            "the model as it was before, in float32 or float16."
        )
    if tensor.layout is not torch.strided or tensor.is_meta:
        raise ModelError(f"{file}: '{name}' is no plain tensor; save the model again as {SAFE}.")
    whole = tensor.float()
    # One pass without a mask as large as the tensor: the least and the largest of numbers with a NaN are NaN.
    if whole.numel() and not all(math.isfinite(float(end)) for end in torch.aminmax(whole.detach())):
        raise ModelError(
            f"{file}: '{name}' holds numbers that are none (NaN or infinite), so that nothing can be computed with it; "
            "copy the model again, or take an earlier state of its training."
        )
    return whole


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
        except Exception as error:  # the library reads bytes of strangers in many ways and places
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which seeking before the beginning gives
                raise
            if isinstance(error, pickle.UnpicklingError) and not _NO_PICKLE.search(str(error)):
                raise ModelError(
                    f"{file}: holds more than tensors, and code of strangers is not run; take a copy with {SAFE}."
                ) from None
            raise ModelError(f"{file}: is cut off or damaged; copy the model again.") from None
    named = isinstance(found, Mapping) and all(isinstance(name, str) for name in found)
    if not named or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        raise ModelError(f"{file}: holds no tensors by name; copy the model again.")
    return dict(found)
