"""Declares options that several commands share, and makes a command of its options and its action.

Neither this file nor those of the commands load torch before a command runs, so that the command line starts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.decoding.settings import SearchConfig, WritingConfig
from asr_transfer.errors import ConfigError
from asr_transfer.ranges import hints, words

Kind = TypeVar("Kind")
Say = Callable[[str], None]
"""Prints a line."""
NewParser = Callable[[str, str], ArgumentParser]
"""Makes an empty parser from name and summary."""


@dataclass(frozen=True)
class Command:
    """One command, from which `cli` makes its parser.

    Attributes:
        summary: description in the list of commands.
        run: action, from the options to the exit status.
        declare: function that adds its options to its parser; None where it has commands below it instead.
        below: parsers of the commands below it, by name.
    """

    summary: str
    run: Callable[[Namespace], int]
    declare: Callable[[ArgumentParser], object] | None = None
    below: Callable[[NewParser], dict[str, ArgumentParser]] | None = None


def add_settings(parser: ArgumentParser, kind: type[Any]) -> None:
    """Add the options that a dataclass declares, and `--config` for a file with them."""
    parser.add_argument("--config", action="config", help="YAML file with any of the options")
    parser.add_class_arguments(kind)
    for action in parser._actions:
        allowed = words(_declared(kind, action.dest))
        if action.help and allowed not in ("", "at least 0"):  # nobody thinks of a number below 0 where 0 is for none
            action.help = f"{action.help.rstrip('.')}; {allowed}."


def _declared(kind: type[Any], option: str) -> Any:
    """Return the type that settings declare for an option such as `trainer.steps`; None where they declare none."""
    for name in option.split("."):
        inner = [part for part in (kind, *get_args(kind)) if isinstance(part, type) and is_dataclass(part)]
        if not inner or name not in (known := hints(inner[0])):
            return None
        kind = known[name]
    return kind


def settings_of(kind: type[Kind], arguments: Namespace) -> Kind:
    """Return the settings that parsed options make up.

    Raises:
        ConfigError: an option has a wrong value, or a needed one is not given.
    """
    values = {name: value for name, value in vars(arguments).items() if name != "config"}
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(str(error)) from None


def settings_from(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    """Return the settings that a Python function was called with; a place may be a text instead of a `Path`.

    Raises:
        ConfigError: an option has a wrong value.
    """
    hints = get_type_hints(kind)
    places = {one.name for one in fields(kind) if hints[one.name] in (Path, Path | None)}  # type: ignore[arg-type]
    return kind(**{n: Path(v) if n in places and isinstance(v, str) else v for n, v in values.items()})


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run is written.

    Attributes:
        out: run folder to write.
        overwrite: whether to replace the run that `out` holds.
    """

    out: Path
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class ResumableOptions(RunOptions):
    """Where a run is written that can be stopped.

    Attributes:
        resume: whether to go on with a run that was stopped.
    """

    resume: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Which model listens, and for what.

    Attributes:
        model: model folder, or the run folder of `train` or `adapt`.
        profile: speaker's profile to put on the model: profile folder, or the run folder of `adapt`.
        lexicon: words that can be said, with their pronunciations: a file, or a folder of files named by language
            (`lexicon.en.txt`), as `--language auto` needs.
        lm: language model of the sentences, ARPA text, or a folder of them (`lm.en.arpa`); without a lexicon one of
            letters, which takes any words.
        hotwords: words or phrases to listen for, one per line, or a folder of such files (`hotwords.en.txt`).
        search: settings of the search for sentences and hot words.
    """

    model: Path
    profile: Path | None = None
    lexicon: Path | None = None
    lm: Path | None = None
    hotwords: Path | None = None
    search: SearchConfig = field(default_factory=SearchConfig)


@dataclass(frozen=True, kw_only=True)
class ListenOptions(SearchOptions):
    """How a model listens.

    Attributes:
        language: head to listen with, where the model has several, by default that of the profile, else the one that
            the model was taught or adapted in last; `auto` takes the surest one for each recording. Of a model that
            writes many languages through one head the language, by default that of each recording, or where nothing
            says it the one that the model hears.
        sentences: whether each recording is a sentence of the lexicon's words, instead of one of them.
        writing: settings by which a model of sequence to sequence, such as Whisper, writes and is kept from loops.
        device: device to listen on: `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU when there is one.
    """

    language: str | None = None
    sentences: bool = False
    writing: WritingConfig = field(default_factory=WritingConfig)
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.sentences and self.lexicon is None:
            raise ConfigError("`sentences` are made of a lexicon's words; give one with --lexicon.")
        if self.lm is not None and self.lexicon is not None and not self.sentences:
            raise ConfigError(
                "with a lexicon each recording is one of its words, so that `lm` adds nothing; give --sentences too."
            )
        if self.hotwords is not None and self.lexicon is not None and not self.sentences:
            raise ConfigError(
                "with a lexicon each recording is one of its words, so hot words add nothing; leave one out or give "
                "--sentences."
            )


@dataclass(frozen=True, kw_only=True)
class OnlineOptions(ListenOptions):
    """How a model listens that may adapt while it does.

    Attributes:
        online_profile: adaptation to each speaker while he is listened to, from recording to recording and without
            transcripts: where the model is surer with it `warp`, a factor on all frequencies, or `film`, a running
            summary of how the speaker sounds, for models that were trained with `--speaker_adaptive.kind film`; where
            his recordings differ from what was trained on, as through a telephone, `adabn`, their own statistics.
    """

    online_profile: Literal["warp", "film", "adabn"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.online_profile is not None and self.language == "auto":
            raise ConfigError(
                "`online_profile` adapts the head that listens, which --language auto looks for anew in each "
                "recording; name it."
            )
