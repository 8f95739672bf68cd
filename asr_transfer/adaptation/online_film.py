"""Adapts to speakers while they are listened to by a running summary of how each sounds, on a model made for it.

What the front end makes of a speaker's recordings is added up, the one that is heard included, and its summary
modulates the model (`film`). It is used only where the model is surer of what it has heard of him with it than without.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from asr_transfer.adaptation.checks import is_silent
from asr_transfer.adaptation.film_summary import FILM, Summarised, require_modulation
from asr_transfer.adaptation.online import UNNAMED
from asr_transfer.adaptation.speaker_weights import LEAST_SECONDS
from asr_transfer.adaptation.sureness import weigh
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from asr_transfer.models.adapters.modulation import heard_sums, statistics_of


@dataclass
class _Speaker:
    """What is known of a speaker.

    Attributes:
        sums: (1 + 2 · channels,) sums over the frames of his recordings so far.
        gain: nats by which the model was surer of them with his summary, as it was when each was heard.
        recordings: number of his recordings.
        since: recording since which his summary is used; 0 while it is not.
    """

    sums: torch.Tensor
    gain: float = field(default=0.0)
    recordings: int = field(default=0)
    since: int = field(default=0)


class FilmSession:
    """A sitting in which each speaker is heard by the summary of his recordings so far; see `online.Session`.

    Args:
        source: the model, which is left as it is.

    Raises:
        ModelError: the model was not trained for it, or has a speaker's summary already.
    """

    def __init__(self, source: Recogniser) -> None:
        self._source, self._part = source, require_modulation(source.model)
        nothing = torch.zeros(1 + 2 * self._part.channels, dtype=torch.float64)
        self._known: dict[str, _Speaker] = defaultdict(lambda: _Speaker(nothing.clone()))
        model = copy.deepcopy(source.model)
        add_adapter(model, AdapterSpec(FILM, self._part.size))
        self._with = replace(source, model=model.eval())

    def listen(self, spoken: Spoken) -> list[str]:
        """See `Session.listen`."""
        return [self._hear(spoken.subset([number])) for number in range(len(spoken))]

    def _hear(self, one: Spoken) -> str:
        utterance = one.utterance(0)
        speaker = self._known[utterance.speaker]
        speaker.recordings += 1
        if utterance.duration >= LEAST_SECONDS and not is_silent(utterance):
            batch = one.collate([0])
            assert batch.lengths is not None
            speaker.sums += heard_sums(self._source.model, batch.inputs, batch.lengths)[0].cpu()
            self._summary(speaker.sums).put_on(self._with.model)
            speaker.gain += _sureness(self._with, one) - _sureness(self._source, one)
            if (speaker.gain > 0) != bool(speaker.since):
                speaker.since = speaker.recordings if speaker.gain > 0 else 0
        elif speaker.since:
            self._summary(speaker.sums).put_on(self._with.model)
        (text,) = (self._with if speaker.since else self._source).listen(one)
        return text

    @torch.no_grad()
    def _summary(self, sums: torch.Tensor) -> Summarised:
        return Summarised(self._part.summary(statistics_of(sums)).cpu(), 0)

    def plain(self) -> dict[str, Any]:
        """See `Session.plain`."""
        return {"heard_by_summary_since": {name: speaker.since for name, speaker in self._known.items()}}

    def describe(self) -> list[str]:
        """See `Session.describe`."""
        return [
            f"{name or UNNAMED}: heard by a summary since recording {speaker.since} of {speaker.recordings}"
            for name, speaker in self._known.items()
            if speaker.since
        ]


def _sureness(recogniser: Recogniser, one: Spoken) -> float:
    (pieces,) = recogniser.listen_with(partial(weigh, False), one, whole=False, label="summary")
    return float(np.sum(pieces, axis=0)[1])
