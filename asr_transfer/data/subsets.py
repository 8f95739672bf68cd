"""Draws training subsets of rising size, each inside the next, for curves over the amount of speech."""

from __future__ import annotations

import random
from collections.abc import Sequence

from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError


def nested_subsets(
    utterances: Sequence[Utterance], minutes: Sequence[float], seed: int
) -> dict[float, list[Utterance]]:
    """Return for each amount the first utterances of one random order that together last so many minutes.

    Args:
        utterances: speech to draw from.
        minutes: amounts, rising.
        seed: random seed of the order; the subsets of one seed lie inside each other.

    Raises:
        DataError: there is less speech than the largest amount, or an amount holds no utterance.
    """
    total = sum(u.duration for u in utterances) / 60
    if minutes and max(minutes) > total:
        raise DataError(
            f"{max(minutes):g} minutes are asked for, but the training speech lasts {total:.1f}; ask for less."
        )
    order = sorted(utterances, key=lambda u: u.id)
    random.Random(f"{seed}/subsets").shuffle(order)
    subsets: dict[float, list[Utterance]] = {}
    for amount in minutes:
        chosen, seconds = [], 0.0
        for utterance in order:
            if seconds + utterance.duration > 60 * amount:
                break
            chosen.append(utterance)
            seconds += utterance.duration
        if not chosen:
            raise DataError(f"{amount:g} minutes are less than the first utterance lasts; take more.")
        subsets[amount] = chosen
    return subsets
