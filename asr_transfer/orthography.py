"""Cleans what people write: case by language, invisible characters, and the marks that stand within words.

Everything that lower-cases, tidies or strips a transcript does it here, for preparing and for comparing alike, so that
a text comes out the same whichever way it goes. Languages are tags such as `tr`, `tur`, `tr-TR` or `tt_Latn`; where
none is given, only what holds for a script in any language is done.

Case: Unicode's SpecialCasing.txt. Canonical forms: Unicode Standard Annex 15. Invisible characters are the
default-ignorable ones of Unicode, sections 23.2 and 23.3 of the Standard.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator
from functools import lru_cache
from typing import Literal

from asr_transfer.whitespace import single_spaced

Case = Literal["lower", "upper", "kept"]
"""What becomes of letters that have two cases."""

MARKS = "'·:׳״"
"""What can be left between letters where punctuation is removed: apostrophe, middle dot, colon, geresh, gershayim."""

ZWNJ, ZWJ = "\u200c", "\u200d"
"""The joiners, which are part of how some scripts are written."""

_VOWEL_SEPARATOR = "\u180e"
_FORMS = "\u180b\u180c\u180d\u180f"
"""Mongolian: what parts a last vowel from its word, and the selectors of a letter's form."""

JOINERS = ZWNJ + ZWJ + _VOWEL_SEPARATOR + _FORMS
"""The invisible characters that can be part of a word."""

# Dropped wherever they stand: soft hyphen, grapheme joiner, marks and embeddings of direction, fillers, byte order
# mark, word joiner and invisible operators, variation selectors, annotations, tags.
_IGNORED = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE = re.compile(f"[{_IGNORED}\u200b{JOINERS}]")
_IGNORABLE = re.compile(f"[{_IGNORED}]")
_JOINED = re.compile(f"[{JOINERS}]+")

_INDIC = frozenset(
    [
        "DEVANAGARI",
        "BENGALI",
        "GURMUKHI",
        "GUJARATI",
        "ORIYA",
        "TAMIL",
        "TELUGU",
        "KANNADA",
        "MALAYALAM",
        "SINHALA",
        "NEWA",
        "TIRHUTA",
        "GRANTHA",
        "KAITHI",
        "SHARADA",
        "MODI",
        "CHAKMA",
        "MEETEI",
        "SYLOTI",
        "BALINESE",
        "JAVANESE",
        "SUNDANESE",
        "KHUDAWADI",
    ]
)
_ZWNJ_SCRIPTS = _INDIC | {"ARABIC", "KHMER", "SYRIAC"}

# Older spellings of letters that Unicode has had for themselves since 4.1 and 5.1: a consonant, virama and ZWJ.
_ATOMIC = {
    "\u09a4\u09cd\u200d": "\u09ce",
    "\u0d23\u0d4d\u200d": "\u0d7a",
    "\u0d28\u0d4d\u200d": "\u0d7b",
    "\u0d30\u0d4d\u200d": "\u0d7c",
    "\u0d32\u0d4d\u200d": "\u0d7d",
    "\u0d33\u0d4d\u200d": "\u0d7e",
    "\u0d15\u0d4d\u200d": "\u0d7f",
}
_OLD_SPELLING = re.compile("|".join(_ATOMIC))

# Letters by Unicode, so at the edge of a word they cannot be quotation marks.
_MODIFIERS = "\u02bb\u02bc\u02bd"
_APOSTROPHE = "\u02bc"
_APOSTROPHES = _MODIFIERS + "'\u2018\u2019\u201b`\u00b4\u2032\u2035\u055a\u0384\u1fbd\u1fbf\uff07\uff40"
_DOTS = "\u00b7\u2027\u2022\u2219\u22c5"
_QUOTES = '"\u05f4\u201c\u201d\u201e\u2033\uff02'
_COLONS = ":\ua789\u2236\uff1a"
_GERESH, _GERSHAYIM = "\u05f3", "\u05f4"
_APOSTROPHE_MARK = re.compile(f"[{_APOSTROPHES}]")
_DOT_MARK = re.compile(f"[{_DOTS}]")
_QUOTE_MARK = re.compile(f"[{_QUOTES}]|[{_APOSTROPHES}{_GERESH}]{{2}}")
_COLON_MARK = re.compile(f"[{_COLONS}]")
_OPENING = re.compile(rf"(?:^|\s)[{_APOSTROPHES}]\S")

