"""Holds what is exported: a recogniser with its profile folded in, and what its folders say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.contract import SpeechModel


@dataclass(frozen=True)
class Source:
    """A model on its way out.

    Attributes:
        recogniser: Recogniser with the head that is exported; adapters that can be are folded into its weights.
        model: Model as it was named.
        folder: Model folder that it was read from.
        profile: Profile as it was named; None for none.
        profile_facts: Line on what the profile was made from; empty without one.
        runs: Run folders that may tell how well the model recognises: of the profile's, then of the model's training.
        unfolded: Function that loads the model again with all adapters attached, for targets that carry them apart.
    """

    recogniser: Recogniser
    model: str
    folder: Path
    profile: str | None = None
    profile_facts: str = ""
    runs: tuple[Path, ...] = ()
    unfolded: Callable[[], SpeechModel] | None = None
