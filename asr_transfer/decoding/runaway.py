"""Finds where a decoder runs away: it writes the same again and again, or more than anybody can say in the time.

Whisper's own measure is how well a text can be compressed (Radford et al. 2022, section 4.5); repetitions are found
while they are written, so that a loop costs no time.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from asr_transfer.decoding.settings import WritingConfig

LONGEST = 24
"""Tokens of the longest phrase whose repetitions are found."""


def repetition(tokens: Sequence[int], times: int, least: int) -> int:
    """Return the length of the phrase that the tokens end in `times` times over, all in all `least` tokens; 0 for none.

    >>> repetition([7, 1, 2, 1, 2, 1, 2], 3, 6)
    2
    """
    for length in range(1, min(LONGEST, len(tokens) // times) + 1):
        again = max(times, -(-least // length))
        if len(tokens) >= again * length:
            tail = tokens[len(tokens) - again * length :]
            if all(tail[place] == tail[place - length] for place in range(length, len(tail))):
                return length
    return 0


def without_repetition(tokens: Sequence[int], length: int) -> list[int]:
    """Return tokens that end in a repeated phrase of a length with the phrase once.

    >>> without_repetition([7, 1, 2, 1, 2, 1, 2], 2)
    [7, 1, 2]
    """
    end = len(tokens)
    while end >= 2 * length and list(tokens[end - 2 * length : end - length]) == list(tokens[end - length : end]):
        end -= length
    # A loop may have been cut in the middle of the phrase, whose beginning then stands before the first whole one.
    while end > length and tokens[end - 1] == tokens[end - 1 - length]:
        end -= 1
    return list(tokens[:end])


def limit(seconds: float, config: WritingConfig) -> int:
    """Return how many tokens a recording of so many seconds can hold."""
    return round(config.tokens_beside + config.tokens_per_second * seconds)


def compression(text: str) -> float:
    """Return how many times shorter a text becomes when it is compressed; prose is below 2.

    >>> compression("ha " * 100) > 10
    True
    """
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 0.0
