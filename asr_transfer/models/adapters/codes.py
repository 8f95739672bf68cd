"""Holds matrices by which speaker codes shift a model's layers, where they were trained with the model.

They are a part of the model that acts only through an adapter `speaker-code`, which then has a code alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters.kind import KINDS
from asr_transfer.models.contract import Model

CODES = "codes"
"""Name of the part, and of its size in a model's description."""

LONGEST = 10_000
"""More numbers in a code are damage."""


class Codes(nn.Module):
    """A matrix (dim, size) for each of some layers, at the start 0; not trained unless it is asked for.

    Args:
        dims: channels of each layer by its path.
        size: numbers in a code.
    """

    def __init__(self, dims: Mapping[str, int], size: int) -> None:
        super().__init__()
        self.size = size
        # A name of a parameter holds no dots.
        self._names = {path: path.replace(".", "-") for path in dims}
        for path, dim in dims.items():
            self.register_parameter(self._names[path], nn.Parameter(torch.zeros(dim, size), requires_grad=False))

    def of(self, path: str) -> nn.Parameter:
        """Return the matrix of a layer."""
        return self.get_parameter(self._names[path])


def add_codes(model: Model, size: int) -> Codes:
    """Give a model matrices for codes of a length, all 0, and return them."""
    like = next(model.parameters())
    dims = {place.path: place.dim for place in KINDS["speaker-code"].places(model)}
    codes = Codes(dims, size).to(like.device, like.dtype)
    model.codes = codes
    return codes


def codes_of(model: nn.Module) -> Codes | None:
    """Return the matrices that were trained with a model; None where there are none."""
    found = getattr(model, CODES, None)
    return found if isinstance(found, Codes) else None


def codes_from_plain(value: object, model: Model, where: str) -> None:
    """Give a model what its description says of codes.

    Raises:
        ConfigError: it is no length of a code.
    """
    if type(value) is not int or not 1 <= value <= LONGEST:
        raise ConfigError(f"{where}: `{CODES}` must be a whole number from 1 to {LONGEST}, got {value!r}.")
    add_codes(model, value)
