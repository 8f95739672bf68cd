"""Says what the options of `asr-transfer adapt` ask for, and refuses what cannot work or would be ignored."""

from __future__ import annotations

import copy

from asr_transfer.adaptation import methods
from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.choice import AUTO, candidates
from asr_transfer.adaptation.methods import default_learning_rate, needs_source, require_fitting, uses_source
from asr_transfer.adaptation.speaker_weights import MEAN, UNREAD, recognised, require_speech
from asr_transfer.adaptation.warp import WarpPrior
from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.commands.adapt_speech import Speech
from asr_transfer.data.speech import Spoken, spell
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError


def reads_transcripts(method: str) -> bool:
    """Return whether a method, a combination or `auto` reads the speaker's transcripts.

    Raises:
        ConfigError: there is no such method.
    """
    return method == AUTO or methods.reads_transcripts(method)


def refuse_impossible(command: AdaptCommand, source: Recogniser, speech: Speech, labelled: bool) -> None:
    """Refuse methods, options and transcripts that cannot work or would be ignored.

    Args:
        command: options of the run.
        source: model to adapt.
        speech: recordings, kept source utterances included.
        labelled: whether the speaker's transcripts are read.

    Raises:
        ConfigError, DataError: a method, an option or a transcript cannot work.
    """
    tried = [command.method]
    if command.method == AUTO:
        for option, given, instead in (
            ("learning_rate", command.learning_rate is not None, "give factors with --choice.rates"),
            ("strength", command.strength != 1, "give --choice.strengths"),
            ("check", not command.check, "leave it on"),
        ):
            if given:
                raise ConfigError(f"`{option}` is for a named method, `auto` tries several; {instead}, or a --method.")
        tried = list(dict.fromkeys(c.method for c in candidates(command.choice, bool(speech.source), source.model)))
        if not labelled:
            tried = list(command.choice.without_transcripts)
            if reading := [name for name in tried if reads_transcripts(name)]:
                raise ConfigError(f"`choice.without_transcripts` names `{reading[0]}`, which reads transcripts.")
    for name in tried:
        require_fitting(name, source.model)
        if command.method == AUTO or any(method.role == "inputs" for method in methods.find_methods(name)):
            WarpPrior.of(source)
        recipe = build(name, source.model, command.settings, source.head)
        recipe.plan.apply(copy.deepcopy(source.model))
        if needs_source(name) and not speech.source:
            raise ConfigError(f"`{name}` mixes source utterances in; give some with --source.")
    if command.source is not None and not reads_source(command):
        raise ConfigError(f"`{command.method}` as asked for reads no source utterances; leave --source out.")
    for utterance in speech.own if labelled else ():
        spell(utterance, source.tokens)
    for utterance in speech.source:
        spell(utterance, source.tokens_for(utterance.language))


def refuse_nothing_to_hear(command: AdaptCommand, source: Recogniser, spoken: Spoken) -> None:
    """Refuse recordings that a method could learn nothing from, before an earlier run is replaced.

    Args:
        command: options of the run.
        source: model to adapt.
        spoken: recordings that are left after they were looked at.

    Raises:
        DataError: there is too little speech, or the method goes by what is recognised and nothing is.
    """
    if command.method in ("none", MEAN):
        return
    require_speech(spoken, command.method, MEAN if source.model.speakers is not None else "")
    if command.method != AUTO and methods.starting(command.method) == UNREAD:
        recognised(source, spoken)


def reads_source(command: AdaptCommand) -> bool:
    """Return whether source utterances are learnt from, or serve to see what is forgotten."""
    return takes_source(command) or is_checked(command)


def takes_source(command: AdaptCommand) -> bool:
    """Return whether source utterances are learnt from."""
    return command.method == AUTO or uses_source(command.method)


def trains(command: AdaptCommand) -> bool:
    """Return whether weights can change."""
    return command.method == AUTO or (bool(default_learning_rate(command.method)) and command.strength > 0)


def changes(command: AdaptCommand) -> bool:
    """Return whether others can be heard otherwise afterwards: by trained weights, or by a speaker's profile."""
    described = command.method != AUTO and methods.starting(command.method) is not None
    return trains(command) or (described and command.strength > 0)


def is_checked(command: AdaptCommand) -> bool:
    """Return whether a named method is tried on held-out recordings before it is used."""
    return command.method != AUTO and command.check and changes(command) and reads_transcripts(command.method)
