"""Puts words together again in results that are written character by character or in pieces of words.

SpeechBrain calls every rate `%WER`, also that of characters; ESPnet writes characters, and the pieces of SentencePiece
(`▁tu rn`), as the words of a `trn`. Scored as they are, their error rates would be called word error rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asr_transfer.data.subwords import MARK
from asr_transfer.errors import DataError
from asr_transfer.evaluation.foreign import Results
from asr_transfer.evaluation.normalisation import DEFAULT, PROFILES, find_profile
from asr_transfer.whitespace import single_spaced

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
    results = _whole_words(results)
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


def _whole_words(results: Results) -> Results:
    """Return results with the words put together that are in pieces: `▁tu rn` of SentencePiece, `tu@@ rn` of BPE."""
    notes, utterances = list(results.notes), results.utterances
    for name in ("reference", "hypothesis"):
        texts = [str(getattr(u, name)) for u in utterances]
        units = {unit for text in texts for unit in text.split(" ")}
        if any(unit.startswith(MARK) and len(unit) > 1 for unit in units):
            whole = ["".join(text.split(" ")).replace(MARK, " ") for text in texts]
        elif any(unit.endswith("@@") and len(unit) > 2 for unit in units):
            whole = [f"{text} ".replace("@@ ", "") for text in texts]
        else:
            continue
        notes.append(f"its {name} is in pieces of words, which were put together")
        utterances = [replace(u, **{name: single_spaced(text)}) for u, text in zip(utterances, whole, strict=True)]
    return replace(results, utterances=utterances, notes=notes)


def fitting_profile(name: str, results: Results, asked: str | None) -> str:
    """Return the normalisation that results are scored under.

    Args:
        name: name of the results, for messages.
        results: argument of `put_together`.
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
