"""Normalises texts for scoring, under named profiles.

Error rates of differently normalised texts are different quantities, so a profile has a name, the name is stored beside
every rate, and rates under two names are not compared. No profile spells digits out or reads them: "3.5" stays "3.5".
What is done to texts is `asr_transfer.orthography`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from asr_transfer import orthography
from asr_transfer.errors import ConfigError, nearest_hint

Unit = Literal["word", "character", "phone"]
"""What an error rate counts: WER, CER, PER."""

DEFAULT = "none"


@dataclass(frozen=True)
class Profile:
    """A normalisation.

    Attributes:
        name: name that it is stored under.
        summary: sentence on its effect, for reports.
        clean: text and its language → text; runs of spaces are merged behind it in any case.
        spaced: whether spaces mean something; otherwise they are dropped, and words are single characters.
        lowers: whether letters become small ones, as the text's language writes them.
    """

    name: str
    summary: str
    clean: Callable[[str, str], str]
    spaced: bool = True
    lowers: bool = False


def find_profile(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if name not in PROFILES:
        raise ConfigError(f"the normalisation profile '{name}' is not known.{nearest_hint(name, PROFILES)}")
    return PROFILES[name]


def normalise(text: str, profile: str = DEFAULT, language: str = "") -> str:
    """Return `text`, which is in `language`, under a profile. Doing it twice changes nothing."""
    found = find_profile(profile)
    return ("" if not found.spaced else " ").join(found.clean(text, language).split())


def tokens(text: str, unit: Unit = "word", profile: str = DEFAULT, language: str = "") -> list[str]:
    """Return the units of `text`, which is in `language`, that an error rate counts.

    Characters include single spaces where the profile keeps spaces. Phones are what stands between spaces, untouched by
    the profile: "A:" and "a" are two phones.
    """
    if unit == "phone":
        return text.split()
    found = find_profile(profile)
    words = found.clean(text, language).split()
    if not found.spaced:
        return list("".join(words))
    return words if unit == "word" else list(" ".join(words))


def _unspaced(text: str, language: str) -> str:
    # Tidied again: a mark that stood alone may now combine with the character before it.
    return orthography.tidied("".join(orthography.tidied(text).split()))


def _characters(text: str, language: str) -> str:
    # A mark that stood alone may now belong to the characters beside it, hence again.
    while (joined := "".join(orthography.words_alone(text, language).split())) != text:
        text = joined
    return text


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "none",
            "texts as they are in Unicode NFC, runs of spaces merged, invisible characters dropped",
            lambda text, _: orthography.tidied(text),
        ),
        Profile("nfkc", "Unicode NFKC, invisible characters dropped", lambda text, _: orthography.compatible(text)),
        Profile("lower", "Unicode NFKC, lower case of the language", orthography.compatible_lower, lowers=True),
        Profile(
            "basic",
            "Unicode NFKC, lower case of the language, punctuation removed except marks within words and numbers, one "
            "apostrophe",
            orthography.words_alone,
            lowers=True,
        ),
        Profile(
            "mandarin",
            "as basic, spaces dropped, every character counted as a word",
            _characters,
            spaced=False,
            lowers=True,
        ),
        Profile(
            "characters",
            "texts as they are in Unicode NFC, spaces dropped, every character counted as a word",
            _unspaced,
            spaced=False,
        ),
    )
}
