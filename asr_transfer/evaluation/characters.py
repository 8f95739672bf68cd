"""Results that were written character by character, as for a character error rate: their words are put together again.

SpeechBrain calls every rate `%WER`, also that of characters; ESPnet writes characters as the words of a `trn`. Scored
as they are, a character error rate would be called a word error rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asr_transfer.evaluation.foreign import Results

CHARACTERS = "characters"
"""Normalisation under which such results are scored whose words cannot be told."""

_SPACES = ("<space>", "<sp>", "▁", "_")


def put_together(results: Results, split: bool = False) -> Results:
    """Return results with words put together where every unit is a single character.

    Args:
        results: texts with spaces between their units.
        split: units that are letters without any mark between words are one word, for the toolkit always marks words.
    """
    texts = [text.split(" ") for u in results.utterances for text in (u.reference, u.hypothesis) if text]
    units = {unit for text in texts for unit in text}
    marks = [mark for mark in _SPACES if mark in units]
    if not any(len(text) > 1 for text in texts) or any(len(unit) > 1 and unit not in marks for unit in units):
        return results
    if not marks and not all(map(_has_case, units)) and (split or any(map(_is_ideograph, units))):
        note = "its words are single characters, so that the rate is a character error rate"
        return replace(results, profile=CHARACTERS, notes=[*results.notes, note])
    if not marks and not split:
        return results
    between = f"at `{marks[0]}`" if marks else "for nothing stands between words"
    note = (
        f"it holds single characters, so that its own rate is a character error rate; words were put together {between}"
    )
    utterances = [
        replace(u, reference=_joined(u.reference, marks), hypothesis=_joined(u.hypothesis, marks))
        for u in results.utterances
    ]
    return replace(results, utterances=utterances, notes=[*results.notes, note])


def _joined(text: str, marks: Sequence[str]) -> str:
    return " ".join("".join(" " if unit in marks else unit for unit in text.split(" ")).split())


def _has_case(unit: str) -> bool:
    return unit.lower() != unit.upper() or not unit.isalnum()


def _is_ideograph(unit: str) -> bool:
    return "\u2e80" <= unit <= "\ud7ff" or unit > "\U00020000"
