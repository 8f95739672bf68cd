"""Chooses how to adapt to recordings of which none has a transcript.

What a method gains cannot be told from such recordings: a model that was adapted to its own texts, or made surer at
test time, is surer of them, and agrees with itself, whether they are right or wrong. So methods are compared on
recordings of the same speaker that do have a transcript, where there are some, and trained for nothing where there are
none. Then the recordings decide only whether test-time adaptation is worth its time, by a rule from other speakers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.answers import Answers, is_gain, shares_of
from asr_transfer.adaptation.choice import NONE, Choice, has_warp
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.ladder import WORST, Rung, describe
from asr_transfer.adaptation.methods import default_learning_rate
from asr_transfer.adaptation.own_statistics import ADABN, differ, is_measured
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.adaptation.unsupervised import guess
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Frames, Recogniser
from asr_transfer.errors import DataError, TrainingError
from asr_transfer.evaluation.scoring import Hypothesis, align
from asr_transfer.progress import Work
from asr_transfer.training import distributed
from asr_transfer.training.learnable import learnable

TEST_TIME, WARP = "suta", "warp-untranscribed"
UNSURE = 0.9
"""Median confidence below which test-time adaptation is chosen unseen. On AN4 sentences of development speakers it took
a quarter of the word errors away with noise, where all medians were below, and a tenth without, where all were above
and two speakers of six became worse."""
LONG = 8.0
"""Characters recognised in a recording, the mean, from which it is long enough to be adapted to alone: on single digits
test-time adaptation took no errors away."""
NO_RATE = "that is no error rate, so give some recordings with transcripts, with --test or in the data, to know"


def choose_without_transcripts(
    source: Recogniser,
    spoken: Spoken,
    config: AdaptConfig,
    choice: ChoiceConfig,
    transcribed: Spoken,
    log: Callable[[str], None] | None = None,
    shared: Shared | None = None,
) -> Choice:
    """Choose among methods that read no transcripts, with "leave the model alone" among the answers.

    Args:
        source: model to adapt.
        spoken: speech of the speaker; its texts are not read.
        config: budget of one adaptation.
        choice: methods that are tried, and strengths.
        transcribed: other speech of the speaker, with transcripts and with inputs in the same store, on which the
            methods are compared; with fewer than two recordings they are not compared.
        log: function that is called with a line per candidate.
        shared: activations that trainings compute once.
    """
    begin = time.process_time()
    judged, _ = learnable(transcribed.spelled(source.tokens), source.model)
    shared = shared or Shared(source, spoken.store)
    warped = has_warp(source, spoken, config, choice, False, shared)
    differing = choice.adabn and differ(source, spoken, distributed.join(config.device))
    if len(judged) < 2:
        method, reason = _unseen(source, spoken, choice, warped, differing and is_measured(source.model))
        return Choice(method, None, 1.0, reason, (), time.process_time() - begin)
    before = answers_as_heard(source, judged)
    tried: list[tuple[Rung, Answers | None]] = []
    methods = choice.without_transcripts
    trained = [method for method in methods if default_learning_rate(method)]
    for below in (WARP,) * warped + (ADABN,) * differing:
        methods = (*methods, below, *(f"{below}+{method}" for method in trained))
    for place, method in enumerate(methods, start=1):
        with Work(f"candidate {place} of {len(methods)} ({method})", bar=False):
            tried.append(_best(source, spoken, judged, before, method, config, choice, shared))
        if log:
            log(describe(tried[-1][0]))
    tried.sort(key=lambda one: one[0].score)
    ladder, (best, after) = tuple(rung for rung, _ in tried), tried[0]
    found = f"{best.method} × {best.strength:g}, {best.source_errors} → {best.errors} of {best.units} characters wrong"
    where, seconds = f"the {len(judged)} recordings with transcripts", time.process_time() - begin
    if after is None or not is_gain(after, before):
        why = best.refused or f"{found} on {where}; that is no gain beyond chance"
        return Choice(NONE, None, 1.0, f"the best candidate, {why}, so the model stays as it is", ladder, seconds)
    reason = f"the best on {where}: {found}; they have chosen it, so others would show a little less"
    return Choice(best.method, best.learning_rate or None, best.strength, reason, ladder, seconds)


def answers_as_heard(model: Recogniser, spoken: Spoken) -> Answers:
    """Return character errors, reference characters and CTC losses of speech with targets, as a model recognises it.

    Unlike `candidates.answers` this adapts at test time, where the model says how.
    """

    def read(frames: Frames) -> list[tuple[str, float]]:
        batch = frames.batch
        assert batch.target_lengths is not None
        losses = functional.ctc_loss(
            frames.logits.log_softmax(-1).transpose(0, 1),
            batch.targets.to(frames.logits.device),
            frames.lengths,
            batch.target_lengths.to(frames.lengths.device),
            reduction="none",
        )
        heard = model.decode(frames.logits, frames.lengths)
        return [(found.text, loss) for found, loss in zip(heard, losses.tolist(), strict=True)]

    rows = [row for (row,) in model.listen_with(read, spoken, whole=True, adapted=True)]
    aligned = align(
        [
            Hypothesis(u.id, "", "", model.reference(u), text)
            for u, (text, _) in zip(spoken.utterances, rows, strict=True)
        ],
        "character",
    )
    losses = np.array([loss for _, loss in rows])
    return Answers(aligned.errors.astype(float), aligned.reference.astype(float), losses)


def _best(
    source: Recogniser,
    spoken: Spoken,
    judged: Spoken,
    before: Answers,
    method: str,
    config: AdaptConfig,
    choice: ChoiceConfig,
    shared: Shared,
) -> tuple[Rung, Answers | None]:
    """Return a method at its best strength, as it does on transcribed recordings after adapting to all others."""
    rate = default_learning_rate(method)
    try:
        adapted = adapt(source, spoken, method, replace(config, learning_rate=rate or None), shared=shared)
        options = []
        for strength in choice.strengths if rate else (1.0,):
            after = answers_as_heard(adapted.at_strength(strength), judged)
            options.append((_rung(method, rate, strength, before, after), after))
        return min(options, key=lambda option: option[0].score)
    except TrainingError:
        why = "its training did not stay finite"
    except DataError as error:  # nothing is sure enough to learn from
        why = str(error).removesuffix(".")
    return Rung(method, rate, 1.0, 0, 0, 0, 0, WORST, None, f"{method}: {why}"), None


def _rung(method: str, rate: float, strength: float, before: Answers, after: Answers) -> Rung:
    shares = shares_of(after, before)
    # One error more on both sides: none of none is no gain.
    score = float(shares.sum() + 0.5 / (before.errors.sum() + 1))
    return Rung(
        method, rate, strength, 1, int(after.errors.sum()), int(before.units.sum()), int(before.errors.sum()),
        min(score, WORST) if np.isfinite(score) else WORST, None, "", tuple(shares.tolist()),
    )  # fmt: skip


def _unseen(source: Recogniser, spoken: Spoken, choice: ChoiceConfig, warped: bool, differing: bool) -> tuple[str, str]:
    """Return a method and the reason where there is no transcript to see on what it gains.

    Args:
        source: model to adapt.
        spoken: speech of the speaker.
        choice: methods that may be taken.
        warped: whether the model is clearly surer of what it hears through a warp.
        differing: whether the recordings differ from what the model normalises by.
    """
    unseen = "without any transcript nothing shows what a method gains"
    if warped:
        return WARP, f"{unseen}, but the model is clearly surer of what it hears through a warp; {NO_RATE}"
    if differing:
        helped = "and to normalise by them took errors away for others through a telephone or in noise"
        return ADABN, f"{unseen}, but the recordings differ from what the model was trained on, {helped}; {NO_RATE}"
    with torch.no_grad():
        guesses = guess(source, spoken)
    sure = float(np.median([found.confidence for found in guesses]))
    length = float(np.mean([len(found.heard.text) for found in guesses]))
    seen = f"{unseen}; the model's middle confidence is {sure:.2f}"
    if TEST_TIME not in choice.without_transcripts:
        return NONE, f"{seen}, {NO_RATE}; the model stays as it is"
    if length < LONG:
        why = f"and {length:.1f} characters a recording are too few to adapt to each alone"
        return NONE, f"{seen}, {why}; {NO_RATE}; the model stays as it is"
    if sure >= UNSURE:
        return NONE, f"{seen}, at which test-time adaptation gains little; {NO_RATE}; the model stays as it is"
    helped = f"and below {UNSURE:g} test-time adaptation took errors away for most other speakers"
    return TEST_TIME, f"{seen}, {helped}; {NO_RATE}"
