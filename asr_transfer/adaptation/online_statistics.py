"""Adapts to speakers while they are listened to by what their recordings so far are normalised by, as `adabn` does.

Statistics of a speaker's recordings are added up, the one that is heard included, and taken as far as they differ from
the model's by more than those of any speaker do: a telephone line or noise is made up for from the first recording on,
and whoever sounds as those trained on is heard by the model as it is.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

from asr_transfer.adaptation.checks import is_silent
from asr_transfer.adaptation.online import UNNAMED
from asr_transfer.adaptation.own_statistics import Ear, OwnStatistics, Statistics, normalise_by
from asr_transfer.adaptation.speaker_weights import LEAST_SECONDS
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser


class StatisticsSession:
    """A sitting in which each speaker is heard by statistics of his recordings so far; see `online.Session`.

    Args:
        source: the model, which is left as it is.

    Raises:
        ConfigError: the model keeps no statistics.
    """

    def __init__(self, source: Recogniser) -> None:
        self._source = source
        self._ear = Ear(source.model, next(source.model.parameters()).device)
        self._with = replace(source, model=copy.deepcopy(source.model).eval())
        self._known: dict[str, Statistics] = {}
        self._taken: dict[str, OwnStatistics] = {}
        self._heard = Counter[str]()

    def listen(self, spoken: Spoken) -> list[str]:
        """See `Session.listen`."""
        return [self._hear(spoken.subset([number])) for number in range(len(spoken))]

    def _hear(self, one: Spoken) -> str:
        utterance = one.utterance(0)
        speaker = utterance.speaker
        self._heard[speaker] += 1
        if utterance.duration >= LEAST_SECONDS and not is_silent(utterance):
            new, known = self._ear.hear(one), self._known.get(speaker)
            self._known[speaker] = new if known is None else known.beside(new)
        if speaker not in self._known:
            return self._source.listen(one)[0]
        self._taken[speaker] = normalise_by(self._with.model, self._source.model, self._known[speaker])
        return self._with.listen(one)[0]

    def plain(self) -> dict[str, Any]:
        """See `Session.plain`."""
        return {"share_of_own_statistics": {name: round(taken.share, 4) for name, taken in self._taken.items()}}

    def describe(self) -> list[str]:
        """See `Session.describe`."""
        return [
            f"{name or UNNAMED}: normalised by {taken.share:.0%} of the statistics of {taken.recordings} recordings"
            for name, taken in self._taken.items()
            if taken.share > 0
        ]
