"""Measures how much of a word was in a model's training speech, and counts the word's syllables."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Sequence

from asr_transfer.config import Units
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.notations import Scheme, split_pinyin
from asr_transfer.data.tokens import without_tone
from asr_transfer.experiments.words.isolated_words import spelling

TRAINED = "trained on"
SAID = "said in a longer trained text"
WITHIN = "characters inside a longer trained text"
"""Of languages that are written without spaces: whether the characters are a word there, nobody can see."""
ALIKE = "sounds like a trained word"
MADE_OF = "made of trained words alone"
SEEN = (TRAINED, SAID)
"""The word itself was trained on."""
KNOWN = (*SEEN, WITHIN, ALIKE, MADE_OF)
"""Categories that are not called never trained on: these know the word, its characters, its sound,
or all its words."""
INSIDE = "sounds like part of a longer trained text"
PARTS = {"syllables": "every syllable heard", "pairs": "every pair of phones heard"}
LACKING = {"syllables": "a syllable never heard", "pairs": "a pair of phones never heard"}

_VOWELS = frozenset("aeiouyæøœɐɑɒɔɘəɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏᵻᵿ")
_ARPABET_VOWELS = frozenset("aeiou")
_UNSPACED = ("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
"""Beginnings of the Unicode names of letters that are written without spaces between words."""


def syllables(phones: Sequence[str], scheme: Scheme) -> int:
    """Count the syllables of a pronunciation.

    Of pinyin they are the finals; otherwise the stretches of vowels, so that two vowels side by side count as one, and
    in ARPAbet, where a diphthong is one symbol, the vowels.
    """
    if scheme == "pinyin":
        return len(split_pinyin(phones))
    if scheme == "arpabet":
        return sum(phone[0].lower() in _ARPABET_VOWELS for phone in phones)
    vowels = [unicodedata.normalize("NFD", phone.lstrip("ˈˌ"))[:1] in _VOWELS for phone in phones]
    return sum(now and not before for before, now in itertools.pairwise([False, *vowels]))


def unspaced(text: str) -> bool:
    """Return whether a text has letters, and all of scripts that put no spaces between words."""
    letters = [letter for letter in text if letter.isalpha()]
    return bool(letters) and all(unicodedata.name(letter, "").startswith(_UNSPACED) for letter in letters)


class Heard:
    """What was heard in training.

    Texts are compared with those of the same language, sounds with those of all languages. Where a script puts spaces
    between words, a word counts as said wherever it stands, and a phrase is made of trained words if each of them was
    said somewhere. Where it does not (Chinese, Japanese, Thai), a word's characters are looked for inside the texts,
    spaces or not: 一起 stands inside 我们一起走.

    Args:
        utterances: utterances that were trained on; those without a pronunciation are known by their text only.
        units: units of the model; marks that it does not hear, such as tones, is not compared.
        scheme: notation of the pronunciations.
    """

    def __init__(self, utterances: Iterable[Utterance], units: Units, scheme: Scheme) -> None:
        self._units, self._kind = units, "syllables" if scheme == "pinyin" else "pairs"
        self._texts: dict[str, set[str]] = {}
        self._whole: set[tuple[str, ...]] = set()
        self._parts: set[tuple[str, ...]] = set()
        for utterance in utterances:
            self._texts.setdefault(utterance.language, set()).add(spelling(utterance))
            phones = (utterance.pronunciation or "").split()
            if phones:
                self._whole.add(self._plain(phones))
                self._parts.update(self._of(phones))
        # One text in which a run of phones can be looked for; spaces keep phones whole.
        self._running = "\n".join(f" {' '.join(phones)} " for phones in self._whole)
        self._said = {name: "\n".join(f" {text} " for text in texts) for name, texts in self._texts.items()}
        self._unspaced = {name: "\n".join(map(_joined, texts)) for name, texts in self._texts.items()}
        self._words = {name: {word for text in texts for word in text.split()} for name, texts in self._texts.items()}

    def category(self, utterance: Utterance) -> str:
        """Say how much of a test word was heard: the first that is true of `categories`."""
        phones = (utterance.pronunciation or "").split()
        plain = self._plain(phones)
        text, language = spelling(utterance), utterance.language
        if text in self._texts.get(language, ()):
            return TRAINED
        if f" {text} " in self._said.get(language, ""):
            return SAID
        if unspaced(text) and _joined(text) in self._unspaced.get(language, ""):
            return WITHIN
        if plain in self._whole:
            return ALIKE
        if self._words.get(language, set()).issuperset(text.split()):
            return MADE_OF
        if f" {' '.join(plain)} " in self._running:
            return INSIDE
        return (PARTS if self._parts.issuperset(self._of(phones)) else LACKING)[self._kind]

    @property
    def categories(self) -> tuple[str, ...]:
        """All categories, from the most to the least heard."""
        return TRAINED, SAID, WITHIN, ALIKE, MADE_OF, INSIDE, PARTS[self._kind], LACKING[self._kind]

    def _plain(self, phones: Iterable[str]) -> tuple[str, ...]:
        return tuple(without_tone(phone) if self._units == "toneless-phones" else phone for phone in phones)

    def _of(self, phones: Sequence[str]) -> list[tuple[str, ...]]:
        if self._kind == "syllables":
            return [self._plain(syllable) for syllable in split_pinyin(phones)]
        plain = self._plain(phones)
        return list(itertools.pairwise(plain)) if len(plain) > 1 else [plain]


def _joined(text: str) -> str:
    return "".join(text.split())
