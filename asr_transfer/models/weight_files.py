"""Writes and reads the weights of models and profiles as safetensors files, which hold numbers and no code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from asr_transfer.errors import ModelError
from asr_transfer.models.configuration import readable


def write_weights(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors of any device as a safetensors file."""
    safetensors.torch.save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, file)


def read_weights(file: Path, what: str = "model") -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        ModelError: missing, not allowed to be read, cut off or not safetensors.
    """
    with readable(file):
        if not file.is_file():
            raise ModelError(f"{file}: the weights are missing; the {what} folder is incomplete, copy it again.")
        with file.open("rb"):  # the library calls whatever it may not read missing
            pass
    try:
        return safetensors.torch.load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file}: is cut off or no safetensors file ({error}); copy the {what} again.") from None


def load_weights(module: nn.Module, weights: Mapping[str, torch.Tensor], where: str) -> None:
    """Load `weights` into `module`, every name and shape equal.

    Raises:
        ModelError: they are of another architecture; the first differences are named.
    """
    own = module.state_dict()
    problems = [f"'{name}' is missing" for name in own if name not in weights]
    problems += [f"'{name}' is unknown" for name in weights if name not in own]
    problems += [
        f"'{name}' has shape {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more differences" if len(problems) > 3 else ""
        raise ModelError(f"{where}: the weights are of another architecture: {'; '.join(problems[:3])}{more}.")
    module.load_state_dict(dict(weights))


def checksum(tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any] | None = None) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of tensors, and of plain facts where some are given."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(bytes_of(tensor))
    if facts is not None:
        digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def bytes_of(tensor: torch.Tensor) -> bytes:
    """Return the bytes of a tensor of any device."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
