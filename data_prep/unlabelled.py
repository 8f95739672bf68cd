"""Reads a folder of recordings of which some or all have no transcript, for methods that learn from speech alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from asr_transfer.orthography import Case
from data_prep.common import by_reason, existing_folder
from data_prep.folder import divide
from data_prep.recordings import ENDINGS


def read_unlabelled(root: Path, speaker: str = "me", language: str = "en") -> list[Utterance]:
    """Return the usable recordings of a folder, with empty texts, and print what was left out, if anything.

    Args:
        root: the folder; recordings are also looked for in its subfolders.
        speaker: name of the speaker, where no table says.
        language: ISO 639 code of what is spoken, where no table says.

    Returns:
        Utterances with the ids that `folder.read_folder` gives them.

    Raises:
        DataError: the folder is missing, its table is broken, or no recording in it can be used.
    """
    found = divide(existing_folder(root, "the recordings"), speaker, language)
    bare, unusable = found.listen_to_bare()
    utterances = [*(replace(u, text="") for u in found.utterances), *bare]
    dropped = [*found.report.dropped, *unusable]
    if not utterances:
        raise _nothing_usable(root, dropped)
    if dropped:
        print("\n".join([f"{root}: {len(utterances)} kept, {len(dropped)} left out", *by_reason(dropped)]))
    return utterances


def read_partly(
    root: Path, speaker: str = "me", language: str = "en", case: Case = "lower"
) -> tuple[list[Utterance], list[Utterance]]:
    """Return a folder's usable recordings with a transcript and those without, and print how many there are of each.

    Args:
        root: the folder; recordings are also looked for in its subfolders.
        speaker: name of the speaker, where no table says.
        language: ISO 639 code of what is spoken, where no table says.
        case: case to write transcripts in.

    Raises:
        DataError: the folder is missing, its table is broken, or no recording in it can be used.
    """
    found = divide(existing_folder(root, "the recordings"), speaker, language, case=case)
    bare, unusable = found.listen_to_bare()
    dropped = [*found.report.dropped, *unusable]
    if not found.utterances and not bare:
        raise _nothing_usable(root, dropped)
    if bare or dropped:
        kept = f"{len(found.utterances)} kept" + (f", {len(bare)} without transcript" if bare else "")
        print("\n".join([f"{root}: {kept}, {len(dropped)} left out", *by_reason(dropped)]))
    return found.utterances, bare


def _nothing_usable(root: Path, dropped: Sequence[tuple[str, str]]) -> DataError:
    shown = "".join(f"\n{line}" for line in by_reason(dropped[:10]))
    return DataError(f"{root}: holds no recording that can be used ({ENDINGS}).{shown}")
