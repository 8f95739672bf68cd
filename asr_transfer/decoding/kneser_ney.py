"""Estimates an n-gram model by interpolated Kneser-Ney smoothing with one discount per order.

Kneser and Ney, "Improved backing-off for m-gram language modeling" (1995), in the interpolated form of Chen and
Goodman, "An empirical study of smoothing techniques for language modeling" (1999). Lower orders count in how many
different contexts an n-gram occurs. The unigrams are interpolated with the uniform distribution over all words,
`</s>` and `<unk>`, so that listed words that were never seen, and unlisted ones, have a probability.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from asr_transfer.decoding.arpa import Grams
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.whitespace import words_of

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0
"""What ARPA files write for the logarithm of 0: `<s>` is never said."""

_Gram = tuple[str, ...]


def estimate(
    texts: Iterable[str], order: int = 3, vocabulary: Iterable[str] = (), unlisted: Collection[str] = ()
) -> Grams:
    """Return the model in ARPA's terms.

    Args:
        texts: sentences, words separated by spaces.
        order: length of the longest n-grams; orders that no sentence reaches are left out.
        vocabulary: words to list although no text holds them.
        unlisted: words that count as `<unk>` wherever a text holds them, unless the vocabulary does too.

    Raises:
        ConfigError: the order is not at least 1.
        DataError: the texts hold no words, or one of the model's own marks.
    """
    if order < 1:
        raise ConfigError(f"the order of a language model must be at least 1, got {order}.")
    counts: list[Counter[_Gram]] = [Counter() for _ in range(order)]
    listed: dict[str, None] = {word: None for entry in vocabulary for word in words_of(entry)}
    hidden = frozenset(unlisted) - listed.keys()
    spoken = False
    for text in texts:
        words = words_of(text)
        spoken = spoken or bool(words)
        listed.update(dict.fromkeys(word for word in words if word not in hidden))
        marked = (BEGIN, *(UNKNOWN if word in hidden else word for word in words), END)
        for n in range(1, order + 1):
            counts[n - 1].update(marked[i : i + n] for i in range(len(marked) - n + 1))
    if not spoken:
        raise DataError("the texts of the language model hold no words; give transcripts.")
    if (mark := next((mark for mark in (BEGIN, END, UNKNOWN) if mark in listed), None)) is not None:
        raise DataError(f"the texts of the language model hold {mark!r}, which has a meaning of its own; remove it.")
    while not counts[-1]:
        counts.pop()
    adjusted = _adjusted(counts)
    del adjusted[0][BEGIN,]
    probs: list[dict[_Gram, float]] = []
    backoffs: list[dict[_Gram, float]] = []
    everything = [END, UNKNOWN, *listed]
    for n, section in enumerate(adjusted):
        discount = _discount(section)
        totals: defaultdict[_Gram, float] = defaultdict(float)
        kinds: Counter[_Gram] = Counter()
        for gram, count in section.items():
            totals[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        left = {context: discount * kinds[context] / total for context, total in totals.items()}
        backoffs.append(left)
        grams = ((word,) for word in everything) if n == 0 else section
        probs.append(
            {
                gram: max(section[gram] - discount, 0.0) / totals[gram[:-1]]
                + left[gram[:-1]] * (probs[n - 1][gram[1:]] if n else 1 / len(everything))
                for gram in grams
            }
        )
    probs[0] = {(BEGIN,): 0.0, **probs[0]}
    return [
        {
            gram: (_log10(p), _log10(backoffs[n + 1].get(gram, 1.0)) if n + 1 < len(backoffs) else 0.0)
            for gram, p in section.items()
        }
        for n, section in enumerate(probs)
    ]


def _adjusted(counts: list[Counter[_Gram]]) -> list[Counter[_Gram]]:
    """Replace counts below the highest order by the number of words that come before, where any can."""
    result = []
    for n, section in enumerate(counts):
        if n + 1 == len(counts):
            result.append(section)
            continue
        before = Counter(gram[1:] for gram in counts[n + 1])
        # Nothing comes before the beginning, so that what starts there keeps its count.
        result.append(Counter({gram: count if gram[0] == BEGIN else before[gram] for gram, count in section.items()}))
    return result


def _discount(section: Counter[_Gram]) -> float:
    """Return n1 / (n1 + 2·n2) of the numbers of n-grams counted once and twice; 0.5 where that would be 0 or 1."""
    once = sum(count == 1 for count in section.values())
    twice = sum(count == 2 for count in section.values())
    return once / (once + 2 * twice) if once and twice else 0.5


def _log10(p: float) -> float:
    return math.log10(p) if p > 0 else NEVER
