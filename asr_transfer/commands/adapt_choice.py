"""Chooses how `asr-transfer adapt` adapts, and shows what was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from asr_transfer.adaptation.auto_chosen import describe_candidates
from asr_transfer.adaptation.choice import AUTO, Choice, candidates, choose, expectation, lasting, tried_through_warp
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.kept import (
    Judged,
    mixed_in_trials,
)
from asr_transfer.adaptation.ladder import Candidate, ladder_table
from asr_transfer.adaptation.methods import default_learning_rate
from asr_transfer.adaptation.usable_recordings import Vetted
from asr_transfer.adaptation.without_transcripts import choose_without_transcripts
from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.commands.adapt_asked import is_checked
from asr_transfer.commands.options import Say
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.contract import SequenceModel

CHECK_FOLDS = 3
"""Folds on which a named method is tried before it is used: enough to see a loss, cheaper than `auto`'s."""


def choose_method(
    command: AdaptCommand,
    source: Recogniser,
    vetted: Vetted,
    more: Sequence[Utterance],
    judged: Judged,
    say: Say,
    log: Say,
) -> Choice:
    """Choose among `auto`'s candidates, or between the named method and leaving the model alone."""
    shared = Shared(source, vetted.spoken.store)
    known = expectation(source.model) if command.method == AUTO else None
    named = Choice(command.method, command.learning_rate, command.strength, "named by the user", (), 0.0)
    if command.method == AUTO:
        tried, settings = candidates(command.choice, bool(more), source.model), command.choice
        tried = tried_through_warp(tried, source, vetted.spoken, command, settings, shared)
        say(describe_candidates(tried, len(vetted.spoken), not isinstance(source.model, SequenceModel)))
    elif not is_checked(command):
        return named
    elif len(set(vetted.groups)) < 2:
        say("one recording leaves none to hold out, so the gain is not known; give --test")
        return named
    else:
        rate = command.learning_rate or default_learning_rate(command.method, source.model)
        tried = [Candidate(command.method, rate)]
        folds = min(CHECK_FOLDS, command.choice.folds)
        # Held to what it is for: a named method is refused when it makes the speaker worse, not for a small gain.
        settings = replace(command.choice, folds=folds, strengths=(command.strength,), tolerance=float("inf"))
    mixed = mixed_in_trials(more, judged)
    store = vetted.spoken.store
    others, unheard = Spoken(mixed, store), Spoken(judged.everything, store)
    choice = choose(source, vetted.spoken, command, settings, tried, others, vetted.groups, log, shared, unheard, known)
    if choice.ladder:
        print_table(ladder_table(choice.ladder))
        part = len(lasting(judged.utterances, settings.check_seconds))
        some = f"{part} of " if part < len(judged.utterances) else ""
        say(f"others: {'judged on ' * bool(judged.utterances)}{some}{judged.what}")
        if judged.abroad:
            say(f"other languages: judged on speech that the model keeps in {', '.join(judged.abroad)}")
    say(f"chosen: {choice.summary()}: {choice.reason}")
    return choice


def choose_unread(
    command: AdaptCommand, source: Recogniser, vetted: Vetted, test: Spoken, say: Say, log: Say
) -> Choice:
    """Choose among methods that read no transcripts, by the test recordings where there are some."""
    choice = choose_without_transcripts(source, vetted.spoken, command, command.choice, test, log)
    if choice.ladder:
        print_table(ladder_table(choice.ladder))
    say(f"chosen: {choice.summary()}: {choice.reason}")
    return choice


def print_table(table: Table) -> None:
    """Print a table, as wide as it needs to be where no terminal limits it."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 132)
    console.print(table)
