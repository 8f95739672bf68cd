"""Holds the recordings of an adaptation run: the speaker's, others' and the source's, and their names in its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer.commands.adapt import AdaptCommand
from asr_transfer.config import to_record
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from asr_transfer.runs.record import RunRecord


@dataclass(frozen=True)
class Speech:
    """The recordings of an adaptation run.

    Attributes:
        own: recordings of the new speaker, to adapt to.
        test: other recordings of the same speaker, to score on; may be empty.
        others: recordings of other speakers, to score on; may be empty.
        source: recordings like those that the model was trained on, to mix in; may be empty.
        untranscribed: further recordings of the new speaker, without transcripts; may be empty. Where `own` is, a
            method is chosen that reads none.
    """

    own: Sequence[Utterance]
    test: Sequence[Utterance] = ()
    others: Sequence[Utterance] = ()
    source: Sequence[Utterance] = ()
    untranscribed: Sequence[Utterance] = ()


def refuse_shared(utterances: Sequence[Utterance], test: Sequence[Utterance]) -> None:
    """Refuse recordings that are adapted to and tested on.

    Raises:
        DataError: there are some.
    """
    shared = {Path(u.audio).resolve() for u in utterances if u.start is None} & {Path(u.audio).resolve() for u in test}
    if shared:
        raise DataError(
            f"{min(shared)}: stands in the data and in --test; a gain on what was learnt is none, remove it from one."
        )


def distinct(speech: Speech) -> Speech:
    """Rename utterances whose id belongs to another recording too: different folders name their files alike.

    The test utterances, which runs are compared on, keep their ids.
    """
    known: dict[str, tuple[Path, float | None, float]] = {}

    def named(part: str, utterances: Sequence[Utterance]) -> list[Utterance]:
        result = []
        for utterance in utterances:
            where = (Path(utterance.audio).resolve(), utterance.start, utterance.duration)
            while known.setdefault(utterance.id, where) != where:
                utterance = replace(utterance, id=f"{part}/{utterance.id}")
            result.append(utterance)
        return result

    test = named("test", speech.test)
    own, untranscribed = named("data", speech.own), named("data", speech.untranscribed)
    return Speech(own, test, named("others", speech.others), named("source", speech.source), untranscribed)


def open_record(command: AdaptCommand, speech: Speech) -> RunRecord:
    """Open the run folder, and note the recordings that were given."""
    record = RunRecord(command.out, to_record(command), resume=command.resume, overwrite=command.overwrite)
    for name, path, part in (
        ("given", command.data, [*speech.own, *speech.untranscribed]),
        ("test", command.test, speech.test),
        ("others", command.others, speech.others),
        ("source", command.source, speech.source),
    ):
        if part:
            record.data(name, path or "", part)
    return record
