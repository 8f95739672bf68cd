"""Listens to many recordings for `asr-transfer transcribe`, short ones together, and prints their texts in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asr_transfer.commands.language import AUTO
from asr_transfer.commands.listen import explained, listen, recordings
from asr_transfer.commands.options import OnlineOptions
from asr_transfer.commands.speech import read_speech
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError, one_line

if TYPE_CHECKING:
    from asr_transfer.adaptation.online import Session

TOGETHER = 300.0
"""Seconds of short recordings that are listened to at once: a batch of many is several times as fast as one by one."""


class Listener:
    """Prints texts in the order of the files, short recordings listened to together.

    Args:
        recogniser: model that listens.
        options: options of listening.
        explain: word of the lexicon to tell about; None for none.
        session: adaptation as it goes; None for none.
        alone: whether each file is listened to by itself, at once.

    Attributes:
        failed: number of files that could not be read.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        options: OnlineOptions,
        explain: str | None,
        session: Session | None,
        alone: bool,
    ) -> None:
        self._recogniser, self._options, self._explain = recogniser, options, explain
        self._session, self._alone = session, alone
        self._waiting: list[tuple[str, list[Utterance]]] = []
        self.failed = 0

    def take(self, file: str) -> None:
        """Listen to a file, now or with those that follow."""

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

        recogniser, options = self._recogniser, self._options
        named = list(utterances)
        if len({utterance.id for utterance in named}) < len(named):
            # The same recording may be given twice, or lie in two manifests.
            named = [replace(utterance, id=f"{number} {utterance.id}") for number, utterance in enumerate(named)]
        spoken = Spoken(named, build_store(named, recogniser.model.inputs))
        languages, texts = listen(recogniser, spoken, options.language, self._session)
        for utterance, language, text in zip(utterances, languages, texts, strict=True):
            told = f"{language}\t" if options.language == AUTO else ""
            print(f"{one_line(utterance.id)}\t{told}{text}", flush=True)
            if self._explain is not None:
                print(explained(recogniser.for_head(language), utterance, self._explain), flush=True)

    def _fail(self, file: str, error: DataError) -> None:
        self.failed += 1
        print(f"asr-transfer: {error}", file=sys.stderr, flush=True)
        if self._alone and self._session is None:
            # Whoever waits at the other end of the pipe gets a line for each name.
            print(f"{one_line(file)}\t", flush=True)
