"""Translates notations of phones: ARPAbet and pinyin's initials and finals into IPA.

With one notation a single model of phones can serve several languages.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from asr_transfer.data.tokens import without_tone
from asr_transfer.errors import ConfigError, DataError, nearest_hint

Scheme = Literal["ipa", "arpabet", "pinyin"]
"""Notations of phones: IPA; ARPAbet as in cmudict, in either case; pinyin's initials and finals."""

STRESS = "ˈˌ"
TIE = "\u0361"
TONES = {"1": "˥", "2": "˧˥", "3": "˨˩˦", "4": "˥˩", "5": ""}
"""Mandarin's tones in Chao's letters (Chao 1968)."""

TONE_LETTERS = "˥˦˧˨˩"
_BOUNDARIES = ".|‖‿-"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzæðøħŋœβθχǀǁǂǃⱱᵻᵿʘ") | {chr(code) for code in range(0x250, 0x2B0)}
_LIGATURES = {"ʦ": "t͡s", "ʣ": "d͡z", "ʧ": "t͡ʃ", "ʤ": "d͡ʒ", "ʨ": "t͡ɕ", "ʥ": "d͡ʑ"}
_RESPELT = str.maketrans({"g": "ɡ", ":": "ː", "\u035c": TIE, **_LIGATURES})


def _table(text: str) -> dict[str, tuple[str, ...]]:
    rows = (row.split() for row in text.split(","))
    return {symbol: tuple(ipa) for symbol, *ipa in rows}


ARPABET = _table(
    "aa ɑ, ae æ, ah ʌ, ao ɔ, aw a ʊ, ax ə, axr ɚ, ay a ɪ, b b, ch t͡ʃ, d d, dh ð, dx ɾ, eh ɛ, el l̩, em m̩, en n̩, er ɚ, "
    "ey e ɪ, f f, g ɡ, hh h, ih ɪ, ix ɨ, iy i, jh d͡ʒ, k k, l l, m m, n n, ng ŋ, ow o ʊ, oy ɔ ɪ, p p, q ʔ, r ɹ, s s, "
    "sh ʃ, t t, th θ, uh ʊ, uw u, ux ʉ, v v, w w, wh ʍ, y j, z z, zh ʒ"
)
"""ARPAbet of the CMU Pronouncing Dictionary and TIMIT (Garofolo et al. 1993) in IPA; diphthongs are two vowels."""

_TIMIT_ONLY = {"ax", "axr", "dx", "el", "em", "en", "ix", "q", "ux", "wh"}
CMUDICT = tuple(symbol for symbol in ARPABET if symbol not in _TIMIT_ONLY)
"""The 39 symbols that the CMU Pronouncing Dictionary uses."""

INITIALS = _table(
    "b p, p pʰ, m m, f f, d t, t tʰ, n n, l l, g k, k kʰ, h x, j t͡ɕ, q t͡ɕʰ, x ɕ, zh ʈ͡ʂ, ch ʈ͡ʂʰ, sh ʂ, r ɻ, z t͡s, "
    "c t͡sʰ, s s"
)
"""Initials of Mandarin in IPA (Lin 2007, The Sounds of Chinese, chapter 2)."""

FINALS = _table(
    "a a, o w o, e ɤ, ê ɛ, er ɚ, ai a i, ei e i, ao a u, ou o u, an a n, en ə n, ang a ŋ, eng ə ŋ, ong ʊ ŋ, i i, "
    "ia j a, ie j ɛ, iao j a u, iou j o u, io j o, ian j ɛ n, in i n, iang j a ŋ, ing i ŋ, iong j ʊ ŋ, u u, "
    "ua w a, uo w o, uai w a i, uei w e i, uan w a n, uen w ə n, uang w a ŋ, ueng w ə ŋ, "
    "v y, ve ɥ ɛ, van ɥ ɛ n, vn y n, m m̩, n n̩, ng ŋ̩"
)
"""Finals, named as pypinyin's strict style does, in IPA (Lin 2007, chapters 3 and 5); a diphthong is two vowels."""

_APICAL = {**dict.fromkeys(("zh", "ch", "sh", "r"), "ɻ̩"), **dict.fromkeys(("z", "c", "s"), "ɹ̩")}
_GLIDES = "jwɥ"


