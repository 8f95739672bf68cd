"""Checks texts of corpora: scripts as they are spoken, speaking rates that cannot be, texts in two splits."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from asr_transfer.data.manifest import Utterance
from asr_transfer.evaluation.normalisation import normalise
from asr_transfer.orthography import JOINERS, MARKS


@dataclass(frozen=True)
class Pace:
    """How many characters of a script are said in a second.

    Attributes:
        fastest: characters per second that nobody reads; well above the fluent rate.
        slowest: characters per second below which most of a recording is something else than the text.
        scripts: first words of the Unicode names of the script's letters.
    """

    fastest: float
    slowest: float
    scripts: tuple[str, ...] = ()


LETTERS = Pace(25.0, 2.0)
"""Alphabets and all other scripts, spaces counted; fluent read speech reaches about 20 (English or Czech)."""

PACES = (
    # Syllables: fluent readers say four to six in a second, hardly ever more than eight.
    Pace(11.0, 0.6, ("CJK", "HANGUL", "YI", "NUSHU", "TANGUT")),
    # Morae or open syllables: about seven or eight in a second.
    Pace(15.0, 1.0, ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "CHEROKEE", "VAI", "ETHIOPIC", "CANADIAN", "BAMUM")),
)
"""Scripts whose characters are syllables or nearly so."""

_JAPANESE = ("CJK", "HIRAGANA", "KATAKANA")

SHORT = 2.0
"""Seconds up to which a recording may be slower than its script's slowest pace: a lone "No." lies between pauses."""

MOST_FITTED = 1000
"""Utterances from which `usual_seconds` judges, half a million pairs."""


def spoken(text: str, language: str = "") -> str:
    """Return a text in its language's lower case without punctuation, marks within words kept (the profile `basic`)."""
    return normalise(text, "basic", language)


def text_defect(text: str, script: str = "LATIN") -> str | None:
    """Return why a text that `spoken` made does not say how it is read, or None.

    Nobody knows whether "24" is read "twenty-four" or "two four", so digits and other symbols cannot be transcripts,
    nor can words of another script in the midst of a language's own.

    Args:
        text: lower case, without punctuation.
        script: the first word of the Unicode names of the language's letters; empty for any.
    """
    if not text:
        return "the transcript is empty"
    # Modifier letters, such as the apostrophe U+02BC and the prolonged sound mark, belong to no script.
    letters = [character for character in text if character.isalpha() and unicodedata.category(character) != "Lm"]
    # Category M: marks that are letters' parts, such as the vowel signs of Hindi.
    if any(not (c.isalpha() or unicodedata.category(c).startswith("M") or c in f" {MARKS}{JOINERS}") for c in text):
        return "the text holds digits or symbols, whose reading is not known"
    if any(not unicodedata.name(letter, "").startswith(script) for letter in letters):
        return "the text holds letters of another script"
    return None


def main_script(texts: Iterable[str]) -> str:
    """Return the script of most letters as `text_defect` takes it, LATIN where there are none.

    Japanese is written in several scripts at once, so that the answer for it is empty, which stands for any.
    """
    letters = Counter(letter for text in texts for letter in text if letter.isalpha())
    scripts: Counter[str] = Counter()
    for letter, times in letters.items():
        if unicodedata.category(letter) != "Lm":
            scripts[unicodedata.name(letter, "").partition(" ")[0]] += times
    if not scripts:
        return "LATIN"
    first = scripts.most_common(1)[0][0]
    return "" if first in _JAPANESE and scripts["HIRAGANA"] else first


def rate_defect(text: str, duration: float) -> str | None:
    """Return why a text cannot be what is said in `duration` seconds, or None; `text` as `spoken` returns it.

    Each character is counted at the pace of its script, so a text of several scripts has limits between theirs.
    """
    if not text:
        return None
    paces = Counter(map(_pace, text))
    fastest = len(text) / sum(count / pace.fastest for pace, count in paces.items())
    slowest = len(text) / sum(count / pace.slowest for pace, count in paces.items())
    rate = len(text) / max(duration, 1e-3)
    if rate > fastest:
        return f"more than {_rounded(fastest)} characters per second: the recording is too short for its text"
    if rate < slowest and duration > SHORT:
        return f"fewer than {_rounded(slowest)} characters per second: the recording holds more than its text"
    return None


@lru_cache(maxsize=4096)
def _pace(character: str) -> Pace:
    script = unicodedata.name(character, "").partition(" ")[0]
    return next((pace for pace in PACES if script in pace.scripts), LETTERS)


def _rounded(rate: float) -> str:
    """Return a rate in few digits, so that texts of one script are counted as left out for one reason."""
    return f"{rate:.0f}" if rate >= 2 else f"{rate:.1f}"


def usual_seconds(utterances: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return the seconds around a text and those of one character, by a robust line (Sen 1968).

    Args:
        utterances: characters (or other symbols) and seconds of each; of many, some evenly spaced ones are looked at.
    """
    sample = utterances[:: -(-len(utterances) // MOST_FITTED)] if utterances else utterances
    lengths, seconds = np.array(sample, dtype=float).reshape(-1, 2).T
    if len(np.unique(lengths)) < 2:
        return min(seconds.tolist(), default=0.0), 0.0
    # As `scipy.stats.theilslopes`, whose import takes longer than most corpora do.
    longer, further = lengths[:, None] - lengths, seconds[:, None] - seconds
    slope = np.median(further[longer > 0] / longer[longer > 0])
    return float(np.median(seconds) - slope * np.median(lengths)), float(slope)


def shared_texts(splits: Mapping[str, Sequence[Utterance]]) -> list[str]:
    """Return one line for each pair of splits in which the same text occurs, with how many utterances that touches."""
    texts = {split: {utterance.text for utterance in utterances} for split, utterances in splits.items()}
    names = list(splits)
    lines = []
    for first, earlier in enumerate(names):
        for later in names[first + 1 :]:
            touched = sum(utterance.text in texts[earlier] for utterance in splits[later])
            if touched:
                lines.append(
                    f"{later}: {touched} of its {len(splits[later])} utterances have a text that {earlier} has too"
                )
    return lines
