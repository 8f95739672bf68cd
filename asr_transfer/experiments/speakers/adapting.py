"""Adapts to one draw of a speaker by one method, and counts what it gained and cost."""

from __future__ import annotations

import time
from dataclasses import replace

from asr_transfer.adaptation.adapt import adapt, spelled_by_head
from asr_transfer.adaptation.answers import answers
from asr_transfer.adaptation.choice import adapt_by_choice, lasting
from asr_transfer.adaptation.loss_of_others import rise
from asr_transfer.adaptation.own_statistics import normalised_as, statistics_of
from asr_transfer.adaptation.warp import unwarped, warp_of
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import NothingUsable
from asr_transfer.experiments.speakers.config import AUTOMATIC, WITHOUT_SOURCE
from asr_transfer.experiments.speakers.protocol import Draw, Fold, others_of
from asr_transfer.experiments.speakers.trials import Counted, Trial
from asr_transfer.experiments.speakers.workshop import Workshop
from asr_transfer.progress import Work
from asr_transfer.remarks import remark
from asr_transfer.training.hypotheses import hypotheses

Key = tuple[str, Draw, int, str, float]
"""Fold, draw, amount, name of the method in tables, learning rate."""


UNUSABLE = "nothing usable"
"""What `auto` chose where it had nothing to choose by."""


def run_trial(argument: tuple[Workshop, Fold, Key]) -> Trial:
    """Adapt and test once."""
    _, draw, amount, method, _ = argument[2]
    with Work(f"{draw.speaker}, {method} on {amount}", bar=False):
        return _run_trial(argument)


def _run_trial(argument: tuple[Workshop, Fold, Key]) -> Trial:
    shop, fold, (_, draw, amount, called, rate) = argument
    known, store, source = shop.utterances(), shop.store(), shop.source(fold.name)
    grid = next((grid for grid in shop.config.methods if grid.called == called), None)
    method = "none" if grid is None else grid.name
    seconds, recogniser, chosen, before = 0.0, source, "", warp_of(source.model)
    if grid is not None and method != "none":
        settings = replace(grid.adapting(shop.config.adapt), learning_rate=rate or None, seed=draw.number)
        speech = Spoken([known[name] for name in draw.pool[:amount]], store)
        more = Spoken([known[name] for name in fold.source] if method != WITHOUT_SOURCE else [], store)
        begin = time.process_time()
        try:
            if method in AUTOMATIC:
                judged = Spoken([known[name] for name in fold.judged] if method != WITHOUT_SOURCE else [], store)
                adapted, choice = adapt_by_choice(source, speech, settings, shop.config.choice, more, judged=judged)
                chosen = choice.summary()
            else:
                adapted = adapt(source, speech, method, settings, source_speech=more)
            recogniser = adapted.recogniser
        except NothingUsable as error:
            # Who has drawn one recording that cannot be learnt from is heard by the model as it is, and still counts.
            remark(f"{draw.speaker}, {called} on {amount}: stays with the source model, for {error}")
            chosen = UNUSABLE if method in AUTOMATIC else ""
        seconds = time.process_time() - begin
    if grid is not None and grid.writing is not None:
        recogniser = replace(recogniser, writing=grid.writing)
    others = others_of(fold, draw.speaker, shop.config.protocol)
    own = hypotheses(recogniser, Spoken([known[name] for name in draw.test], store))
    usual = {} if recogniser is source else dict(statistics_of(source.model))
    with unwarped(recogniser, before), normalised_as(recogniser.model, usual):
        rest = hypotheses(recogniser, Spoken([known[name] for name in others], store))
        risen = None if recogniser is source else _risen(shop, fold, recogniser)
    unit, profile = shop.config.protocol.unit, recogniser.normalisation
    counted, beside = (Counted.of(heard, unit, profile, recogniser.can_run_away) for heard in (own, rest))
    letters = Counted.of(rest, "characters", profile, recogniser.can_run_away)
    return Trial(
        fold.name, draw.speaker, draw.number, amount, called, rate,
        counted.errors, counted.reference, beside.errors, beside.reference,
        round(seconds, 3), {h.id: h.hypothesis for h in own}, chosen, unit, profile,
        counted.capped, beside.capped, counted.over,
        risen,
        letters.errors if letters.capped is None else letters.capped, letters.reference,
    )  # fmt: skip


def _risen(shop: Workshop, fold: Fold, recogniser: Recogniser) -> float | None:
    """Return what others are predicted to lose, as `auto` predicts it, on source speech that was held out."""
    if not fold.judged:
        return None
    known, source = shop.utterances(), shop.source(fold.name)
    # What CTC cannot write has an infinite loss, and tells nothing of what others lose.
    heard = spelled_by_head(source, Spoken([known[name] for name in fold.judged], shop.store())).get(source.head)
    if heard is None:
        return None
    judged = lasting(heard.utterances, shop.config.choice.check_seconds)
    spoken = heard.subset(range(len(judged)))
    after, before = (answers(model, spoken, range(len(spoken))) for model in (recogniser, source))
    return rise(after, before, [utterance.speaker for utterance in judged]).risen