def segment(text: str, stress: bool = False) -> list[str]:
    """Split IPA into phones: each a letter with its diacritics, length and tone, or two letters under a tie bar.

    Ligatures are written with a tie bar, g as ɡ, and all in Unicode's form NFC. Boundaries are dropped.

    Args:
        text: text in IPA.
        stress: whether to keep a stress mark at the beginning of the phone behind it.

    Raises:
        DataError: a character is no IPA, or a diacritic or tie bar has nothing to belong to.
    """
    phones: list[str] = []
    begun, tied = "", False  # begun: marks that stand before their letter
    for letter in unicodedata.normalize("NFD", text).translate(_RESPELT):
        if letter in STRESS:
            begun += letter if stress else ""
        elif letter.isspace() or letter in _BOUNDARIES:
            continue
        elif letter == TIE:
            if not phones or tied or begun:
                raise DataError(f"{text!r} is no IPA: a tie bar stands between two letters.")
            phones[-1] += letter
            tied = True
        elif letter in _LETTERS:
            if tied:
                phones[-1] += begun + letter
            else:
                phones.append(begun + letter)
            begun, tied = "", False
        elif unicodedata.category(letter) in ("Mn", "Lm", "Sk"):
            if phones and not begun and not tied:
                phones[-1] += letter
            else:
                begun += letter
        else:
            raise DataError(f"{text!r} is no IPA: it holds {letter!r}; remove it or name the notation it is in.")
    if begun.strip(STRESS) or tied or (begun and not phones):
        raise DataError(f"{text!r} is no IPA: a mark or tie bar has no letter to belong to.")
    return [unicodedata.normalize("NFC", phone) for phone in phones]


def to_ipa(phones: Iterable[str], scheme: Scheme, tones: bool = False) -> list[str]:
    """Turn a pronunciation into IPA phones; a diphthong becomes two.

    Args:
        phones: phones of one word; digits for stress and tone may stand or be missing.
        scheme: notation that they are written in.
        tones: whether to keep Mandarin's tones, as Chao's letters behind the vowel; without them they are dropped.

    Raises:
        DataError: a phone is not one of the notation.
        ConfigError: there is no such notation.
    """
    _require_scheme(scheme)
    found: list[str] = []
    before = ""
    for phone in phones:
        if scheme == "ipa":
            found += segment(phone)
            continue
        plain = without_tone(phone.lower())
        table = ARPABET if scheme == "arpabet" else INITIALS | FINALS
        if plain not in table:
            raise DataError(f"{phone!r} is no phone of {scheme}.{nearest_hint(plain[:20], table)}")
        if phone.lower() == "ah0":
            ipa: tuple[str, ...] = ("ə",)  # the dictionary's schwa
        elif scheme == "pinyin":
            ipa = _pinyin(plain, phone[len(plain) :], before, tones)
        else:
            ipa = table[plain]
        found += ipa
        before = plain
    return found


def _pinyin(plain: str, digit: str, before: str, tones: bool) -> tuple[str, ...]:
    initial = before if before in INITIALS else ""
    # m and n are syllables of their own only where a tone says so.
    if plain in INITIALS and not (digit and plain in FINALS):
        return INITIALS[plain]
    ipa = FINALS[plain]
    if plain == "i" and initial in _APICAL:
        ipa = (_APICAL[initial],)
    elif plain == "o" and not initial:
        ipa = ("o",)
    if not tones:
        return ipa
    nucleus = next((n for n, phone in enumerate(ipa) if phone not in _GLIDES), 0)
    return tuple(phone + TONES.get(digit, "") * (n == nucleus) for n, phone in enumerate(ipa))


def split_pinyin(phones: Sequence[str]) -> list[tuple[str, ...]]:
    """Split initials and finals into syllables: each ends with a final."""
    found: list[tuple[str, ...]] = []
    begun: list[str] = []
    for phone in phones:
        begun.append(phone)
        if phone not in INITIALS:  # a digit makes m and n finals
            found.append(tuple(begun))
            begun = []
    return [*found, tuple(begun)] if begun else found


def scheme_of(symbols: Iterable[str]) -> Scheme:
    """Guess the notation of an inventory or lexicon: ARPAbet or pinyin where all symbols are theirs, else IPA.

    A single letter is of all notations, so that some longer symbol must speak for ARPAbet or pinyin.
    """
    plain = {without_tone(symbol.lower()) for symbol in symbols}
    for scheme, table in (("arpabet", ARPABET), ("pinyin", INITIALS | FINALS)):
        if plain <= table.keys() and any(len(symbol) > 1 and symbol.isascii() for symbol in plain):
            return scheme  # type: ignore[return-value]
    return "ipa"


def _require_scheme(scheme: str) -> None:
    if scheme not in get_args(Scheme):
        raise ConfigError(f"there is no notation {scheme!r}.{nearest_hint(scheme, get_args(Scheme))}")
