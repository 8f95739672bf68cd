"""Writes an adapted model as other programs take it: `asr-transfer export`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from asr_transfer.commands.options import Command, RunOptions, Say, add_settings, settings_from, settings_of
from asr_transfer.errors import ConfigError
from asr_transfer.runs.console import say

if not TYPE_CHECKING:
    Exported = Source = Any
else:  # not of `if TYPE_CHECKING`, which the parser runs to resolve the types of the options below
    from asr_transfer.deployment import Exported, Source


@dataclass(frozen=True, kw_only=True)
class ExportCommand(RunOptions):
    """Write a model as another program takes it, with a card and a check that it recognises the same.

    Attributes:
        model: model folder, or the run folder of `train`, `learn` or `adapt`.
        to: program or format to write for: `onnx`, `sherpa-onnx`, `transformers`, `faster-whisper`, `whisper.cpp`,
            `speechbrain`, `onnx-asr`.
        out: folder to write.
        profile: speaker's profile to fold into the model: profile folder, or the run folder of `adapt`.
        language: head to write, where the model has several, by default that of the profile, else the one that the
            model was taught or adapted in last.
        int8: whether weights are whole numbers of eight bits.
        fp16: whether weights are floating-point numbers of sixteen bits.
        adapters: whether adapters are written apart from the model.
        lexicon: words that alone can be said, with their pronunciations: a file, or a folder of files named by language
            (`lexicon.en.txt`).
        sentences: whether each recording is a sentence of the lexicon's words, instead of one of them.
        overwrite: whether to replace the export that `out` holds.
    """

    model: Path
    to: str
    profile: Path | None = None
    language: str | None = None
    int8: bool = False
    fp16: bool = False
    adapters: bool = False
    lexicon: Path | None = None
    sentences: bool = False

    def __post_init__(self) -> None:
        if self.sentences and self.lexicon is None:
            raise ConfigError("`sentences` are made of a lexicon's words; give one with --lexicon.")


def export(
    model: str | Path,
    to: str,
    out: str | Path,
    *,
    profile: str | Path | None = None,
    language: str | None = None,
    int8: bool = False,
    fp16: bool = False,
    adapters: bool = False,
    lexicon: str | Path | None = None,
    sentences: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write a model as another program takes it; the parameters are options of `asr-transfer export`.

    Args:
        model: model folder, or the run folder of `train`, `learn` or `adapt`.
        to: program or format to write for.
        out: folder to write.
        profile: speaker's profile to fold into the model.
        language: head to write, where the model has several.
        int8: whether weights are whole numbers of eight bits.
        fp16: whether weights are floating-point numbers of sixteen bits.
        adapters: whether adapters are written apart from the model.
        lexicon: words that alone can be said, with their pronunciations.
        sentences: whether each recording is a sentence of the lexicon's words, instead of one of them.
        overwrite: whether to replace the export that `out` holds.

    Returns:
        What was written, with the results of the comparison with the model.

    Raises:
        AsrTransferError: a folder or option is wrong, or the target cannot carry the model.

    Example:
        >>> import asr_transfer as at
        >>> at.export("my_voice", "onnx", "my_product").folder
        PosixPath('my_product')
    """
    return export_model(settings_from(ExportCommand, locals()), say)


def export_model(command: ExportCommand, say: Say) -> Exported:
    """Open the model that the options name, fold its profile in, and write it for the target.

    Raises:
        AsrTransferError: model, profile, options or the folder are wrong, or the target cannot carry the model.
    """
    from asr_transfer.commands.word_files import file_of
    from asr_transfer.deployment import ExportOptions, export, find_target
    from asr_transfer.deployment.folder import require_place

    find_target(command.to)
    require_place(command.out, command.overwrite)
    for place, what in ((command.model, "model"), (command.profile, "profile")):
        if place is not None and place.resolve() in (command.out.resolve(), *command.out.resolve().parents):
            raise ConfigError(f"{command.out}: lies in the folder of the {what} that is exported; give another --out.")
    source = open_source(command, say)
    options = ExportOptions(
        int8=command.int8,
        fp16=command.fp16,
        adapters=command.adapters,
        lexicon=file_of("lexicon", command.lexicon, source.recogniser.head),
        sentences=command.sentences,
    )
    done = export(source, command.to, command.out, options, command.overwrite)
    for line in done.lines:
        say(line)
    say(f"{command.out}: written for {command.to}; its README.md says how it is run")
    return done


def open_source(command: ExportCommand, say: Say) -> Source:
    """Load the model that the options name, its head chosen and its profile put on and folded in.

    Raises:
        AsrTransferError: model, profile or language are wrong.
    """
    from asr_transfer.commands.language import AUTO, find_head
    from asr_transfer.commands.listen import listening_for
    from asr_transfer.commands.profile_folders import open_profile
    from asr_transfer.commands.profile_on_model import load_with_profile
    from asr_transfer.decoding.folder import model_folder, speaks_many
    from asr_transfer.deployment import Source
    from asr_transfer.models.adapters import merge_adapters
    from asr_transfer.models.contract import SpeechModel

    if command.language == AUTO:
        raise ConfigError("an export listens in one language; name it with --language instead of auto.")
    many = speaks_many(command.model)
    head = None if many else find_head(command.model, command.language, say, profile=command.profile)
    recogniser = load_with_profile(command.model, command.profile, head)
    if many:
        recogniser = listening_for(recogniser, command.language)
    merge_adapters(recogniser.model)

    def unfolded() -> SpeechModel:
        return load_with_profile(command.model, command.profile, head).model

    profile = None if command.profile is None else open_profile(command.profile)
    folder = model_folder(command.model)
    return Source(
        recogniser,
        str(command.model),
        folder,
        profile=None if profile is None else str(command.profile),
        profile_facts="" if profile is None else profile.describe(),
        runs=(*([] if profile is None else [profile.folder.parent]), folder.parent),
        unfolded=unfolded,
    )


def _run(arguments: Namespace) -> int:
    export_model(settings_of(ExportCommand, arguments), say)
    return 0


COMMAND = Command("write a model as another program takes it", _run, partial(add_settings, kind=ExportCommand))
