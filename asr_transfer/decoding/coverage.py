"""Checks that a language model and a lexicon are of the same words: one that lists none of them would be used in
vain.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.subwords import MARK
from asr_transfer.decoding.kneser_ney import BEGIN, END, UNKNOWN
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import DataError
from asr_transfer.remarks import remark
from asr_transfer.whitespace import words_of

FEW = 0.5
"""Below this share of listed words the model is hardly of the same speech, and the user is told."""

_CASES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("in lower case", str.lower),
    ("in capitals", str.upper),
    ("with a capital letter", str.capitalize),
)


def check_coverage(lexicon: Lexicon, model: NgramModel) -> None:
    """Warn where a language model lists few of a lexicon's words; a phrase counts with each of its words.

    Raises:
        DataError: it lists none; the message guesses why.
    """
    words = {part for word in lexicon.words for part in words_of(word)}
    listed = sum(word in model for word in words)
    if listed >= FEW * len(words):
        return
    number = f"{listed:,}" if listed else "none"
    told = f"{model.source}: lists {number} of the {len(words):,} words of {lexicon.source}"
    guess = _guess(words, lexicon, model, listed)
    if not listed:
        raise DataError(f"{told}; {guess}.")
    remark(f"{told}, and takes the others for unlisted words; {guess}")


def _guess(words: Collection[str], lexicon: Lexicon, model: NgramModel, listed: int) -> str:
    """Return why so few words are listed, and what to do about it."""
    shares = [(sum(written(word) in model for word in words), name) for name, written in _CASES]
    most, name = max(shares, key=lambda share: share[0])
    if most > 2 * listed:
        return f"it lists {most:,} of them {name}, so write the lexicon's words that way or make the model anew"
    own = {word for word in model.words if word not in (BEGIN, END, UNKNOWN, UNKNOWN.upper())}
    phones = {phone for entry in lexicon for phone in entry.phones}
    if any(MARK in word or word.endswith("@@") for word in own):
        return "it is of pieces of words, so give a model of whole words"
    if len(own & phones) * 2 > len(own) or (own and sum(map(len, own)) <= 1.5 * len(own)):
        return "it seems to be of phones or letters, so give a model of words"
    if own and not _scripts(own) & _scripts(words):
        return "its words are in another script, so give a model of the lexicon's language"
    if listed:
        lacking = ", ".join([repr(word) for word in sorted(words) if word not in model][:3])
        return f"make it of texts that hold words such as {lacking}, or with `lm make --lexicon`"
    example = ", ".join(repr(word) for word in sorted(own)[:3])
    return f"its words, such as {example}, seem to be of another language or subject, so give a model of such sentences"


def _scripts(words: Collection[str]) -> set[str]:
    """Return the scripts of letters, by the first word of their names in Unicode."""
    letters = {letter for word in words for letter in word if letter.isalpha()}
    return {unicodedata.name(letter, "?").split(" ")[0] for letter in letters}
