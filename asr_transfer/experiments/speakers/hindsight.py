"""Finds the best of several methods in hindsight, and what is left of it when the speaker who is scored has no say.

The method with the fewest errors on a set of speakers is in part the one that chance favoured on them, so that its
figure promises too much. Here each speaker in turn is left out, the others choose, and the choice is scored on him
(cross-validatory choice; Stone 1974).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from asr_transfer.errors import DataError

Errors = tuple[int, int]
"""Before and after adapting, over all draws of a speaker."""


@dataclass(frozen=True)
class BestInHindsight:
    """The best method on all speakers.

    Attributes:
        method: its name.
        reduction: share of all speakers' errors that it takes away.
        corrected: share of the errors taken away where the other speakers choose for each; None for one speaker.
        chosen: method that the others chose for each speaker.
    """

    method: str
    reduction: float
    corrected: float | None
    chosen: Mapping[str, str]


def best_in_hindsight(methods: Mapping[str, Mapping[str, Errors]]) -> BestInHindsight:
    """Return the method that took most errors away, and its figure corrected for having been the best.

    Args:
        methods: errors before and after adapting, by speaker, by method; of several that are equally good, the first.

    Raises:
        DataError: there is no method, or methods were not tried on the same speakers, or did not begin with the same
            errors.
    """
    if not methods or not all(methods.values()):
        raise DataError("no method was tried on any speaker, so that none is the best.")
    first = next(iter(methods.values()))
    for name, own in methods.items():
        if own.keys() != first.keys() or any(own[speaker][0] != first[speaker][0] for speaker in first):
            raise DataError(f"the method {name} was tried on other speakers or recordings; compare like with like.")

    def best(speakers: Iterable[str]) -> str:
        kept = list(speakers)
        return min(methods, key=lambda name: sum(methods[name][speaker][1] for speaker in kept))

    whole = best(first)
    chosen = {left: best(speaker for speaker in first if speaker != left) for left in first} if len(first) > 1 else {}
    corrected = _reduction(methods[name][speaker] for speaker, name in chosen.items()) if chosen else None
    return BestInHindsight(whole, _reduction(methods[whole].values()), corrected, chosen)


def _reduction(errors: Iterable[Errors]) -> float:
    pairs = list(errors)
    before, after = (sum(pair[place] for pair in pairs) for place in (0, 1))
    return 1 - after / before if before else 0.0
