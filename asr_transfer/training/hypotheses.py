"""Recognises utterances and puts what was heard beside what was said.

It stands apart from the training session, so that who only listens loads nothing that trains.
"""

from __future__ import annotations

from collections.abc import Sequence

from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.evaluation.scoring import Hypothesis


def hypotheses(recogniser: Recogniser, spoken: Spoken, by_head: bool = False) -> list[Hypothesis]:
    """Recognise utterances and pair the results with their references.

    A reference that the tokens cannot spell is still scored: what the model cannot write is its error.

    Args:
        recogniser: Model that listens.
        spoken: Speech to listen to.
        by_head: Choice to listen to each utterance through the head of its language, where the model has one.
    """
    heads = [recogniser.head] * len(spoken)
    if by_head:
        heads = [u.language if u.language in recogniser.others else recogniser.head for u in spoken.utterances]
    return paired(recogniser, spoken, heads, recogniser.listen(spoken, heads))


def paired(recogniser: Recogniser, spoken: Spoken, heads: Sequence[str], texts: Sequence[str]) -> list[Hypothesis]:
    """Return texts as hypotheses, each beside what a perfect recogniser would write through its head."""
    by_name = {name: recogniser if name == recogniser.head else recogniser.for_head(name) for name in set(heads)}
    return [
        Hypothesis(u.id, u.speaker, u.language, by_name[head].reference(u), text)
        for u, head, text in zip(spoken.utterances, heads, texts, strict=True)
    ]
