"""Describes a new speaker by a summary of how he sounds, which models that were trained with `film` are modulated by.

Nothing is learnt and no transcript is read: the summary is the mean and the deviation of what the front end makes of
his recordings, each frame of which counts alike, as a few numbers that were trained with the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from asr_transfer.data.batching import sequential
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import BATCH_FRAMES, Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.adapters import PREFIX, AdapterSpec, adapter_specs
from asr_transfer.models.adapters.modulation import Modulation, heard_sums, modulation_of, statistics_of
from asr_transfer.models.contract import Model

FILM = "film"
"""Name of the method."""


@dataclass(frozen=True)
class Summarised:
    """A speaker's summary.

    Attributes:
        method: name of the method.
        summary: (size,) summary.
        recordings: number of recordings that it is of.
        weights: weights of training speakers' directions, of which there are none.
    """

    method: ClassVar[str] = FILM
    weights: ClassVar[None] = None
    summary: torch.Tensor
    recordings: int

    def spec(self, model: Model) -> AdapterSpec:
        """Return the adapter that holds it."""
        return AdapterSpec(FILM, len(self.summary))

    @torch.no_grad()
    def put_on(self, model: Model) -> None:
        """Give it to a model that has the adapter."""
        model.get_parameter(f"{PREFIX}{FILM}.summary").copy_(self.summary)

    def plain(self) -> dict[str, Any]:
        """Return plain values for a record."""
        return {"summary": [round(value, 6) for value in self.summary.tolist()], "recordings": self.recordings}

    def describe(self) -> str:
        """Return one line on it."""
        far = float(self.summary.norm())
        return (
            f"{FILM}: a summary of {self.recordings} recordings, {far:.2g} from that of the training speakers' middle"
        )


@torch.no_grad()
def summarise(source: Recogniser, spoken: Spoken, device: torch.device | str = "cpu") -> Summarised:
    """Summarise how a speaker sounds to a model.

    Args:
        source: the model.
        spoken: speech of the speaker, whose texts are not read.
        device: device to compute on.

    Raises:
        ModelError: the model was not trained for it, or has a summary already.
    """
    part = require_modulation(source.model)
    model = source.model.to(device).eval()
    sums = torch.zeros(1 + 2 * part.channels, dtype=torch.float64, device=device)
    for batch in sequential(spoken, BATCH_FRAMES):
        assert batch.lengths is not None
        sums += heard_sums(model, batch.inputs, batch.lengths).sum(0)
    return Summarised(part.summary(statistics_of(sums)).cpu(), len(spoken.utterances))


def require_modulation(model: Model) -> Modulation:
    """Return what was trained with a model to modulate it by summaries.

    Raises:
        ModelError: there is nothing, or the model has a speaker's summary already.
    """
    found = modulation_of(model)
    if found is None:
        raise ModelError(
            f"`{FILM}` goes by a summary that a model was trained with, and this one was trained without; train one "
            "with --speaker_adaptive.kind film, or take another method."
        )
    if any(spec.kind == FILM for spec in adapter_specs(model)):
        raise ModelError(
            f"the model has a speaker's summary already, which `{FILM}` would replace; leave that profile out."
        )
    return found