_DOT = "\u0307"
# Languages that write an i without a dot beside one with it; the second group only where it is written in Latin script.
_DOTLESS = frozenset(["tr", "tur", "az", "aze", "azj", "crh", "gag", "lzz", "tly"])
_DOTLESS_IN_LATIN = frozenset(["tt", "tat", "kk", "kaz", "ba", "bak"])
# Names that stand where a tag should, of languages that something below depends on.
_NAMES = {
    "turkish": "tr",
    "azerbaijani": "az",
    "lithuanian": "lt",
    "finnish": "fi",
    "swedish": "sv",
    "catalan": "ca",
    "occitan": "oc",
    "uzbek": "uz",
    "somali": "so",
    "hawaiian": "haw",
    "hausa": "ha",
    "afrikaans": "af",
}
_LITHUANIAN = frozenset(("lt", "lit"))
# Endings of abbreviations follow a colon: EU:n, S:t.
_WITH_COLON = frozenset(["fi", "fin", "sv", "swe", "se", "sme", "smj", "sma", "smn", "sms", "fit", "fkv"])
_CATALAN = frozenset(("ca", "cat", "oc", "oci"))
# Letters that an apostrophe at the end or the beginning of a word belongs to, where the apostrophe is a letter.
_FINAL = {
    "uz": "og",
    "uzb": "og",
    "uzn": "og",
    **dict.fromkeys(["so", "som", "nv", "nav", "yua", "quc", "cak", "kek", "mam"], ""),
}
_POLYNESIAN = "aeiouāēīōū"
_INITIAL = {
    **dict.fromkeys(["haw", "ty", "tah", "sm", "smo", "to", "ton", "rap", "wls", "fud", "niu", "rar"], _POLYNESIAN),
    **dict.fromkeys(("ha", "hau"), "y"),
}
_AFRIKAANS = frozenset(("af", "afr"))
_ARTICLE = re.compile(r"[nN]\b")
# A geresh makes other consonants of these; behind other letters it ends an abbreviation.
_GERESH_LETTERS = "גזצץתדחטער"


def tidied(text: str) -> str:
    """Return a text in composed form (NFC), single-spaced, with invisible characters only where they are writing.

    Joiners stay between letters of scripts that need them (ZWNJ in Arabic script, Khmer and Indic scripts, ZWJ in Indic
    scripts, vowel separator and selectors in Mongolian). The zero width space parts words, so it becomes a space. Marks
    of direction, soft hyphens, byte order marks and the like are dropped. Doing it twice changes nothing.
    """
    return " ".join(visible(text).split())


def visible(text: str) -> str:
    """Return a text as `tidied` does, but with its white space."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    if _INVISIBLE.search(text):
        text = _IGNORABLE.sub("", text).replace("\u200b", " ")
        text = _OLD_SPELLING.sub(lambda match: _ATOMIC[match.group()], text)
        text = unicodedata.normalize("NFC", _JOINED.sub(_joined, text))
    return text


def without_ignored(text: str) -> str:
    """Return a text without the invisible characters that are part of no writing, such as marks of direction."""
    return text if text.isascii() else _IGNORABLE.sub("", text)


def listed_word(text: str) -> str:
    """Return a word or phrase of a list or lexicon as texts that are `tidied` hold it, with single spaces."""
    return single_spaced(visible(text))


@lru_cache(maxsize=256)
def dotless(language: str) -> bool:
    """Say whether a language writes an i without a dot, whose capital is I, beside one with it, whose capital is İ."""
    first, *more = _tags(language)
    if first in _DOTLESS_IN_LATIN:
        return "latn" in more or "latin" in more
    return first in _DOTLESS


def lower(text: str, language: str = "") -> str:
    """Return a text in lower case as its language writes it.

    Where an i without a dot is a letter (`tr`, `az`, `crh`, `tt-Latn`, …), I becomes ı and İ becomes i. Elsewhere İ
    becomes i too, without the dot that Unicode leaves standing above it. Σ ends words as ς.
    """
    if dotless(language):
        text = unicodedata.normalize("NFC", text).replace("İ", "i").replace("I", "ı")
    text = text.lower()
    if _DOT not in text:
        return text
    # A dot above an i says nothing, except where Lithuanian dictionaries put an accent on it.
    spared = r"(?![\u0300\u0301\u0303])" if _tags(language)[0] in _LITHUANIAN else ""
    return unicodedata.normalize("NFC", re.sub(f"(?<=[iįị]){_DOT}+{spared}", "", unicodedata.normalize("NFC", text)))


def upper(text: str, language: str = "") -> str:
    """Return a text in capitals as its language writes them: i becomes İ where an i without a dot is a letter."""
    return (text.replace("i", "İ") if dotless(language) else text).upper()


def in_case(text: str, case: Case, language: str = "") -> str:
    """Return a text in lower case, in capitals, or as it is."""
    if case == "kept":
        return text
    return lower(text, language) if case == "lower" else upper(text, language)


def case_of(symbols: Iterable[str]) -> Case:
    """Return the only case that symbols such as a model's tokens can write; `kept` where they have both or none."""
    letters = set("".join(symbols))
    small, capital = any(c.islower() for c in letters), any(c.isupper() for c in letters)
    if small == capital:
        return "kept"
    return "lower" if small else "upper"


