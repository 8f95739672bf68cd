"""Shares the text of a long recording out over its pieces, by what a model hears in each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rapidfuzz.distance import Levenshtein

from asr_transfer.evaluation.normalisation import find_profile, tokens

MATCHED = 0.5
"""Share of words that must be the same in a text and in what was heard: with fewer, the words at its borders may be the
same by chance."""

_ROUNDED = 1e-3
"""Seconds by which sums of durations are inexact."""


@dataclass(frozen=True)
class Share:
    """Neighbouring pieces and the part of the text that is said in them.

    Attributes:
        first, last: first piece, and end of the pieces.
        text: part of the text; empty where nothing is said.
    """

    first: int
    last: int
    text: str


def share_out(
    text: str, heard: Sequence[str], seconds: Sequence[float], most: float, profile: str, language: str
) -> list[Share]:
    """Return the runs of pieces whose part of the text is beyond doubt.

    Text and hypotheses are aligned with a smallest number of errors, from the front and from the back. A border of two
    pieces is sure where both alignments match the last word heard before it and the first one behind it with words of
    the text that stand side by side. A run begins and ends at sure borders, and is as long as may be.

    Args:
        text: Text of the whole recording.
        heard: Hypothesis of each piece, in their order.
        seconds: Duration of each piece.
        most: Seconds that a run may last.
        profile: Normalisation under which words are the same.
        language: Language of the text.

    Returns:
        Runs in their order; pieces in none of them are in doubt.
    """
    spaced = find_profile(profile).spaced
    units = text.split() if spaced else list(text)
    keyed = [(key, number) for number, unit in enumerate(units) for key in tokens(unit, "word", profile, language)]
    keys, owners = [key for key, _ in keyed], [number for _, number in keyed]
    words = [tokens(each, "word", profile, language) for each in heard]
    ends = [0, *accumulate(map(len, words))]
    flat = [word for own in words for word in own]
    forth, back = _matches(keys, flat), _matches_from_behind(keys, flat)

    def border(piece: int) -> int | None:
        """Return where in the keys a piece begins, None where that is in doubt."""
        if piece in (0, len(heard)):
            return len(keys) if piece else 0
        before, behind = forth.get(ends[piece] - 1), forth.get(ends[piece])
        sure = before == back.get(ends[piece] - 1) and behind == back.get(ends[piece])
        if not sure or before is None or behind is None or behind - before != 1:
            return None
        inside = 0 < behind < len(keys) and owners[behind] == owners[before]
        return None if inside else behind

    borders = [border(piece) for piece in range(len(heard) + 1)]
    found: list[Share] = []
    first = 0
    while first < len(heard):
        begin, last = borders[first], first
        for end, lasting in enumerate(accumulate(seconds[first:]), start=first + 1):
            if lasting > most + _ROUNDED:
                break
            last = last if borders[end] is None else end
        if begin is None or last == first:
            first += 1
            continue
        end_key = borders[last]
        assert end_key is not None
        same = sum(forth.get(place) is not None for place in range(ends[first], ends[last]))
        if same >= MATCHED * max(end_key - begin, ends[last] - ends[first]):
            own = units[_unit(begin, owners, units) : _unit(end_key, owners, units)]
            found.append(Share(first, last, (" " if spaced else "").join(own).strip()))
        first = last
    return found


def _unit(key: int, owners: Sequence[int], units: Sequence[str]) -> int:
    """Return the unit of a key; what has no key, such as a dash that stands alone, belongs to the words before it."""
    if key == len(owners):
        return len(units)
    return owners[key] if key else 0


def _matches(keys: Sequence[str], words: Sequence[str]) -> dict[int, int]:
    """Return the number of the key by that of the word that it is aligned with and equal to.

    Before the first and behind the last one, the end of the recording matches that of the text.
    """
    found = {-1: -1, len(words): len(keys)}
    for code in Levenshtein.opcodes(keys, words):
        if code.tag == "equal":
            found.update(zip(range(code.dest_start, code.dest_end), range(code.src_start, code.src_end), strict=True))
    return found


def _matches_from_behind(keys: Sequence[str], words: Sequence[str]) -> dict[int, int]:
    """Return what `_matches` does, of the alignment that another order of the same search finds."""
    found = _matches(keys[::-1], words[::-1])
    return {len(words) - 1 - word: len(keys) - 1 - key for word, key in found.items()}
