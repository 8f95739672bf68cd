"""Results that were written character by character, as for a character error rate: their words are put together again.

SpeechBrain calls every rate `%WER`, also that of characters; ESPnet writes characters as the words of a `trn`. Scored
as they are, a character error rate would be called a word error rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asr_transfer.errors import DataError
from asr_transfer.evaluation.foreign import Results
from asr_transfer.evaluation.normalisation import DEFAULT, PROFILES, find_profile

CHARACTERS = "characters"
"""Normalisation under which such results are scored whose words cannot be told."""

_SPACES = ("<space>", "<sp>", "▁", "_")


def put_together(results: Results, split: bool = False) -> Results:
    """Return results with words put together where every unit is a single character.

    Where nothing marks the spaces between words, the units stay, to be scored as characters.

    Args:
        results: texts with spaces between their units.
        split: units that are single letters or digits are characters, although they could be words.
    """
    texts = [text.split(" ") for u in results.utterances for text in (u.reference, u.hypothesis) if text]
    units = {unit for text in texts for unit in text}
    marks = [mark for mark in _SPACES if mark in units]
    if not any(len(text) > 1 for text in texts) or any(len(unit) > 1 and unit not in marks for unit in units):
        return results
    if marks:
        note = f"it holds single characters, so that its own rate is of characters; {marks[0]} was read as a space"
        utterances = [
            replace(u, reference=_joined(u.reference, marks), hypothesis=_joined(u.hypothesis, marks))
            for u in results.utterances
        ]
        return replace(results, utterances=utterances, notes=[*results.notes, note])
    if split or any(map(_is_ideograph, units)):
        note = "it holds single characters and no spaces between words, so that the rate is of characters"
        return replace(results, profile=CHARACTERS, notes=[*results.notes, note])
    return results


def fitting_profile(name: str, results: Results, asked: str | None) -> str:
    """Return the normalisation that results are scored under.

    Args:
        name: of the results, for messages.
        results: as of `put_together`.
        asked: normalisation that the user asks for; None for what fits.

    Raises:
        DataError: the results are characters, and what is asked for scores words.
    """
    if asked is not None and results.profile == CHARACTERS and find_profile(asked).spaced:
        fitting = ", ".join(sorted(profile.name for profile in PROFILES.values() if not profile.spaced))
        raise DataError(
            f"{name}: holds characters instead of words, so that '{asked}' cannot be applied; score under {fitting}."
        )
    return asked or results.profile or DEFAULT


def _joined(text: str, marks: Sequence[str]) -> str:
    return " ".join("".join(" " if unit in marks else unit for unit in text.split(" ")).split())


def _is_ideograph(unit: str) -> bool:
    return "\u2e80" <= unit <= "\ud7ff" or unit > "\U00020000"
