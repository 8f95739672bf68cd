"""Decides whether `asr-transfer learn` learns from recordings without transcripts too, and trains on them if so.

The way that was chosen on the transcribed recordings is trained again on these and on the others, with the texts that
its model gave them. The recordings that chose the way judge this as well; those that are scored in the end do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from asr_transfer.adaptation.self_training import SelfTraining, choose_self_training
from asr_transfer.adaptation.untranscribed import beside as together
from asr_transfer.commands.learn import LearnCommand
from asr_transfer.commands.options import Say
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.languages.held_out import Parts
from asr_transfer.languages.learning import Beside, Outcome, Planned, retrained, train_way
from asr_transfer.languages.transfer import Learnt


def of_trained_speakers(untranscribed: Sequence[Utterance], parts: Parts) -> list[Utterance]:
    """Return recordings without those of speakers who are held out: the scores are of people who were never heard."""
    held = {u.speaker for u in [*parts.dev, *parts.test]} - {u.speaker for u in parts.train}
    return [u for u in untranscribed if u.speaker not in held]


def with_untranscribed(
    source: Recogniser,
    outcome: Outcome,
    planned: Planned,
    train: Spoken,
    dev: Spoken,
    untranscribed: Spoken,
    beside: Beside,
    command: LearnCommand,
    say: Say,
    log: Say,
) -> tuple[Outcome, SelfTraining]:
    """Return the language as it is learnt in the end, and what is known of the recordings without transcripts.

    Args:
        source: model that the language is taught to; where it knows the language, listening in it.
        outcome: the language as it was learnt from the transcribed recordings.
        planned: ways that were tried.
        train: transcribed recordings that were trained on.
        dev: those that chose the way.
        untranscribed: further recordings, with inputs in the same store.
        beside: speech of the model's other languages.
        command: options of the run.
        say: function that prints a line and logs it.
        log: function that takes lines of a training.
    """
    # Where no way helped, the best of them may still help with more recordings.
    ranked = [outcome.chosen.way, *(one.way for one in outcome.chosen.ladder)]
    way = next(name for name in ranked if name != "none")
    done: dict[tuple[str, ...], Learnt] = {}

    def learn(own: Spoken, labelled: Spoken) -> Recogniser:
        # The model at hand was trained on all transcribed recordings but those that judge.
        if not labelled:
            return outcome.recogniser
        name = f"{way}-and-{len(labelled)}-untranscribed"
        made = train_way(source, planned, way, together(own, labelled), dev, beside, command, command.out, name, log)
        done[tuple(u.id for u in labelled.utterances)] = made
        return made.recogniser

    transcribed = together(train, dev)
    judged = range(len(train), len(transcribed))
    found = choose_self_training(transcribed, untranscribed, [judged], learn, command.confidences, log=log)
    say(f"without transcript: {found.reason}")
    if not found.spoken:
        return outcome, found
    made = done[tuple(u.id for u in found.spoken.utterances)]
    return retrained(outcome, way, made, found.reason, beside, dev, say), found
