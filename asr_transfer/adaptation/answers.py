"""Holds what a model answers on utterances, and says by how much answers are better than others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.distributions import t_quantile
from asr_transfer.evaluation.capped import capped_errors
from asr_transfer.evaluation.scoring import Hypothesis, align

SMOOTH = 0.02
"""Share of its characters that is added to the errors of a text, where errors stand for the loss: none of none is no
gain."""


SURE = 0.9
"""Chance, one-sided, with which a gain must be one to count, where there is no usual choice to fall back on."""


Floats = NDArray[np.float64]


@dataclass
class Answers:
    """A model's answers on some utterances.

    Attributes:
        errors, units, losses: (n,) character errors, reference characters and CTC losses; of a model of sequence to
            sequence errors stand for losses, and each clip has at most as many as it has characters.
        texts: (n,) texts that were heard; empty where nobody asks for them.
    """

    errors: Floats
    units: Floats
    losses: Floats
    texts: tuple[str, ...] = ()

    def __getitem__(self, index: Sequence[int]) -> Answers:
        texts = tuple(self.texts[n] for n in index) if self.texts else ()
        return Answers(self.errors[index], self.units[index], self.losses[index], texts)


def shares_of(found: Answers, before: Answers) -> Floats:
    """Return what each utterance adds to the criterion, (n,): half its errors and half its loss; before, all make 1.

    Args:
        found: answers of a model.
        before: answers on the same utterances of the one that it is compared with.
    """
    counted = found.errors / (before.errors.sum() + 1)
    shares: Floats = 0.5 * counted + 0.5 * found.losses / max(before.losses.sum(), 1e-9)
    return shares


def gain(found: Answers, before: Answers) -> tuple[float, float]:
    """Return how much smaller the criterion became, and the standard error of that; infinite where nobody can tell."""
    gains = shares_of(before, before) - shares_of(found, before)
    count = len(gains)
    return float(gains.sum()), float(np.sqrt(count) * gains.std(ddof=1)) if count > 1 else float("inf")


def is_gain(found: Answers, before: Answers) -> bool:
    """Return whether utterances gained by more than chance would have it, and lost no errors."""
    if len(found.errors) < 2 or found.errors.sum() > before.errors.sum():
        return False
    value, error = gain(found, before)
    return value > t_quantile(SURE, len(found.errors) - 1) * error


@torch.no_grad()
def answers(recogniser: Recogniser, spoken: Spoken, items: Sequence[int]) -> Answers:
    """Return character errors, reference characters and CTC losses of `items` under a recogniser."""
    if recogniser.can_run_away:
        return _written(recogniser, spoken, items)
    recogniser.model.eval()
    batch = spoken.collate(list(items))
    assert batch.target_lengths is not None
    logits, lengths = recogniser.logits(batch.inputs, batch.lengths)
    losses = torch.nn.functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1), batch.targets, lengths, batch.target_lengths, reduction="none"
    )
    heard = recogniser.decode(logits, lengths)
    aligned = align(
        [
            Hypothesis(str(n), "", "", recogniser.reference(spoken.utterance(item)), found.text)
            for n, (item, found) in enumerate(zip(items, heard, strict=True))
        ],
        "character",
    )
    return Answers(
        aligned.errors.astype(float),
        aligned.reference.astype(float),
        losses.cpu().numpy().astype(np.float64),
        tuple(found.text for found in heard),
    )


def _written(recogniser: Recogniser, spoken: Spoken, items: Sequence[int]) -> Answers:
    """Return the answers of a model of sequence to sequence: its errors alone, those of each clip capped.

    Its loss falls under teacher forcing while its texts stay as wrong as they were, so that it must not decide.
    """
    batch, utterances = spoken.collate(list(items)), [spoken.utterance(item) for item in items]
    assert batch.lengths is not None
    seconds, languages = [u.duration for u in utterances], [recogniser.language_of(u) for u in utterances]
    written = recogniser.writer().write(batch.inputs, batch.lengths, seconds, languages)
    rows = [
        Hypothesis(str(number), "", u.language, u.text, one.text)
        for number, (u, one) in enumerate(zip(utterances, written, strict=True))
    ]
    aligned = align(rows, "character", recogniser.normalisation)
    errors, units = capped_errors(aligned).astype(float), aligned.reference.astype(float)
    return Answers(errors, units, errors + SMOOTH * units, tuple(one.text for one in written))
