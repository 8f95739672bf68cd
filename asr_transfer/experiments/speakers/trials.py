"""Runs trials of an adaptation experiment: one adaptation each, with what it gained and cost, a line of
`trials.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_transfer.errors import DataError
from asr_transfer.textfiles import lines_of


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


def read_trials(file: Path) -> dict[tuple[Any, ...], Trial]:
    """Return the trials of a file by their keys; a last line that was cut off is taken out of the file.

    Raises:
        DataError: another line is no trial.
    """
    trials = {}
    lines = lines_of(file.read_text(encoding="utf-8").removesuffix("\n")) if file.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            trial = Trial(**json.loads(line))
        except (json.JSONDecodeError, TypeError):
            if number == len(lines):
                # The run was killed while writing; the trial is run again.
                file.write_text("".join(f"{kept}\n" for kept in lines[:-1]), encoding="utf-8")
                break
            raise DataError(f"{file} line {number}: is no trial; remove the line, it will be run again.") from None
        trials[trial.key] = trial
    return trials
