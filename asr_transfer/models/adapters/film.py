"""Scales and shifts every layer by what a summary of a speaker's speech says of him (FiLM; Perez et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters.kind import Adapter, channels_last, register
from asr_transfer.models.adapters.modulation import modulation_of
from asr_transfer.models.contract import Block, Model


@register("film")
class Film(Adapter):
    """A summary s of the speaker: h' = (1 + A_l s) ⊙ h + B_l s in each layer, s = 0 at the start.

    The matrices A_l and B_l were trained with the model (`Modulation`), and nothing but the summary is the speaker's.
    """

    measure: ClassVar[str] = "length"

    @staticmethod
    def places(model: Model) -> list[Block]:
        """See `Adapter.places`."""
        return model.layers()

    def build(self, model: Model, generator: torch.Generator) -> None:
        """See `Adapter.build`.

        Raises:
            ConfigError: the model was not trained with a modulation, or with one of another length.
        """
        found = modulation_of(model)
        if found is None or found.size != self.size:
            trained = "none" if found is None else f"summaries of {found.size} numbers"
            raise ConfigError(
                f"a summary of {self.size} numbers modulates a model that was trained with such ones, and this one was "
                f"trained with {trained}; train one with --speaker_adaptive.kind film --speaker_adaptive.code "
                f"{self.size}."
            )
        self.modulation = (found,)  # in a tuple, for it is the model's
        self.summary = nn.Parameter(torch.empty(self.size, dtype=torch.float64))
        self.reset_parameters()
        for block in self.chosen(model):
            self.behind(model, block.path, channels_last(partial(self.modulate, block.path), block.axis))

    def reset_parameters(self) -> None:
        """Begin with the summary of nobody."""
        nn.init.zeros_(self.summary)

    def modulate(self, path: str, hidden: torch.Tensor) -> torch.Tensor:
        """Return (..., dim) `hidden` of a layer scaled and shifted."""
        return modulated(hidden, self.modulation[0].of(path), self.summary)


def modulated(hidden: torch.Tensor, matrices: Sequence[torch.Tensor], summary: torch.Tensor) -> torch.Tensor:
    """Return hidden vectors, channels last, scaled and shifted by one summary, or each row by its own.

    Args:
        hidden: (batch, ..., dim) vectors.
        matrices: (dim, size) matrix of the scales and that of the shifts.
        summary: (size,), or (batch, size).
    """
    # A product of matrices would round in mixed precision.
    scale, shift = ((matrix * summary.unsqueeze(-2)).sum(-1) for matrix in matrices)
    if summary.dim() == 2:
        scale, shift = (part.view(len(part), *(1,) * (hidden.dim() - 2), -1) for part in (scale, shift))
    return hidden * (1 + scale) + shift
