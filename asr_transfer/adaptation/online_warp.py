"""Adapts to speakers while they are listened to by a warp of their frequencies, from recording to recording.

Each speaker begins with the model as it is. What the model says of every factor on his frequencies (`warp`) is added up
over his recordings, and each of them is heard through the factor that all so far speak for, the recording itself
included. The bound: a factor is used only where the model is surer of what it has heard of him through it than without,
by more than the prior and `warp.DOUBT` nats allow; else he is heard as without.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from asr_transfer.adaptation.online import UNNAMED
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.adaptation.warp import (
    BROAD,
    LEAST_SECONDS,
    Evidence,
    Warped,
    WarpPrior,
    choose,
    evidence,
    set_warp,
    warp_of,
    with_warp,
)
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.models.contract import require_ctc

ENOUGH = 8
"""Recordings of a speaker after which his factor stays; listening for all factors takes 18 times as long."""


class WarpSession:
    """A sitting in which each speaker is heard through the warp that his recordings speak for; see `online.Session`.

    Args:
        source: the model, which is left as it is.
        factors: factors on all frequencies to choose among; 1 is always among them.

    Raises:
        ConfigError: the model has no CTC or no bands, or holds a warp already.
    """

    def __init__(self, source: Recogniser, factors: Sequence[float] = MethodSettings().warps) -> None:
        require_ctc(source.model, "a warp while listening")
        source.model.inputs.require_bands("a warp while listening")
        if warp_of(source.model) != 1:
            raise ConfigError(
                f"the model or its profile holds a warp of {warp_of(source.model):.2f} already, which is one "
                "speaker's; take the model without it, or leave `online_profile` out."
            )
        self._source, self._listening = source, with_warp(source, 1.0)
        self._factors = sorted({*factors, 1.0})
        prior = WarpPrior.of(source)
        self._width = BROAD if prior is None else max(BROAD, prior.width)
        self._found: dict[str, list[Evidence]] = defaultdict(list)
        self._chosen: dict[str, Warped] = {}
        self._since: dict[str, int] = {}
        self._heard: dict[str, int] = defaultdict(int)

    def listen(self, spoken: Spoken) -> list[str]:
        """See `Session.listen`."""
        return [self._hear(spoken.subset([number])) for number in range(len(spoken))]

    def _hear(self, one: Spoken) -> str:
        utterance = one.utterance(0)
        speaker = utterance.speaker
        self._heard[speaker] += 1
        found = self._found[speaker]
        if len(found) < ENOUGH and utterance.duration >= LEAST_SECONDS:
            found.append(evidence(self._source, one, self._factors, read=False))
            before = self._factor(speaker)
            self._chosen[speaker] = choose(self._factors, _together(found), self._width)
            if self._factor(speaker) != before:
                self._since[speaker] = self._heard[speaker]
        set_warp(self._listening.model, self._factor(speaker))
        (text,) = self._listening.listen(one)
        return text

    def _factor(self, speaker: str) -> float:
        return self._chosen[speaker].factor if speaker in self._chosen else 1.0

    def factors(self) -> dict[str, float]:
        """Return the factor of each speaker now."""
        return {speaker: self._factor(speaker) for speaker in self._heard}

    def plain(self) -> dict[str, Any]:
        """See `Session.plain`."""
        return {"factors": self.factors()}

    def describe(self) -> list[str]:
        """See `Session.describe`."""
        return [
            f"{speaker or UNNAMED}: warp {factor:.2f} since recording {self._since[speaker]} of {self._heard[speaker]}"
            for speaker, factor in self.factors().items()
            if factor != 1
        ]


def _together(found: Sequence[Evidence]) -> Evidence:
    nats, sureness, frames = (
        np.concatenate([getattr(one, name) for one in found], axis=-1) for name in ("nats", "sureness", "frames")
    )
    return Evidence(nats, sureness, frames, found[0].doubt)
