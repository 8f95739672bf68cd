"""Reads the speech that commands are given: a manifest, or a folder of recordings, and the part of it asked for."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import DataError
from asr_transfer.language_codes import same_language
from asr_transfer.orthography import Case


def read_speech(path: Path, language: str, case: Case, labelled: bool = True) -> list[Utterance]:
    """Read a manifest, or a folder of recordings and its transcripts.

    Args:
        path: manifest or folder.
        language: ISO 639 code of a folder's transcripts; manifests name it themselves.
        case: letters that a folder's transcripts are put into.
        labelled: whether transcripts are needed.

    Raises:
        DataError: it is not there, damaged, or lacks transcripts.
    """
    from data_prep.folder import read_folder
    from data_prep.unlabelled import read_unlabelled

    if path.is_dir():
        return read_folder(path, language=language, case=case) if labelled else read_unlabelled(path, language=language)
    if not path.exists():
        raise DataError(f"{path}: there is neither a manifest nor a folder of that name.")
    return read_manifest(path, labelled)


def read_partly(path: Path, language: str, case: Case) -> tuple[list[Utterance], list[Utterance]]:
    """Read a manifest or a folder of which some recordings may lack a transcript; see `read_speech`.

    Returns:
        Utterances with a transcript, and those without.

    Raises:
        DataError: it is not there or damaged.
    """
    from data_prep import unlabelled

    if path.is_dir():
        return unlabelled.read_partly(path, language=language, case=case)
    utterances = read_speech(path, language, case, labelled=False)
    return [u for u in utterances if u.text], [u for u in utterances if not u.text]


def named_as(utterances: Sequence[Utterance], names: Iterable[str]) -> list[Utterance]:
    """Return utterances whose language has the name that is used here, such as `de` where a manifest says `deu`."""
    known = list(names)
    codes = {code: same_language(code, known) for code in {u.language for u in utterances}}
    return [u if codes[u.language] == u.language else replace(u, language=codes[u.language]) for u in utterances]


def take(utterances: Sequence[Utterance], speaker: str | None, count: int | None, seed: int) -> list[Utterance]:
    """Return the utterances of `speaker` (None: all), and `count` of them (None: all) drawn by `seed`.

    Raises:
        DataError: the speaker is not there, or has fewer utterances.
    """
    chosen = [u for u in utterances if speaker is None or u.speaker == speaker]
    who = f"speaker '{speaker}'" if speaker is not None else "the data"
    if not chosen:
        names = sorted({u.speaker for u in utterances})
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise DataError(f"there is no utterance of {who}; the data has the speakers {shown}.")
    if count is None:
        return chosen
    if count > len(chosen):
        raise DataError(f"{who} has {len(chosen)} utterances but {count} were asked for; ask for fewer.")
    return random.Random(seed).sample(chosen, count)
