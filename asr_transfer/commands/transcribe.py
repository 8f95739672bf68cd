"""Prints the text of recordings: `asr-transfer transcribe`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import Command, OnlineOptions, add_settings, settings_of
from asr_transfer.commands.speech import read_speech
from asr_transfer.errors import ConfigError, DataError, one_line
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


def transcribe_files(files: Sequence[str], command: TranscribeCommand) -> int:
    """Print the text of each recording, and what is wrong with those that cannot be read.

    Args:
        files: recordings, and manifests whose utterances need no text.
        command: model, and how it listens.

    Returns:
        1 when a file could not be read, else 0.

    Raises:
        AsrTransferError: model, lexicon or options are wrong.
    """
    from asr_transfer.commands.language import AUTO
    from asr_transfer.commands.listen import explained, listen, open_recogniser, open_session, recordings, told_way
    from asr_transfer.data.features import build_store
    from asr_transfer.data.speech import Spoken

    recogniser = open_recogniser(command)
    if command.language == AUTO:
        print(f"asr-transfer: {told_way(recogniser)}", file=sys.stderr)
    session, failed = open_session(recogniser, command), 0
    for file in tracked(files, "recordings", len(files), bar=False):
        try:
            head, path = recogniser.speaks, Path(file)
            manifest = path.suffix == ".jsonl"
            utterances = read_speech(path, head, "kept", labelled=False) if manifest else recordings([file], head)
            spoken = Spoken(utterances, build_store(utterances, recogniser.model.inputs))
            for utterance, language, text in zip(
                utterances, *listen(recogniser, spoken, command.language, session), strict=True
            ):
                told = f"{language}\t" if command.language == AUTO else ""
                print(f"{one_line(utterance.id)}\t{told}{text}", flush=True)
                if command.explain is not None:
                    print(explained(recogniser.for_head(language), utterance, command.explain), flush=True)
        except DataError as error:
            # The other recordings are still worth having.
            print(f"asr-transfer: {error}", file=sys.stderr)
            failed += 1
    for line in session.describe() if session else ():
        print(f"asr-transfer: {line}", file=sys.stderr)
    return 1 if failed else 0


def _declare(parser: ArgumentParser) -> None:
    add_settings(parser, TranscribeCommand)
    parser.add_argument(
        "files", nargs="+", type=str, help="recordings, and manifests (.jsonl) whose utterances need no text"
    )


def _run(arguments: Namespace) -> int:
    files = arguments.pop("files")
    return transcribe_files(files, settings_of(TranscribeCommand, arguments))


COMMAND = Command("print the text of recordings", _run, _declare)
