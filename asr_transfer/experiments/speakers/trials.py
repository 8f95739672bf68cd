"""Holds trials of an adaptation experiment: what one adaptation gained and cost, a line of `trials.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asr_transfer.evaluation.capped import capped, capped_errors
from asr_transfer.evaluation.normalisation import DEFAULT
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.experiments.core.ledger import Lines


@dataclass(frozen=True)
class Counted:
    """Errors in some utterances.

    Attributes:
        errors, reference: errors and units of the references.
        capped: errors, of each utterance at most as many as its reference has units; None of a model that cannot run
            away.
        over: number of utterances with more character errors than their reference has characters; None likewise.
    """

    errors: int
    reference: int
    capped: int | None = None
    over: int | None = None

    @classmethod
    def of(
        cls, heard: Sequence[Hypothesis], unit: Literal["words", "characters"], profile: str, runs_away: bool
    ) -> Counted:
        """Count the errors in words or characters, under a normalisation."""
        aligned = align(heard, "word" if unit == "words" else "character", profile)
        plain = int(aligned.errors[aligned.scored].sum()), int(aligned.reference.sum())
        if not runs_away:
            return cls(*plain)
        return cls(*plain, int(capped_errors(aligned).sum()), capped(heard, profile).over)


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
        profile: normalisation under which texts were compared.
        capped, other_capped: errors with those of each utterance capped at its reference, of a model that can run away.
        over: number of the speaker's test utterances that have more errors than characters, of such a model.
        predicted: estimated rise of others' character error rate, as `auto` judges it, on source speech that nothing
            was trained on; None where none was held out, and of the source model.
        other_character_errors, other_characters: character errors on the other speakers, capped where the model can run
            away, and characters of their texts; older lines lack them.
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
    profile: str = DEFAULT
    capped: int | None = None
    other_capped: int | None = None
    over: int | None = None
    predicted: float | None = None
    other_character_errors: int | None = None
    other_characters: int | None = None

    @property
    def bounded(self) -> int:
        """Errors that decide: capped ones, where the model can run away."""
        return self.errors if self.capped is None else self.capped

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
