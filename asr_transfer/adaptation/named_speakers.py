"""Tells whose recordings are known from those that name nobody, and asks for as many speakers as a training needs.

Recordings that name nobody may be of anybody, so what they have in common is no speaker's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from asr_transfer.data.manifest import UNKNOWN, Utterance
from asr_transfer.errors import DataError

LEAST_SPEAKERS, LEAST_RECORDINGS = 8, 2
"""Training speakers that directions among speakers need, and recordings of each."""


def named(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return the utterances that name their speaker."""
    return [u for u in utterances if u.speaker.strip() not in ("", UNKNOWN["speaker"])]


def require_named(utterances: Iterable[Utterance], what: str, mend: str, where: str = "") -> None:
    """Refuse speech that names nobody.

    Args:
        utterances: speech, of which some may name nobody.
        what: option, or what is to be made, that needs the names.
        mend: words on what to do instead of naming them.
        where: manifest or folder that it is of; "" where that is not known.

    Raises:
        DataError: no utterance names its speaker.
    """
    everything = list(utterances)
    if everything and not named(everything):
        raise DataError(
            f"{where}{': ' if where else ''}no recording names its speaker (`speaker` is '{UNKNOWN['speaker']}'), and "
            f"{what} needs to know whose is whose; name the speakers in the manifest, or {mend}."
        )


def by_voice(
    utterances: Iterable[Utterance], head: Callable[[str], str] = lambda language: language
) -> dict[tuple[str, str], list[Utterance]]:
    """Group utterances by speaker and by what listens to them, both sorted; those that name nobody are left out.

    A name that occurs in two languages may be two people's, and no head spells both.

    Args:
        utterances: speech.
        head: function that returns the head that listens to a language.
    """
    groups: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in named(utterances):
        groups.setdefault((utterance.speaker, head(utterance.language)), []).append(utterance)
    return dict(sorted(groups.items()))


def require_enough_speakers(utterances: Iterable[Utterance], where: str, mend: str) -> None:
    """Refuse speech that no directions among speakers can be found from.

    Args:
        utterances: speech that can be learnt from.
        where: manifest or folder that it is of.
        mend: words on what to do instead of giving more.

    Raises:
        DataError: it names nobody, or too few speakers have recordings enough.
    """
    everything = list(utterances)
    require_named(everything, "a profile of each training speaker", mend, where)
    count = sum(len(own) >= LEAST_RECORDINGS for own in by_voice(everything).values())
    if count < LEAST_SPEAKERS:
        raise DataError(too_few(count, where, mend))


def too_few(count: int, where: str, mend: str) -> str:
    """Return the sentence on so few speakers with recordings enough."""
    return (
        f"{where}: has {count} training speaker{'s' if count != 1 else ''} with {LEAST_RECORDINGS} recordings or more "
        f"of one language that can be learnt from, and profiles of training speakers need at least {LEAST_SPEAKERS}; "
        f"give more, with each `speaker` in the manifest, or {mend}."
    )
