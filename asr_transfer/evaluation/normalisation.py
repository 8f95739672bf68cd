"""Named text normalisations for scoring.

Error rates of differently normalised texts are different quantities, so a profile has a name, the name is stored beside
every rate, and rates under two names are not compared. No profile spells digits out or reads them: "3.5" stays "3.5".
Unicode forms: Unicode Standard Annex 15 (NFKC).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from asr_transfer.errors import ConfigError, nearest_hint

Unit = Literal["word", "character", "phone"]
"""What an error rate counts: WER, CER, PER."""

DEFAULT = "none"


@dataclass(frozen=True)
class Profile:
    """A normalisation.

    Attributes:
        name: under which it is stored.
        summary: what it does, for reports.
        clean: text → text; runs of spaces are merged behind it in any case.
        spaced: false where spaces mean nothing: they are dropped, and words are single characters.
    """

    name: str
    summary: str
    clean: Callable[[str], str]
    spaced: bool = True


def find_profile(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if name not in PROFILES:
        raise ConfigError(f"the normalisation profile '{name}' is not known.{nearest_hint(name, PROFILES)}")
    return PROFILES[name]


def normalise(text: str, profile: str = DEFAULT) -> str:
    """Return `text` under a profile. Doing it twice changes nothing."""
    found = find_profile(profile)
    return ("" if not found.spaced else " ").join(found.clean(text).split())


def tokens(text: str, unit: Unit = "word", profile: str = DEFAULT) -> list[str]:
    """Return the units of `text` that an error rate counts.

    Characters include single spaces where the profile keeps spaces. Phones are what stands between spaces, untouched by
    the profile: "A:" and "a" are two phones.
    """
    if unit == "phone":
        return text.split()
    found = find_profile(profile)
    words = found.clean(text).split()
    if not found.spaced:
        return list("".join(words))
    return words if unit == "word" else list(" ".join(words))


class _Punctuation(dict[int, int | str]):
    """Maps punctuation to a space, and characters' codes to themselves; grows as characters are met."""

    def __missing__(self, code: int) -> int | str:
        self[code] = " " if unicodedata.category(chr(code)).startswith("P") else code
        return self[code]


# Kept by the table; those outside a word or number are removed by the expression. U+2019 is the typographic apostrophe.
_PUNCTUATION = _Punctuation({ord(c): ord(c) for c in "'.,"} | {0x2019: "'"})
_STRAY = re.compile(r"(?<!\w)'|'(?!\w)|(?<!\d)[.,]|[.,](?!\d)")


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _lower(text: str) -> str:
    # Lower-casing may leave a form that is not NFKC ("İ" becomes two characters), hence again behind it.
    return text.lower() if text.isascii() else _nfkc(_nfkc(text).lower())


def _basic(text: str) -> str:
    text = _lower(text)
    if text.isalpha():
        return text
    text = text.translate(_PUNCTUATION)
    while any(c in text for c in "'.,") and (cleaned := _STRAY.sub(" ", text)) != text:
        text = cleaned  # again: what a stray mark leaned on may itself have been one
    return text


def _characters(text: str) -> str:
    # A mark that stood alone may now combine with the character before it, hence NFKC again.
    return _nfkc("".join(_basic(text).split()))


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("none", "texts as they are, runs of spaces merged", str),
        Profile("nfkc", "Unicode NFKC", _nfkc),
        Profile("lower", "Unicode NFKC, lower case", _lower),
        Profile(
            "basic",
            "Unicode NFKC, lower case, punctuation removed except apostrophes within words and marks within numbers",
            _basic,
        ),
        Profile(
            "characters", "texts as they are, spaces dropped, every character counted as a word", str, spaced=False
        ),
        Profile("mandarin", "as basic, spaces dropped, every character counted as a word", _characters, spaced=False),
    )
}
