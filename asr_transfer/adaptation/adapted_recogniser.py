"""Holds an adapted recogniser together with what more recordings of its speaker would give."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from asr_transfer.adaptation.forecast import Forecast
from asr_transfer.decoding.recogniser import Recogniser


@dataclass
class AdaptedRecogniser(Recogniser):
    """A recogniser as `adapt` returns it.

    Attributes:
        forecast: error with more recordings of the speaker; `str` makes a sentence of it. Not saved with the
            model, but in the run's record.
    """

    forecast: Forecast = field(default_factory=Forecast)

    @classmethod
    def of(cls, recogniser: Recogniser, forecast: Forecast) -> AdaptedRecogniser:
        """Return a recogniser with a forecast."""
        return cls(**{one.name: getattr(recogniser, one.name) for one in fields(recogniser)}, forecast=forecast)
