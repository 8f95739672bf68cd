"""Adapts a model to a speaker: `asr-transfer adapt`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.commands.options import Command, ResumableOptions, Say, add_settings, settings_from, settings_of
from asr_transfer.commands.speech import read_partly, read_speech, take
from asr_transfer.config import Precision, SpecAugmentConfig
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.devices import find_device
from asr_transfer.ranges import Count
from asr_transfer.runs.console import say
from asr_transfer.runs.lock import released
from asr_transfer.textfiles import require_writable_folder

if not TYPE_CHECKING:
    pass
else:  # not of `if TYPE_CHECKING`, which the parser runs to resolve the types of the options below
    from asr_transfer.adaptation.adapted_recogniser import AdaptedRecogniser
    from asr_transfer.data.manifest import Utterance
    from asr_transfer.decoding.recogniser import Recogniser


@dataclass(frozen=True, kw_only=True)
class AdaptCommand(AdaptConfig, ResumableOptions):
    """Adapt a model to a speaker; the run folder then holds it in `model`, and what changed alone in `profile`.

    Attributes:
        model: model folder, or the run folder of `train`.
        data: manifest, or folder of recordings, of the new speaker. Where only some have a transcript, the others are
            used where that helps on held-out ones; where none has, `auto` chooses among methods that read none.
        method: name of a method, or several joined with +. `auto` tries several on the speaker's own recordings and may
            leave the model as it is.
        profile: profile of the model to go on from with more recordings.
        language: head to adapt, where the model has several; by default that of the profile or of the manifest, else
            the one that the model was taught or adapted in last. `auto` takes the language that most recordings of a
            folder seem to be in.
        source: manifest or folder of recordings like those the model was trained on, for `replay`, `ewc` and `auto`; by
            default the training utterances that the model's folder keeps. Where that folder keeps no held-out speech, a
            part of these recordings shows what is forgotten.
        source_utterances: number of these that are taken, drawn by the seed.
        use_summary: whether to use what the model's folder keeps: training utterances to mix in, and held-out ones that
            show what is forgotten.
        choice: settings of the choice by `auto`.
        speaker: name of the only speaker whose utterances of `data` are taken.
        utterances: number of utterances of `data` to take, drawn by the seed; None takes all.
        test: manifest or folder of the same speaker's other recordings, scored before and after.
        others: manifest or folder of other speakers, scored before and after to show what is forgotten; utterances in
            the model's other languages are scored through their own heads.
        check: whether to try a named method on held-out recordings first, and keep the model as it is where they get
            worse.
        use_untranscribed: whether recordings of `data` without transcript may be used beside those with one.
        keep_suspicious: whether to adapt also to recordings whose transcript seems to belong to another one.
    """

    model: Path
    data: Path
    method: str = "auto"
    profile: Path | None = None
    language: str | None = None
    source: Path | None = None
    source_utterances: Count = 300
    use_summary: bool = True
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    speaker: str | None = None
    utterances: Count | None = None
    test: Path | None = None
    others: Path | None = None
    check: bool = True
    use_untranscribed: bool = True
    keep_suspicious: bool = False


def adapt(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    method: str = "auto",
    profile: str | Path | None = None,
    language: str | None = None,
    source: str | Path | None = None,
    source_utterances: int = 300,
    use_summary: bool = True,
    choice: ChoiceConfig = ChoiceConfig(),
    speaker: str | None = None,
    utterances: int | None = None,
    test: str | Path | None = None,
    others: str | Path | None = None,
    check: bool = True,
    use_untranscribed: bool = True,
    keep_suspicious: bool = False,
    steps: int = 40,
    learning_rate: float | None = None,
    batch_budget: int = 3000,
    speeds: tuple[float, ...] = (1.0,),
    augment: SpecAugmentConfig | None = None,
    strength: float = 1.0,
    source_budget: int | None = None,
    settings: MethodSettings = MethodSettings(),
    suta: SutaConfig = SutaConfig(),
    precision: Precision = "auto",
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> AdaptedRecogniser:
    """Adapt a model to a speaker, as `asr-transfer adapt` does: the parameters are its options, described in `--help`.

    Prints what the command prints: what was tried and chosen, what changed, and the scores before and after.

    Returns:
        The adapted model, which also lies in `out`; `forecast` says what more recordings would give.

    Raises:
        AsrTransferError: model, recordings, options or the folder are wrong; the message says how to mend it.

    Example:
        >>> import asr_transfer as at
        >>> adapted = at.adapt("my_model", "my_recordings", "my_voice", method="full", steps=3)
        >>> adapted.transcribe(["new.wav"])
        ['...']
    """
    with released():
        return adapt_from(settings_from(AdaptCommand, locals()), say)


def adapt_from(command: AdaptCommand, say: Say) -> AdaptedRecogniser:
    """Read the model and the recordings that the options name, adapt, and return the adapted model.

    Raises:
        AsrTransferError: model, recordings, options or the folder are wrong.
    """
    from asr_transfer.commands.adapt_run import adapt_run
    from asr_transfer.commands.adapt_speech import Speech
    from asr_transfer.commands.language import AUTO, find_head, heard_language, in_language
    from asr_transfer.commands.listen import listening_for
    from asr_transfer.commands.profile_on_model import load_with_profile
    from asr_transfer.decoding.folder import speaks_many

    require_writable_folder(command.out)
    many = speaks_many(command.model)
    head = None
    if not many:
        head = find_head(
            command.model, command.language, say, profile=command.profile, data=command.data, speaker=command.speaker
        )
    base = load_with_profile(command.model, None, head)
    source = load_with_profile(command.model, command.profile, head) if command.profile else base
    if many:
        language = command.language
        if language in (None, AUTO) and (unnamed := _in_no_known_language(command, base)):
            language = heard_language(source, command.data, unnamed, say)
        base, source = listening_for(base, language), listening_for(source, language)
    device = find_device(command.device)
    for recogniser in (base, source):
        recogniser.model.to(device)
    head = base.head

    def read(path: Path | None) -> list[Utterance]:
        return in_asked_language(read_speech(path, base.speaks, base.case())) if path else []

    def in_asked_language(utterances: list[Utterance]) -> list[Utterance]:
        return [replace(u, language=base.speaks) for u in utterances] if many and base.speaks else utterances

    def ours(utterances: list[Utterance], path: Path | None) -> list[Utterance]:
        utterances, heads = in_asked_language(utterances), base.model.head_names()
        return in_language(utterances, head, heads, path, say) if path and base.others else utterances

    own, untranscribed = _own(command, base, lambda utterances: ours(utterances, command.data))
    test = ours(read(command.test), command.test)
    if test and command.speaker is not None:
        test = take(test, command.speaker, None, command.seed)
    more = read(command.source)
    more = take(more, None, min(command.source_utterances, len(more)), command.seed) if more else []
    return adapt_run(command, base, source, Speech(own, test, read(command.others), more, untranscribed), say)


def _in_no_known_language(command: AdaptCommand, base: Recogniser) -> list[Utterance]:
    """Return the speaker's recordings if the language is to be heard: `auto`, or they name none that a model knows.

    Args:
        command: options of the run.
        base: model that writes many languages through one head.
    """
    from asr_transfer.data.byte_pairs import BytePairTokens

    if not isinstance(base.tokens, BytePairTokens) or not base.tokens.languages:
        return []
    read = read_speech(command.data, "", base.case(), labelled=False)
    own = [u for u in read if command.speaker in (None, u.speaker)]
    if command.language is None and any(base.tokens.language(u.language) for u in own):
        return []
    return own


def _own(
    command: AdaptCommand, base: Recogniser, ours: Callable[[list[Utterance]], list[Utterance]]
) -> tuple[list[Utterance], list[Utterance]]:
    """Return the speaker's recordings to adapt to by their transcripts, and those of which there is none to read.

    Args:
        command: options of the run.
        base: model as it stands on disk.
        ours: function that keeps the utterances in the head's language.

    Raises:
        DataError: they are not there, damaged, or have no transcripts for a method that learns from them.
    """
    from asr_transfer.adaptation.choice import AUTO
    from asr_transfer.commands.adapt_asked import reads_transcripts
    from asr_transfer.errors import DataError

    if not reads_transcripts(command.method):
        data = ours(read_speech(command.data, base.speaks, base.case(), labelled=False))
        return take(data, command.speaker, command.utterances, command.seed), []
    transcribed, bare = (ours(part) for part in read_partly(command.data, base.speaks, base.case()))
    theirs = [u for u in bare if command.speaker in (None, u.speaker)]
    if not theirs or any(command.speaker in (None, u.speaker) for u in transcribed):
        own = take(transcribed or bare, command.speaker, command.utterances, command.seed)
        return own, theirs if command.use_untranscribed else []
    if command.method != AUTO:
        raise DataError(
            f"{command.data}: no recording has a transcript, which `{command.method}` learns from; write some, in a "
            ".txt file beside each recording or in one table with the columns `file` and `text`, or take `--method "
            f"{_reading_none(command.method)}."
        )
    return [], take(bare, command.speaker, command.utterances, command.seed)


def _reading_none(method: str) -> str:
    """Return which method needs no transcripts in place of one that does."""
    if method in ("warp", "eigen-profile"):
        return f"{method}-untranscribed`, which reads none"
    return "auto`, which then chooses among methods that read none"


def _run(arguments: Namespace) -> int:
    adapt_from(settings_of(AdaptCommand, arguments), say)
    return 0


COMMAND = Command("adapt a model to a speaker", _run, partial(add_settings, kind=AdaptCommand))
