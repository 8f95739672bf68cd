"""Scores the model before an adaptation and the adapted one on the same utterances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.evaluation.breakdown import per_speaker
from asr_transfer.evaluation.capped import Capped, capped
from asr_transfer.evaluation.scoring import Hypothesis, Score, align, score, write_scores
from asr_transfer.evaluation.standard_error import in_points, residuals, standard_error
from asr_transfer.evaluation.unwritable import find_unwritable
from asr_transfer.runs.record import RunRecord
from asr_transfer.training.hypotheses import hypotheses


def before_and_after(
    name: str,
    source: Recogniser,
    adapted: Recogniser,
    spoken: Spoken,
    record: RunRecord,
    say: Callable[[str], None],
    what: str = "",
) -> dict[str, Any]:
    """Score both models, say what changed, and return both scores and the errors of each speaker for a record.

    Args:
        name: part of the run's speech; hypotheses of `test` are written to the run folder.
        source: model before the adaptation.
        adapted: model after it.
        spoken: Speech that both are scored on.
        record: record of the run.
        say: function that prints a line.
        what: description of the utterances, for the line.

    Utterances in the language of another head are scored through that.
    """
    profile = source.normalisation
    before, first = _score(source, spoken)
    after, recognised = _score(adapted, spoken)
    if name == "test":
        write_scores(record.folder, recognised, profile)
    risen = _rise(first, recognised, profile)
    whose, on = "others" if name == "judged" else name, f", on {what}" if what else ""
    say(f"{whose}: {_change(before, after)}{_risen(*risen)}{on}")
    bounded = [capped(found, profile) for found in (first, recognised)] if source.can_run_away else []
    if bounded:
        say(f"{whose}: {_change_capped(*bounded)}")
    lacking = None
    if not adapted.tokens.writes_everything:
        lacking = find_unwritable(recognised, adapted.written(by_head=True), adapted.writes)
    if lacking is not None:
        say(f"{name}: {lacking.sentence(str(record.given) if name == 'test' else None)}")
    pairs = [
        {"speaker": b.name, "before": b.counts.errors, "after": a.counts.errors, "words": b.counts.reference}
        for b, a in zip(
            per_speaker(align(first, "word", profile)), per_speaker(align(recognised, "word", profile)), strict=True
        )
    ]
    result: dict[str, object] = {
        "before": before.to_plain(),
        "after": after.to_plain(),
        "cer_change": {"value": risen[0], "standard_error": risen[1]},
        "pairs": pairs,
    }
    if bounded:
        result["capped"] = {"before": bounded[0].to_plain(), "after": bounded[1].to_plain()}
    return result if lacking is None else {**result, "unwritable": lacking.to_plain()}


def _score(recogniser: Recogniser, spoken: Spoken) -> tuple[Score, list[Hypothesis]]:
    recognised = hypotheses(recogniser, spoken, by_head=True)
    references, texts = [h.reference for h in recognised], [h.hypothesis for h in recognised]
    return score(references, texts, recogniser.normalisation, [h.language for h in recognised]), recognised


def _rise(
    first: Sequence[Hypothesis], recognised: Sequence[Hypothesis], profile: str
) -> tuple[float | None, float | None]:
    """Return the rise of the character error rate and its standard error; None for what cannot be told."""
    before, after = align(first, "character", profile), align(recognised, "character", profile)
    changes, units = (after.errors - before.errors).astype(float), before.reference.astype(float)
    if not units.sum():
        return None, None
    error = standard_error(residuals(changes, units), [h.speaker for h in recognised])
    return float(changes.sum() / units.sum()), error


def _risen(rise: float | None, error: float | None) -> str:
    return "" if rise is None or error is None else f" ({in_points(rise, error)} points)"


def _change(before: Score, after: Score) -> str:
    return (
        f"WER {100 * before.wer:.1f} % → {100 * after.wer:.1f} % ({before.words.errors} → {after.words.errors} errors "
        f"in {before.words.reference} words), CER {100 * before.cer:.1f} % → {100 * after.cer:.1f} %"
    )


def _change_capped(before: Capped, after: Capped) -> str:
    wer = f"WER {100 * before.wer:.1f} % → {100 * after.wer:.1f} %"
    cer = f"CER {100 * before.cer:.1f} % → {100 * after.cer:.1f} %"
    over = f"{before.over} → {after.over} of {after.clips} clips above it"
    return f"capped at each clip's reference: {wer}, {cer}; {over}"
