"""Runs trials of an adaptation experiment: one adaptation each, with what it gained and cost, a line of
`trials.jsonl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_transfer.experiments.core.ledger import Lines


@dataclass(frozen=True)
class Trial:
    """One adaptation and its price; `none` at amount 0 is the source model itself.

    Attributes:
        fold, speaker, draw, amount, method, learning_rate: key of the adaptation.
        errors, words: counts on the speaker's test utterances of this draw.
        other_errors, other_words: counts on the other speakers.
        cpu_seconds: processor time of the adaptation alone, choosing included.
        hypotheses: hypotheses of the test utterances, by id.
        chosen: method that `auto` chose; empty otherwise.
        unit: unit that errors and words count, `words` or `characters`.
    """

    fold: str
    speaker: str
    draw: int
    amount: int
    method: str
    learning_rate: float
    errors: int
    words: int
    other_errors: int
    other_words: int
    cpu_seconds: float
    hypotheses: Mapping[str, str]
    chosen: str = ""
    unit: str = "words"

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes a trial the same trial."""
        return (self.fold, self.speaker, self.draw, self.amount, self.method, self.learning_rate)


def trials_of(folder: Path) -> Lines[Trial]:
    """Return the trials of an experiment that there are.

    Raises:
        DataError: A line of the file is no trial.
    """
    return Lines(folder / "trials.jsonl", "trial", lambda values: Trial(**values), lambda trial: trial.key)
