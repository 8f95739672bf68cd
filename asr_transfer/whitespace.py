"""Divides words by white space as line-based formats know it: a space, a tab or a line feed, and nothing else.

`str.split` and `str.splitlines` also divide at Unicode's other separators (U+0085, U+00A0, U+2028, U+3000 …), which are
characters of words in files of other programs: a word that holds one would become two without a word.
"""

from __future__ import annotations


def words_of(text: str) -> list[str]:
    """Return what stands between spaces, tabs and line ends."""
    plain = text.replace("\t", " ").replace("\n", " ").replace("\r", " ")
    return [word for word in plain.split(" ") if word]


def single_spaced(text: str) -> str:
    """Return the words of `text` with single spaces between them."""
    return " ".join(words_of(text))
