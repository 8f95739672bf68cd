"""Shifts every layer by what one vector says of the speaker (Abdel-Hamid and Jiang 2013)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters.codes import codes_of
from asr_transfer.models.adapters.kind import Adapter, channels_last, register
from asr_transfer.models.contract import Block, Model


@register("speaker-code")
class SpeakerCode(Adapter):
    """A speaker code s and a matrix per layer: h + B_l s (Abdel-Hamid and Jiang 2013).

    The authors train the matrices on many speakers, each with a code of his own, and learn only the new speaker's
    code. So does this on a model that has such matrices (`Codes`); s is then 0 at the start, and nothing else is added.
    On others both are learnt from the new speaker alone, B_l from 0 and s from a random start, which amounts to
    adapting biases of all layers that share a low rank.
    """

    measure: ClassVar[str] = "length"

    @staticmethod
    def places(model: Model) -> list[Block]:
        """See `Adapter.places`."""
        return model.layers()

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`."""
        trained = codes_of(model)
        if trained is not None and trained.size != self.size:
            raise ConfigError(
                f"the model was trained with speaker codes of {trained.size} numbers, which a code of {self.size} does "
                f"not fit; give {trained.size}."
            )
        self.trained = (trained,)  # in a tuple, for it is the model's
        self.code = nn.Parameter(torch.empty(self.size, dtype=torch.float64))
        self.reset_parameters(generator)
        for block in self.chosen(model):
            if trained is None:
                spread = _Spread(block.dim, self.size)
                self.after(model, block.path, spread, channels_last(partial(self.shift, spread), block.axis))
            else:
                self.behind(model, block.path, channels_last(partial(self.shift_by, block.path), block.axis))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw a new code, or begin with that of nobody where the model was trained with codes."""
        if self.trained[0] is None:
            nn.init.normal_(self.code, generator=generator)
        else:
            nn.init.zeros_(self.code)

    def shift(self, spread: _Spread, hidden: torch.Tensor) -> torch.Tensor:
        """Return (batch, time, dim) `hidden` with the layer's bias added."""
        return hidden + (spread.weight * self.code).sum(1)  # a product of matrices would round in mixed precision

    def shift_by(self, path: str, hidden: torch.Tensor) -> torch.Tensor:
        """Return `hidden` with the bias added that the model's own matrix makes of the code."""
        (trained,) = self.trained
        assert trained is not None
        (matrix,) = trained.of(path)
        return hidden + (matrix * self.code).sum(1)


class _Spread(nn.Module):
    """The matrix that spreads a speaker code over a layer's channels."""

    def __init__(self, dim: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, size, dtype=torch.float64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