def marked(text: str, language: str = "") -> str:
    """Return a text, as `tidied` returns it, with one code point for each mark that stands within words.

    Apostrophes of any make between letters become U+0027, and at the edge of a word where they are a letter of the
    language (Uzbek `tog'`, Hawaiian `'okina`); elsewhere a modifier letter that touches a word stays U+02BC. Between
    Hebrew letters apostrophes and quotation marks become geresh and gershayim, and dots between Latin letters the
    middle dot of Catalan `l·l`. Finnish and Swedish colons (`EU:n`) become one. Everything else stays as it is.
    """
    if text.isascii() and "`" not in text and _tags(language)[0] not in _CATALAN:
        return text
    text = text.replace("ŀ", "l·").replace("Ŀ", "L·").replace("ŉ", "ʼn")
    text = _DOT_MARK.sub(lambda match: "·" if _between(match, _latin) else match.group(), text)
    if _tags(language)[0] in _CATALAN:
        text = re.sub(r"(?<=[lL])\.(?=[lL])", "·", text)
    if _tags(language)[0] in _WITH_COLON:
        text = _COLON_MARK.sub(lambda match: ":" if _between(match, _in_word) else match.group(), text)
    text = _QUOTE_MARK.sub(lambda match: _GERSHAYIM if _between(match, _hebrew) else match.group(), text)
    quoted = _OPENING.search(text) is not None
    return _APOSTROPHE_MARK.sub(lambda match: _one_apostrophe(match, language, quoted), text)


def respelled(text: str, alphabet: Container[str]) -> Iterator[str]:
    """Yield a tidied text with its marks as `marked` returns them, then with each apostrophe that an alphabet has."""
    text = marked(text)
    yield text
    if "'" in text:
        yield from (text.replace("'", own) for own in _APOSTROPHES if own in alphabet)


def compatible(text: str) -> str:
    """Return a tidied text in Unicode's form NFKC."""
    text = tidied(text)
    return text if text.isascii() else tidied(unicodedata.normalize("NFKC", text))


def compatible_lower(text: str, language: str = "") -> str:
    """Return a tidied text in Unicode's form NFKC and in lower case as its language writes it."""
    # Lower-casing may leave a form that is not NFKC, hence again behind it.
    return compatible(lower(compatible(text), language))


def words_alone(text: str, language: str = "") -> str:
    """Return the words of a text: lower case, NFKC, single spaces, no punctuation except what belongs to a word.

    Kept are marks as `marked` returns them (apostrophes, the middle dot of `l·l`, geresh and gershayim, Finnish and
    Swedish colons), and points and commas within numbers. Marks that stand on a letter without changing the word
    (Armenian ՞ ՜ ՛, Arabic tatweel) are dropped. All other punctuation parts words, hyphens too. Doing it twice changes
    nothing.
    """
    text = marked(tidied(text.translate(_ON_LETTERS)), language)
    if not text.isascii():
        # Before NFKC, which makes some of them a space and an accent.
        text = text.translate(_QUOTING)
    text = compatible_lower(text, language)
    if text.isalpha():
        return text
    text = marked(text, language).translate(_PUNCTUATION)
    while (cleaned := _STRAY.sub(lambda match: _kept(match, language), text)) != text:
        text = cleaned  # again: what a stray mark leaned on may itself have been one
    return tidied(text)


@lru_cache(maxsize=256)
def _tags(language: str) -> tuple[str, ...]:
    """Return the parts of a language tag in lower case, at least one."""
    first, *more = re.split("[-_@.]", language.strip().lower())
    return _NAMES.get(first, first), *more


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """Return the first word of a character's Unicode name, which for letters and their marks is the script."""
    return unicodedata.name(character, "").partition(" ")[0]


