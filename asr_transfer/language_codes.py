"""Tells whether a text is a language code, and which codes are of one language.

Codes are ISO 639-1 of two letters or ISO 639-3 of three, with a region or a script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from asr_transfer.errors import ConfigError

_LETTERS = (
    "aa=aar ab=abk ae=ave af=afr ak=aka am=amh an=arg ar=ara as=asm av=ava ay=aym az=aze ba=bak be=bel bg=bul bi=bis "
    "bm=bam bn=ben bo=bod br=bre bs=bos ca=cat ce=che ch=cha co=cos cr=cre cs=ces cu=chu cv=chv cy=cym da=dan de=deu "
    "dv=div dz=dzo ee=ewe el=ell en=eng eo=epo es=spa et=est eu=eus fa=fas ff=ful fi=fin fj=fij fo=fao fr=fra fy=fry "
    "ga=gle gd=gla gl=glg gn=grn gu=guj gv=glv ha=hau he=heb hi=hin ho=hmo hr=hrv ht=hat hu=hun hy=hye hz=her ia=ina "
    "id=ind ie=ile ig=ibo ii=iii ik=ipk io=ido is=isl it=ita iu=iku ja=jpn jv=jav ka=kat kg=kon ki=kik kj=kua kk=kaz "
    "kl=kal km=khm kn=kan ko=kor kr=kau ks=kas ku=kur kv=kom kw=cor ky=kir la=lat lb=ltz lg=lug li=lim ln=lin lo=lao "
    "lt=lit lu=lub lv=lav mg=mlg mh=mah mi=mri mk=mkd ml=mal mn=mon mr=mar ms=msa mt=mlt my=mya na=nau nb=nob nd=nde "
    "ne=nep ng=ndo nl=nld nn=nno no=nor nr=nbl nv=nav ny=nya oc=oci oj=oji om=orm or=ori os=oss pa=pan pi=pli pl=pol "
    "ps=pus pt=por qu=que rm=roh rn=run ro=ron ru=rus rw=kin sa=san sc=srd sd=snd se=sme sg=sag si=sin sk=slk sl=slv "
    "sm=smo sn=sna so=som sq=sqi sr=srp ss=ssw st=sot su=sun sv=swe sw=swa ta=tam te=tel tg=tgk th=tha ti=tir tk=tuk "
    "tl=tgl tn=tsn to=ton tr=tur ts=tso tt=tat tw=twi ty=tah ug=uig uk=ukr ur=urd uz=uzb ve=ven vi=vie vo=vol wa=wln "
    "wo=wol xh=xho yi=yid yo=yor za=zha zh=zho zu=zul"
)
_THREE_LETTERS = dict(pair.split("=") for pair in _LETTERS.split())
CODES = frozenset(_THREE_LETTERS)
"""ISO 639-1, as of its last change in 2003 without what was withdrawn."""

_BIBLIOGRAPHIC = {
    "alb": "sq", "arm": "hy", "baq": "eu", "bur": "my", "chi": "zh", "cze": "cs", "dut": "nl", "fre": "fr", "geo": "ka",
    "ger": "de", "gre": "el", "ice": "is", "mac": "mk", "mao": "mi", "may": "ms", "per": "fa", "rum": "ro", "slo": "sk",
    "tib": "bo", "wel": "cy",
}  # fmt: skip
_TWO_LETTERS = {**{three: two for two, three in _THREE_LETTERS.items()}, **_BIBLIOGRAPHIC}
"""Codes of two letters by those of ISO 639-3 and ISO 639-2 (also its bibliographic ones) for the same language."""

_MEMBERS = {
    "als": "sq", "arb": "ar", "azj": "az", "cmn": "zh", "ekk": "et", "hak": "zh", "khk": "mn",
    "kmr": "ku", "lvs": "lv", "nan": "zh", "nb": "no", "nn": "no", "npi": "ne", "ory": "or", "pes": "fa", "plt": "mg",
    "prs": "fa", "swh": "sw", "uzn": "uz", "wuu": "zh", "ydd": "yi", "yue": "zh", "zsm": "ms",
}  # fmt: skip
"""Macrolanguages of ISO 639-3 by those of their members that corpora name instead."""

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
    if not is_code(code):
        raise ConfigError(f"`language` is '{code}', which is no ISO 639 code; give one such as 'de' or 'yue'.")


def is_code(text: str) -> bool:
    """Return whether a text is a language code, three letters being taken for one of the thousands that have them."""
    first = text.partition("-")[0]
    return bool(_FORM.fullmatch(text)) and (len(first) != 2 or first in CODES)


def same_language(code: str, known: Iterable[str]) -> str:
    """Return the known code of the same language as `code`, such as `de` of `deu`; `code` where there is none."""
    names = list(known)
    if code in names:
        return code
    return next((name for name in names if _canonical(name) == _canonical(code)), code)


def varieties(code: str, known: Iterable[str]) -> list[str]:
    """Return the known codes of other varieties of a language: other regions, scripts, or members of a macrolanguage.

    Example:
        >>> varieties("pt-BR", ["pt", "es"]), varieties("cmn", ["zh", "yue"]), varieties("deu", ["de"])
        (['pt'], ['zh', 'yue'], [])
    """
    return [name for name in known if _whole(name) == _whole(code) and _canonical(name) != _canonical(code)]


def _canonical(code: str) -> str:
    """Return a code in small letters, whose language has two of them where ISO 639-1 has such a code."""
    first, dash, rest = code.lower().partition("-")
    return _TWO_LETTERS.get(first, first) + dash + rest


def _whole(code: str) -> str:
    """Return the language, or macrolanguage, that a code is of, whatever its region or script."""
    first = _canonical(code).partition("-")[0]
    return _MEMBERS.get(first, first)
