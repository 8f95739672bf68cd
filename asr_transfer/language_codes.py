"""Tells whether a text is a language code: ISO 639-1 of two letters, ISO 639-3 of three, with a region or a script."""

from __future__ import annotations

import re

from asr_transfer.errors import ConfigError

_TWO_LETTERS = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el "
    "en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it "
    "iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt "
    "my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl "
    "sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo "
    "za zh zu"
)
CODES = frozenset(_TWO_LETTERS.split())
"""ISO 639-1, as of its last change in 2003 without what was withdrawn."""

NAMES = {
    "arabic": "ar", "bengali": "bn", "bulgarian": "bg", "catalan": "ca", "chinese": "zh", "croatian": "hr",
    "czech": "cs", "danish": "da", "dutch": "nl", "english": "en", "estonian": "et", "finnish": "fi", "french": "fr",
    "german": "de", "greek": "el", "hebrew": "he", "hindi": "hi", "hungarian": "hu", "indonesian": "id",
    "italian": "it", "japanese": "ja", "korean": "ko", "latvian": "lv", "lithuanian": "lt", "mandarin": "cmn",
    "norwegian": "no", "persian": "fa", "polish": "pl", "portuguese": "pt", "romanian": "ro", "russian": "ru",
    "serbian": "sr", "slovak": "sk", "slovenian": "sl", "spanish": "es", "swahili": "sw", "swedish": "sv",
    "thai": "th", "turkish": "tr", "ukrainian": "uk", "vietnamese": "vi", "welsh": "cy",
}  # fmt: skip
"""Codes of names that people type instead."""

_FORM = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def require_code(code: str) -> None:
    """Refuse what is no language code; three letters are taken for one of the thousands that have them.

    Raises:
        ConfigError: it is none; the message names the code that was meant, where it can be guessed.
    """
    known = NAMES.get(code.lower())
    if known is not None:
        raise ConfigError(f"`language` is '{code}', which is a name; give its code, '{known}'.")
    first = code.partition("-")[0]
    if not _FORM.fullmatch(code) or (len(first) == 2 and first not in CODES):
        raise ConfigError(f"`language` is '{code}', which is no ISO 639 code; give one such as 'de' or 'yue'.")
