"""Decides whether recordings without transcripts help beside those with, by texts that a model gives them.

The model that was trained on the transcribed recordings labels the others, and what it is sure of is trained on beside
the transcribed ones (self-training; Scudder 1965, for speech Kahn et al. 2020). Its mistakes are then learnt too, so
that nobody knows beforehand whether this helps. Here it is measured: with and without the others, models are trained
on the transcribed recordings but one part and judged on that part, which the labelling model has not heard either.

Nothing here knows what a training is: a speaker's adaptation and the learning of a language give their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asr_transfer.adaptation.answers import Answers, Floats, answers, gain, is_gain
from asr_transfer.adaptation.unsupervised import guess, surest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.distributions import t_quantile
from asr_transfer.errors import TrainingError
from asr_transfer.evaluation.standard_error import residuals, standard_error
from asr_transfer.plain import to_plain
from asr_transfer.progress import Work

Train = Callable[[Spoken, Spoken], Recogniser]
"""Trains on transcribed speech and, beside it, on speech whose texts a model made, of which there may be none."""

Answer = Callable[[Recogniser, Spoken], Answers]
"""Lets a model answer on transcribed speech that it was not trained on."""

LEVEL = 0.95
AT_ONCE = 32
"""Utterances that a model answers on in one batch."""


@dataclass(frozen=True)
class Trial:
    """Speech with texts of a model, trained on beside the transcribed, as it did on held-out recordings.

    Attributes:
        confidence: least confidence of the texts that were taken.
        taken: number of recordings that had such a text, the mean over folds.
        errors, alone, units: character errors on the held-out recordings, those without the others' help, and
            reference characters.
        gain: criterion that the others take away, half of it errors and half loss; 1 is all of it.
        helps: whether held-out recordings gained by more than chance would have it, and lost no errors.
        change, low, high: change of the character error rate and its 95 % interval; None where there is none.
        failed: reason why there is no figure; empty otherwise.
    """

    confidence: float
    taken: float
    errors: int = 0
    alone: int = 0
    units: int = 0
    gain: float = 0.0
    helps: bool = False
    change: float = 0.0
    low: float | None = None
    high: float | None = None
    failed: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Return the trial for a run record."""
        return dict(to_plain(self))

    def sentence(self) -> str:
        """Return what it did in a line."""
        if self.failed:
            return f"texts surer than {self.confidence:g}: {self.failed}"
        interval = "" if self.low is None or self.high is None else f", 95 % interval {_span(self.low, self.high)}"
        return (
            f"texts surer than {self.confidence:g} ({self.taken:.3g} recordings): character errors {self.alone} → "
            f"{self.errors} of {self.units} on held-out recordings ({100 * self.change:+.1f} points{interval})"
        )


@dataclass(frozen=True)
class SelfTraining:
    """The answer and how it was found.

    Attributes:
        spoken: recordings to train on beside the transcribed, with texts of a model; none where they do not help.
        confidence: least confidence of these texts; None where they are not used.
        reason: one sentence.
        trials: results of each confidence.
        cpu_seconds: processor time of finding out.
    """

    spoken: Spoken
    confidence: float | None
    reason: str
    trials: tuple[Trial, ...] = field(default=())
    cpu_seconds: float = 0.0

    def to_plain(self) -> dict[str, Any]:
        """Return the answer for a run record, with the ids of the recordings."""
        used = [u.id for u in self.spoken.utterances]
        trials = [trial.to_plain() for trial in self.trials]
        return {"used": used, "confidence": self.confidence, "reason": self.reason, "trials": trials}


def letters_and_losses(model: Recogniser, spoken: Spoken) -> Answers:
    """Return character errors and CTC losses of each utterance: how models are judged unless something else is given.

    Raises:
        DataError: a transcript cannot be spelled.
    """
    spelled = spoken.spelled(model.tokens)
    parts = [range(n, min(n + AT_ONCE, len(spoken))) for n in range(0, len(spoken), AT_ONCE)]
    return _joined([answers(model, spelled, part) for part in parts])


