"""Keeps parts of a model that were trained with it on many speakers, and act through an adapter of one speaker alone.

Such a part is matrices for each layer, at the start 0, and knows one size: that of what an adapter holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.contract import Model

LONGEST = 10_000
"""More numbers of a speaker are damage."""


class SpeakerPart(nn.Module):
    """Matrices (dim, size) for each of some layers, at the start 0; not trained unless it is asked for.

    Args:
        dims: channels of each layer by its path.
        size: numbers of a speaker, which an adapter holds.

    Attributes:
        part: Name of the part in the model, and of its size in the model's description.
        endings: Ends of the names of a layer's matrices, one for each.
    """

    part: ClassVar[str]
    endings: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, dims: Mapping[str, int], size: int) -> None:
        super().__init__()
        self.size = size
        for path, dim in dims.items():
            for ending in self.endings:
                zeros = nn.Parameter(torch.zeros(dim, size), requires_grad=False)
                self.register_parameter(_name(path, ending), zeros)

    def of(self, path: str) -> tuple[nn.Parameter, ...]:
        """Return the matrices of a layer."""
        return tuple(self.get_parameter(_name(path, ending)) for ending in self.endings)


def _name(path: str, ending: str) -> str:
    return path.replace(".", "-") + ending  # a name of a parameter holds no dots


Part = TypeVar("Part", bound=SpeakerPart)
Add = TypeVar("Add", bound=Callable[[Model, int], SpeakerPart])

PARTS: dict[str, tuple[type[SpeakerPart], Callable[[Model, int], SpeakerPart]]] = {}
"""All kinds by the name of the part, and the function that gives one of a size to a model."""


def adds(kind: type[SpeakerPart]) -> Callable[[Add], Add]:
    """Return a decorator that makes a kind of part known by the function that gives it to a model."""

    def known(function: Add) -> Add:
        PARTS[kind.part] = kind, function
        return function

    return known


def give(model: Model, part: Part) -> Part:
    """Put a part on a model, where its weights lie, and return it."""
    like = next(model.parameters())
    setattr(model, part.part, part.to(like.device, like.dtype))
    return part


def part_of(model: nn.Module, kind: type[Part]) -> Part | None:
    """Return the part of a kind that was trained with a model; None where there is none."""
    found = getattr(model, kind.part, None)
    return found if isinstance(found, kind) else None


def sizes_of(model: nn.Module) -> dict[str, int]:
    """Return what a model's description says of its parts: the size of each by its name."""
    found = {name: part_of(model, kind) for name, (kind, _) in PARTS.items()}
    return {name: part.size for name, part in found.items() if part is not None}


def parts_from_plain(plain: Mapping[str, object], model: Model, where: str) -> None:
    """Give a model the parts that its description names.

    Raises:
        ConfigError: a size is none, or the model cannot have the part.
    """
    for name, (_, add) in PARTS.items():
        if name in plain:
            size = plain[name]
            if type(size) is not int or not 1 <= size <= LONGEST:
                raise ConfigError(f"{where}: `{name}` must be a whole number from 1 to {LONGEST}, got {size!r}.")
            add(model, size)
