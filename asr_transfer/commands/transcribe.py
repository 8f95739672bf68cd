"""Prints the text of recordings: `asr-transfer transcribe`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import Command, OnlineOptions, add_settings, settings_of
from asr_transfer.commands.speech import read_speech
from asr_transfer.errors import ConfigError, DataError, one_line
from asr_transfer.progress import tracked

if TYPE_CHECKING:
    from asr_transfer.adaptation.online import Session
    from asr_transfer.data.manifest import Utterance
    from asr_transfer.decoding.recogniser import Recogniser


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

TOGETHER = 300.0
"""Seconds of short recordings that are listened to at once: a batch of many is several times as fast as one by one."""


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

    piped = PIPE in files
    if piped and len(files) > 1:
        raise ConfigError("`-` reads the names of recordings from the standard input; give it alone.")
    recogniser = open_recogniser(command)
    if command.language == AUTO:
        print(f"asr-transfer: {told_way(recogniser)}", file=sys.stderr)
    session = open_session(recogniser, command)
    listener = _Listener(recogniser, command, session, alone=piped or session is not None)
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


class _Listener:
    """Prints texts in the order of the files, short recordings listened to together.

    Attributes:
        failed: number of files that could not be read.
    """

    def __init__(
        self, recogniser: Recogniser, command: TranscribeCommand, session: Session | None, alone: bool
    ) -> None:
        self._recogniser, self._command, self._session, self._alone = recogniser, command, session, alone
        self._waiting: list[tuple[str, list[Utterance]]] = []
        self.failed = 0

    def take(self, file: str) -> None:
        """Listen to a file, now or with those that follow."""
        from asr_transfer.commands.listen import recordings

        head, path = self._recogniser.speaks, Path(file)
        try:
            manifest = path.suffix == ".jsonl"
            utterances = read_speech(path, head, "kept", labelled=False) if manifest else recordings([file], head)
        except DataError as error:
            self.finish()  # what came before it is told before it
            self._fail(file, error)
            return
        self._waiting.append((file, utterances))
        if self._alone or sum(u.duration for _, own in self._waiting for u in own) >= TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Listen to all that waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            self._tell([utterance for _, own in waiting for utterance in own])
        except DataError as error:
            if len(waiting) == 1:
                self._fail(waiting[0][0], error)
                return
            # The other recordings are still worth having.
            for one in waiting:
                self._waiting = [one]
                self.finish()

    def _tell(self, utterances: Sequence[Utterance]) -> None:
        from asr_transfer.commands.language import AUTO
        from asr_transfer.commands.listen import explained, listen
        from asr_transfer.data.features import build_store
        from asr_transfer.data.speech import Spoken

        recogniser, command = self._recogniser, self._command
        named = list(utterances)
        if len({utterance.id for utterance in named}) < len(named):
            # The same recording may be given twice, or lie in two manifests.
            named = [replace(utterance, id=f"{number} {utterance.id}") for number, utterance in enumerate(named)]
        spoken = Spoken(named, build_store(named, recogniser.model.inputs))
        languages, texts = listen(recogniser, spoken, command.language, self._session)
        for utterance, language, text in zip(utterances, languages, texts, strict=True):
            told = f"{language}\t" if command.language == AUTO else ""
            print(f"{one_line(utterance.id)}\t{told}{text}", flush=True)
            if command.explain is not None:
                print(explained(recogniser.for_head(language), utterance, command.explain), flush=True)

    def _fail(self, file: str, error: DataError) -> None:
        self.failed += 1
        print(f"asr-transfer: {error}", file=sys.stderr, flush=True)
        if self._alone and self._session is None:
            # Whoever waits at the other end of the pipe gets a line for each name.
            print(f"{one_line(file)}\t", flush=True)


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