@lru_cache(maxsize=4096)
def _in_word(character: str) -> bool:
    """Say whether a character is a letter, a letter's mark or a digit; an apostrophe is none of them."""
    return character not in _APOSTROPHES and (character.isalnum() or unicodedata.category(character)[0] == "M")


def _latin(character: str) -> bool:
    return character.isalpha() and _script(character) == "LATIN"


def _hebrew(character: str) -> bool:
    return "\u0590" <= character <= "\u05c7" or "\u05d0" <= character <= "\u05f2"


def _around(match: re.Match[str]) -> tuple[str, str]:
    """Return the characters before and behind a match, a space at the end of the text."""
    text = match.string
    return (text[match.start() - 1] if match.start() else " "), (text[match.end()] if match.end() < len(text) else " ")


def _between(match: re.Match[str], kind: Callable[[str], bool]) -> bool:
    before, after = _around(match)
    return kind(before) and kind(after)


def _joined(match: re.Match[str]) -> str:
    """Return what of a run of joiners is writing, at most one character."""
    before, after = _around(match)
    if not _in_word(before):
        return ""
    script = _script(before)
    for character in match.group():
        if character in _FORMS and script == "MONGOLIAN":
            return character
        if not _in_word(after):
            continue
        if character == ZWNJ and script in _ZWNJ_SCRIPTS:
            return character
        if (character == ZWJ and script in _INDIC) or (character == _VOWEL_SEPARATOR and script == "MONGOLIAN"):
            return character
    return ""


def _at_edge(match: re.Match[str], language: str) -> bool:
    """Say whether an apostrophe at the edge of a word is a letter of the language."""
    first, (before, after) = _tags(language)[0], _around(match)
    if first in _AFRIKAANS:
        return not _in_word(before) and _ARTICLE.match(match.string, match.end()) is not None
    if first in _FINAL and not _in_word(after):
        return before.lower() in _FINAL[first] if _FINAL[first] else _in_word(before)
    return first in _INITIAL and not _in_word(before) and after.lower() in _INITIAL[first]


def _one_apostrophe(match: re.Match[str], language: str, quoted: bool) -> str:
    before, after = _around(match)
    if _hebrew(before):
        alone = match.start() < 2 or not _in_word(match.string[match.start() - 2])
        if _hebrew(after) or (not _in_word(after) and (before in _GERESH_LETTERS or alone or not quoted)):
            return _GERESH
    elif (_in_word(before) and _in_word(after)) or _at_edge(match, language):
        return "'"
    elif match.group() in _MODIFIERS and (_in_word(before) or _in_word(after)):
        return _APOSTROPHE
    return match.group()


class _Punctuation(dict[int, int | str]):
    """Maps punctuation to a space, and characters' codes to themselves; grows as characters are met."""

    def __missing__(self, code: int) -> int | str:
        self[code] = " " if unicodedata.category(chr(code)).startswith("P") else code
        return self[code]


# Apostrophes that are none once `marked` has made one of all within words.
_QUOTING = {ord(c): " " for c in _APOSTROPHES if c not in ("'", _APOSTROPHE)}
# Emphasis, exclamation, question and abbreviation of Armenian stand on a vowel; tatweel and lajanyalan stretch words.
_ON_LETTERS = dict.fromkeys((0x55B, 0x55C, 0x55E, 0x55F, 0x640, 0x7FA))
# Kept by the table; `_kept` removes those outside a word or number.
_PUNCTUATION = _Punctuation({**{ord(c): ord(c) for c in f"{MARKS}.,"}, **_QUOTING})
_STRAY = re.compile(f"[{MARKS}.,{_APOSTROPHE}]")


def _kept(match: re.Match[str], language: str) -> str:
    """Return a mark that belongs to the word or number around it, else a space."""
    mark, (before, after) = match.group(), _around(match)
    if mark in ".,":
        stays = before.isdecimal() and after.isdecimal()
    elif mark == "·":
        stays = _latin(before) and _latin(after)
    elif mark == ":":
        letters = before.isalpha() or after.isalpha()
        stays = _tags(language)[0] in _WITH_COLON and letters and _in_word(before) and _in_word(after)
    elif mark == _GERSHAYIM:
        stays = _hebrew(before) and _hebrew(after)
    elif mark == _GERESH:
        stays = _hebrew(before)
    elif mark == _APOSTROPHE:
        stays = _in_word(before) or _in_word(after)
    else:
        stays = (_in_word(before) and _in_word(after)) or _at_edge(match, language)
    return mark if stays else " "
