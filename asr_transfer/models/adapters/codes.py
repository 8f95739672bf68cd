"""Holds matrices by which speaker codes shift a model's layers, where they were trained with the model.

They are a part of the model that acts only through an adapter `speaker-code`, which then has a code alone.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from asr_transfer.models.adapters.kind import KINDS
from asr_transfer.models.adapters.speaker_parts import SpeakerPart, adds, give, part_of
from asr_transfer.models.contract import Model


class Codes(SpeakerPart):
    """A matrix for each layer, which makes shifts of a code."""

    part: ClassVar[str] = "codes"


@adds(Codes)
def add_codes(model: Model, size: int) -> Codes:
    """Give a model matrices for codes of a length, all 0, and return them."""
    return give(model, Codes({place.path: place.dim for place in KINDS["speaker-code"].places(model)}, size))


def codes_of(model: nn.Module) -> Codes | None:
    """Return the matrices that were trained with a model; None where there are none."""
    return part_of(model, Codes)
