"""Decides whether a speaker's recordings without transcripts are adapted to beside those with.

The method is the one that was chosen, or named, for the transcribed recordings; where none helped these, the usual
choice may still help with more recordings, and is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.checks import held_out_folds
from asr_transfer.adaptation.choice import NONE, Choice
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.self_training import SelfTraining, choose_self_training
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser


def with_untranscribed(
    source: Recogniser,
    spoken: Spoken,
    untranscribed: Spoken,
    config: AdaptConfig,
    choice: ChoiceConfig,
    chosen: Choice,
    usual: Choice,
    source_speech: Spoken | None = None,
    groups: Sequence[int] | None = None,
    log: Callable[[str], None] | None = None,
    shared: Shared | None = None,
) -> tuple[Choice, SelfTraining]:
    """Return how to adapt, and the recordings without transcripts to adapt to beside those with.

    Args:
        source: model to adapt.
        spoken: transcribed speech of the speaker.
        untranscribed: other speech of the speaker, with inputs in the same store; its texts are not read.
        config: budget of one adaptation.
        choice: folds, and the confidences that are tried.
        chosen: choice of a method on the transcribed speech.
        usual: way that is tried with the other recordings where `chosen` leaves the model as it is.
        source_speech: speech of the source domain, to mix in, with inputs in the same store.
        groups: equal numbers for utterances that must share a fold.
        log: function that is called with a line for each confidence.
        shared: activations that trainings compute once.
    """
    shared = shared or Shared(source, spoken.store)
    alone = chosen.method != NONE
    how = chosen if alone else usual
    settings = replace(config, learning_rate=how.learning_rate, strength=how.strength)

    def train(own: Spoken, labelled: Spoken) -> Recogniser:
        if not alone and not labelled:
            return source
        both = beside(own, labelled)
        return adapt(source, both, how.method, settings, source_speech=source_speech, shared=shared).recogniser

    ties = groups if groups is not None else range(len(spoken))
    folds = held_out_folds(spoken.utterances, choice.folds, config.seed, ties)
    found = choose_self_training(spoken, untranscribed, folds, train, choice.confidences, enough=choice.judged, log=log)
    if alone or not found.spoken:
        return chosen, found
    return replace(usual, reason=found.reason, ladder=chosen.ladder, cpu_seconds=chosen.cpu_seconds), found


def beside(transcribed: Spoken, labelled: Spoken) -> Spoken:
    """Return both as one; they share a store."""
    return Spoken([*transcribed.utterances, *labelled.utterances], transcribed.store)