def choose_self_training(
    transcribed: Spoken,
    untranscribed: Spoken,
    folds: Sequence[Sequence[int]],
    train: Train,
    confidences: Sequence[float],
    answer: Answer = letters_and_losses,
    enough: int | None = None,
    log: Callable[[str], None] | None = None,
) -> SelfTraining:
    """Decide whether a training gains by recordings without transcripts, and which of their texts to take.

    For each fold a model is trained on the transcribed recordings outside it. It labels the others and is itself what
    the trainings with these are compared with. Thresholds that take the same recordings are trained once.

    Args:
        transcribed: speech whose texts are true.
        untranscribed: speech whose texts are not read, with inputs in the same store and no recording of the first.
        folds: numbers of the transcribed utterances that are held out together, one fold or several.
        train: training; it must not keep what it learns from one call to the next. With no other speech it may return
            a model as it stands, where training on the transcribed alone does not help either.
        confidences: least confidences of a text to try, from 0 to 1 (see `unsupervised.guess`).
        answer: way in which a model is judged.
        enough: number of held-out utterances after which no more folds are run; None for all.
        log: function that is called with a line for each confidence.
    """
    begin, none = time.process_time(), untranscribed.subset(())
    held: list[int] = []
    alone: list[Answers] = []
    found: dict[float, list[Answers]] = {confidence: [] for confidence in confidences}
    taken: dict[float, list[int]] = {confidence: [] for confidence in confidences}
    failed: dict[float, str] = {}
    if not untranscribed or not folds:
        what = "there is no recording without transcript" if folds else "too few have a transcript to hold some out"
        return SelfTraining(none, None, f"{what}, so only transcribed ones are used")
    for number, part in enumerate(folds, start=1):
        out = set(part)
        rest = transcribed.subset(n for n in range(len(transcribed)) if n not in out)
        judged = transcribed.subset(part)
        with Work(f"recordings without transcript, fold {number} of {len(folds)}", bar=False):
            model = train(rest, none)
            guesses = guess(model, untranscribed)
            alone.append(answer(model, judged))
            done: dict[tuple[str, ...], Answers] = {}
            for confidence in confidences:
                labelled, _ = surest(model, untranscribed, guesses, confidence)
                taken[confidence].append(len(labelled))
                names = tuple(u.id for u in labelled.utterances)
                if confidence in failed:
                    continue
                try:
                    if names not in done:
                        done[names] = answer(train(rest, labelled), judged) if names else alone[-1]
                    found[confidence].append(done[names])
                except TrainingError:
                    failed[confidence] = "the training did not stay finite"
        held += part
        if enough is not None and len(held) >= enough:
            break
    speakers = [transcribed.utterances[n].speaker for n in held]
    trials = [
        _trial(confidence, taken[confidence], _joined(alone), found[confidence], speakers, failed.get(confidence, ""))
        for confidence in confidences
    ]
    for trial in trials:
        if log:
            log(trial.sentence())
    best = max(trials, key=lambda trial: -np.inf if trial.failed else trial.gain)
    if not best.helps:
        why = "recordings without transcript are not used, for held-out recordings do not gain by more than chance"
        reason = f"{why}: {best.sentence()}"
        return SelfTraining(none, None, reason, tuple(trials), time.process_time() - begin)
    model = train(transcribed, none)
    labelled, _ = surest(model, untranscribed, guess(model, untranscribed), best.confidence)
    reason = f"{len(labelled)} of {len(untranscribed)} recordings without transcript are used: {best.sentence()}"
    if not labelled:
        reason = f"no text is surer than {best.confidence:g} in the end, so only transcribed recordings are used"
    taken_from = best.confidence if labelled else None
    return SelfTraining(labelled, taken_from, reason, tuple(trials), time.process_time() - begin)


def _trial(
    confidence: float,
    taken: Sequence[int],
    alone: Answers,
    parts: Sequence[Answers],
    speakers: Sequence[str],
    failed: str,
) -> Trial:
    many = float(np.mean(taken))
    if failed or not any(taken):
        return Trial(confidence, many, failed=failed or "the model is nowhere as sure")
    beside = _joined(parts)
    if not np.isfinite(beside.losses).all():
        return Trial(confidence, many, failed="the training did not stay finite")
    changes, units = beside.errors - alone.errors, np.maximum(alone.units, 1e-9)
    change, low, high = _interval(changes, units, speakers)
    return Trial(
        confidence, many, int(beside.errors.sum()), int(alone.errors.sum()), int(alone.units.sum()),
        gain(beside, alone)[0], is_gain(beside, alone), change, low, high,
    )  # fmt: skip


def _interval(changes: Floats, units: Floats, speakers: Sequence[str]) -> tuple[float, float | None, float | None]:
    """Return the change of a rate and the ends of its interval, by Student's t over utterances, or over speakers."""
    change = float(changes.sum() / units.sum())
    error = standard_error(residuals(changes, units), speakers)
    if error is None:
        return change, None, None
    clusters = len(set(speakers)) if len(set(speakers)) > 1 else len(changes)
    reach = t_quantile((1 + LEVEL) / 2, clusters - 1) * error
    return change, change - reach, change + reach


def _joined(parts: Sequence[Answers]) -> Answers:
    errors, units, losses = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("errors", "units", "losses")
    )
    return Answers(errors, units, losses)


def _span(low: float, high: float) -> str:
    return f"{100 * low:+.1f} to {100 * high:+.1f}"
