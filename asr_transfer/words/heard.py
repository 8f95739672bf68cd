"""How much of a word a model heard while it was trained, and how many syllables the word has."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Sequence

from asr_transfer.config import Units
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.notations import INITIALS, Scheme
from asr_transfer.data.tokens import without_tone
from asr_transfer.words.measure import spelling

TRAINED = "trained on"
ALIKE = "sounds like a trained word"
INSIDE = "inside a longer trained text"
PARTS = {"syllables": "every syllable heard", "pairs": "every pair of phones heard"}
LACKING = {"syllables": "a syllable never heard", "pairs": "a pair of phones never heard"}

_VOWELS = frozenset("aeiouyæøœɐɑɒɔɘəɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏᵻᵿ")
_ARPABET_VOWELS = frozenset("aeiou")


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


class Heard:
    """What was heard in training.

    Args:
        utterances: that were trained on; those without a pronunciation are known by their text only.
        units: of the model; what it does not hear, such as tones, is not compared.
        scheme: notation of the pronunciations.
    """

    def __init__(self, utterances: Iterable[Utterance], units: Units, scheme: Scheme) -> None:
        self._units, self._kind = units, "syllables" if scheme == "pinyin" else "pairs"
        self._texts: set[str] = set()
        self._whole: set[tuple[str, ...]] = set()
        self._parts: set[tuple[str, ...]] = set()
        for utterance in utterances:
            self._texts.add(spelling(utterance))
            phones = (utterance.pronunciation or "").split()
            self._whole.add(self._plain(phones))
            self._parts.update(self._of(phones))
        # One text in which a run of phones can be looked for; spaces keep phones whole.
        self._running = "\n".join(f" {' '.join(phones)} " for phones in self._whole)

    def category(self, utterance: Utterance) -> str:
        """Say how much of a test word was heard: the first that is true of `categories`."""
        phones = (utterance.pronunciation or "").split()
        plain = self._plain(phones)
        if spelling(utterance) in self._texts:
            return TRAINED
        if plain in self._whole:
            return ALIKE
        if f" {' '.join(plain)} " in self._running:
            return INSIDE
        return (PARTS if self._parts.issuperset(self._of(phones)) else LACKING)[self._kind]

    @property
    def categories(self) -> tuple[str, ...]:
        """All categories, from the most to the least heard."""
        return TRAINED, ALIKE, INSIDE, PARTS[self._kind], LACKING[self._kind]

    def _plain(self, phones: Iterable[str]) -> tuple[str, ...]:
        return tuple(without_tone(phone) if self._units == "toneless-phones" else phone for phone in phones)

    def _of(self, phones: Sequence[str]) -> list[tuple[str, ...]]:
        if self._kind == "syllables":
            return [self._plain(syllable) for syllable in split_pinyin(phones)]
        plain = self._plain(phones)
        return list(itertools.pairwise(plain)) if len(plain) > 1 else [plain]
