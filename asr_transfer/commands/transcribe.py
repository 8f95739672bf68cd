"""Prints the text of recordings: `asr-transfer transcribe`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import Command, OnlineOptions, add_settings, settings_of
from asr_transfer.errors import ConfigError
from asr_transfer.progress import tracked


@dataclass(frozen=True, kw_only=True)
class TranscribeCommand(OnlineOptions):
    """Print the text of recordings, or of those that a manifest names.

    Attributes:
        explain: word of the lexicon; for each recording a line shows how well it fits, and what beat it.
    """

    explain: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.explain is not None and (self.lexicon is None or self.sentences):
            raise ConfigError("`explain` tells about a word of a lexicon; give one with --lexicon.")


PIPE = "-"
"""Name that stands for the names on the standard input."""


def transcribe_files(files: Sequence[str], command: TranscribeCommand) -> int:
    """Print the text of each recording, and what is wrong with those that cannot be read.

    Args:
        files: recordings, and manifests whose utterances need no text; `-` alone reads their names from the standard
            input, a line each, and answers each before it reads the next.
        command: model, and how it listens.

    Returns:
        1 when a file could not be read, else 0.

    Raises:
        AsrTransferError: model, lexicon or options are wrong.
    """
    from asr_transfer.commands.language import AUTO
    from asr_transfer.commands.listen import open_recogniser, open_session, told_way
    from asr_transfer.commands.transcribe_together import Listener

    piped = PIPE in files
    if piped and len(files) > 1:
        raise ConfigError("`-` reads the names of recordings from the standard input; give it alone.")
    if piped and sys.stdin is None:
        raise ConfigError("`-` reads the names of recordings from the standard input, which is closed; open it.")
    recogniser = open_recogniser(command)
    if command.language == AUTO:
        print(f"asr-transfer: {told_way(recogniser)}", file=sys.stderr)
    session = open_session(recogniser, command)
    listener = Listener(recogniser, command, command.explain, session, alone=piped or session is not None)
    names = _names(sys.stdin) if piped else files
    for file in tracked(names, "recordings", None if piped else len(files), bar=False):
        listener.take(file)
    listener.finish()
    for line in session.describe() if session else ():
        print(f"asr-transfer: {line}", file=sys.stderr)
    return 1 if listener.failed else 0


def _names(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if name := line.rstrip("\r\n"):
            yield name


def _declare(parser: ArgumentParser) -> None:
    add_settings(parser, TranscribeCommand)
    parser.add_argument(
        "files",
        nargs="+",
        type=str,
        help="recordings, and manifests (.jsonl) whose utterances need no text; - reads their names from a pipe",
    )


def _run(arguments: Namespace) -> int:
    files = arguments.pop("files")
    return transcribe_files(files, settings_of(TranscribeCommand, arguments))


COMMAND = Command("print the text of recordings", _run, _declare)
