"""Scores texts so that one clip on which a decoder ran away does not decide a whole figure.

A decoder that loops can make ten times as many errors as a clip has characters. Beside the plain rate stands one where
the errors of every clip count at most as many as its reference has units, as if nothing had been written, and the
number of clips for which that makes a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr_transfer.evaluation.normalisation import DEFAULT
from asr_transfer.evaluation.scoring import Alignments, Hypothesis, Integers, align, number_or_none


@dataclass(frozen=True)
class Capped:
    """Errors with a cap on those of each clip.

    Attributes:
        wer, cer: Word and character error rate of all clips; NaN without a reference.
        over: Number of clips with more character errors than their reference has characters.
        clips: Number of clips with a reference.
    """

    wer: float
    cer: float
    over: int
    clips: int

    def to_plain(self) -> dict[str, float | int | None]:
        """Return the figures for a run record; a rate of nothing is None."""
        wer, cer = number_or_none(self.wer), number_or_none(self.cer)
        return {"wer": wer, "cer": cer, "over": self.over, "clips": self.clips}

    def __str__(self) -> str:
        return (
            f"capped at each clip's reference: WER {100 * self.wer:.1f} %, CER {100 * self.cer:.1f} %; "
            f"{self.over} of {self.clips} clips above it"
        )


def capped(hypotheses: Sequence[Hypothesis], profile: str = DEFAULT) -> Capped:
    """Return the capped scores of some clips under a normalisation.

    >>> one = Hypothesis("a", "", "en", "yes", "yes " * 9)
    >>> two = Hypothesis("b", "", "en", "no more", "no more")
    >>> capped([one, two]).over, capped([one, two]).cer
    (1, 0.3)
    """
    words = align(hypotheses, "word", profile)
    characters = words.by_character()
    over = int((characters.errors[characters.scored] > characters.reference[characters.scored]).sum())
    return Capped(_rate(words), _rate(characters), over, int(characters.scored.sum()))


def capped_errors(aligned: Alignments) -> Integers:
    """Return the errors of each utterance, (n,), at most as many as its reference has units."""
    return np.minimum(aligned.errors, aligned.reference)


def _rate(aligned: Alignments) -> float:
    reference = int(aligned.reference.sum())
    return int(capped_errors(aligned).sum()) / reference if reference else float("nan")
