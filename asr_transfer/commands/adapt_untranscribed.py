"""Tries a speaker's recordings without transcripts beside those with, for `asr-transfer adapt`."""

from __future__ import annotations

from asr_transfer.adaptation.checks import digest
from asr_transfer.adaptation.choice import AUTO, Choice, usual_choice
from asr_transfer.adaptation.methods import default_learning_rate
from asr_transfer.adaptation.self_training import SelfTraining
from asr_transfer.adaptation.untranscribed import with_untranscribed
from asr_transfer.adaptation.usable_recordings import Vetted, vet
from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.commands.adapt_asked import trains
from asr_transfer.commands.options import Say
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError


def usable_untranscribed(command: AdaptCommand, source: Recogniser, rest: Spoken, vetted: Vetted, say: Say) -> Spoken:
    """Return those recordings without transcript that can be used: no silence, and no copy of a transcribed one."""
    if not rest:
        return rest
    if source.can_run_away:
        say(f"{len(rest)} recordings without transcript are not used, for that needs a model with CTC")
        return rest.subset(())
    if not trains(command) or (command.method != AUTO and not command.check):
        say(
            f"{len(rest)} recordings without transcript are not used: `--method {command.method}` as asked for does not"
        )
        return rest.subset(())
    try:
        usable = vet(source, rest, command.speeds, True, False, say).spoken
    except DataError as error:
        say(f"without transcript: {error}")
        return rest.subset(())
    known = {digest(u) for u in vetted.spoken.utterances}
    return usable.subset(n for n, u in enumerate(usable.utterances) if digest(u) not in known)


def choose_with_untranscribed(
    command: AdaptCommand,
    source: Recogniser,
    vetted: Vetted,
    rest: Spoken,
    mixed: Spoken,
    choice: Choice,
    say: Say,
) -> tuple[Choice, SelfTraining]:
    """Try the recordings without transcript beside the others; return how to adapt, and what is known of them."""
    if command.method == AUTO:
        usual = usual_choice(command.choice, bool(mixed), source.model)
    else:
        rate = command.learning_rate or default_learning_rate(command.method, source.model)
        usual = Choice(command.method, rate, command.strength, "named by the user", (), 0.0)
    found = with_untranscribed(
        source, vetted.spoken, rest, command, command.choice, choice, usual, mixed, vetted.groups, say
    )
    say(f"without transcript: {found[1].reason}")
    if found[0] is not choice:
        say(f"chosen with them: {found[0].summary()}")
    return found
