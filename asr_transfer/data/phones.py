"""Writes phones of several notations as IPA symbols, and measures how far they lie from each other.

Each phone has the articulatory features of the package panphon (Mortensen et al. 2016), +1, -1 or 0 where a feature
does not apply, and two of our own: panphon gives the tap and the trill of Spanish the same features, and nothing says
that English and Spanish r are sounds of a kind. Only panphon's tables are read: importing the package takes seconds.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.notations import STRESS, TIE, TONE_LETTERS, Scheme, scheme_of, segment, to_ipa
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.textfiles import read_lines

_LOOKED_UP_AS = {"ɚ": "ə˞", "ɝ": "ɜ˞", "ᵻ": "ɨ", "ᵿ": "ʉ"}  # not in panphon's table

_VOICELESS = {0x30A: None, 0x325: None}
"""The ring above or below a letter."""

_OWN = {"rhotic": ("rɹɻɾɽɺʀ", 3.0), "trill": ("rʀʙ", 0.25)}
"""Our own features: the letters that have them, and their weight in distances; they do not apply to vowels. A weight of
3 makes English r closer to Spanish r than to j."""

_CORRECTED = {
    "ɐ": {"lo": 1, "tense": -1},  # panphon has it equal to e
    "ɜ": {"delrel": 0},  # equal to ə; panphon itself keeps ɘ and e apart by this
    "r̝": {"son": -1, "strid": 1},  # equal to r
    "h": {"son": -1},  # a sonorant in panphon, which makes l its neighbour
    "ɦ": {"son": -1},
    **{velar + "ʲ": {"back": -1} for velar in "kɡxɣŋ"},  # equal to the plain ones
}
"""What we take otherwise than panphon, letters with their diacritics included."""


@dataclass(frozen=True)
class FeatureTable:
    """Articulatory features of some thousand phones.

    Attributes:
        names: names of the features.
        weights: weights of the features in distances; 0 for those of tone.
        values: features of each phone, in Unicode's form NFD.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    values: Mapping[str, np.ndarray]


@functools.cache
def feature_table() -> FeatureTable:
    """Read panphon's table.

    Raises:
        ConfigError: panphon is not installed.
    """
    spec = importlib.util.find_spec("panphon")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("`panphon` is not installed; install it with: pip install asr-transfer[phones]")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    (_, *names), *rows = csv.reader(read_lines(folder / "ipa_all.csv"))
    weighed, numbers = csv.reader(read_lines(folder / "feature_weights.csv"))
    weight = dict(zip(weighed, map(float, numbers), strict=True))
    weight.update({name: own for name, (_, own) in _OWN.items()})
    sign = {"+": 1, "-": -1, "0": 0}
    corrected = {unicodedata.normalize("NFD", phone): changes for phone, changes in _CORRECTED.items()}
    values = {}
    for name, *signs in rows:
        phone = unicodedata.normalize("NFD", name)
        given = dict(zip(names, (sign[s] for s in signs), strict=True))
        vowel = given["syl"] == 1 and given["cons"] == -1 and phone[0] not in _OWN["rhotic"][0]
        given.update({own: 0 if vowel else 2 * (phone[0] in letters) - 1 for own, (letters, _) in _OWN.items()})
        same = [start for start in corrected if phone.startswith(start) and TIE not in phone]
        given.update(corrected[max(same, key=len)] if same else {})
        values[phone] = np.array(list(given.values()), dtype=np.int8)
    names += _OWN
    return FeatureTable(tuple(names), np.array([weight.get(name, 0.0) for name in names]), values)


def features(phone: str) -> np.ndarray:
    """Return the features of an IPA phone: (features,) of -1, 0 and 1, in the order of `feature_table().names`.

    Stress and tone letters are no features.

    Raises:
        DataError: panphon does not know the phone, or it is several.
        ConfigError: panphon is not installed.
    """
    plain = phone.translate(dict.fromkeys(map(ord, STRESS + TONE_LETTERS)))
    single = segment(plain)
    looked_up = "".join(_LOOKED_UP_AS.get(letter, letter) for letter in "".join(single))
    looked_up = unicodedata.normalize("NFD", looked_up)
    found = feature_table().values.get(looked_up)
    if found is None and (voiced := feature_table().values.get(looked_up.translate(_VOICELESS))) is not None:
        found = voiced.copy()
        found[feature_table().names.index("voi")] = -1
    if len(single) != 1 or found is None:
        reason = "is no single phone" if len(single) != 1 else "has no articulatory features in panphon's table"
        raise DataError(f"the phone {phone!r} {reason}; write it with one IPA letter and usual diacritics.")
    return found


def signatures(phones: Sequence[str]) -> np.ndarray:
    """Return the features of IPA phones: (phones, features) int8; errors as of `features`."""
    width = len(feature_table().names)
    return np.stack([features(phone) for phone in phones]) if phones else np.zeros((0, width), np.int8)


def vector(symbol: str, scheme: Scheme = "ipa") -> np.ndarray:
    """Return the features of a symbol that may be several IPA phones, such as a diphthong: the mean of its parts.

    Raises:
        DataError: it is no symbol of the notation, or panphon does not know it.
    """
    parts = [
        part
        for phone in to_ipa([symbol], scheme)
        for part in ([phone] if _known(phone) or TIE not in phone else phone.split(TIE))
    ]
    if not parts:
        raise DataError(f"the phone {symbol!r} holds no IPA letter; remove it.")
    return np.asarray(signatures(parts).mean(0))


def distance(a: str, b: str) -> float:
    """Return the distance of two IPA phones: the features' differences, weighted as panphon does, summed.

    Raises:
        DataError: panphon does not know one of them.
    """
    return float(np.abs(vector(a) - vector(b)) @ feature_table().weights)


def nearest(phone: str, inventory: Sequence[str]) -> tuple[str, float]:
    """Return the phone of an IPA inventory that is closest to `phone`, and its distance.

    Of equally close vowels the one of the same height is taken, of equally close phones the first.

    Raises:
        DataError: panphon does not know one of the phones, or the inventory is empty.
    """
    return Respeller(inventory, "ipa").nearest(phone)


class Respeller:
    """Writes pronunciations in the symbols of a model.

    Args:
        inventory: symbols of the model without the blank, at least one.
        scheme: notation that they are written in; None for the one they look like.

    Attributes:
        scheme: notation of the inventory.

    Raises:
        DataError: the inventory is empty, or a symbol of it is not of its notation.
        ConfigError: panphon is not installed, or there is no such notation.
    """

    def __init__(self, inventory: Sequence[str], scheme: Scheme | None = None) -> None:
        if not inventory:
            raise DataError("an inventory without phones has no nearest one; give some.")
        self.scheme: Scheme = scheme or scheme_of(inventory)
        self._symbols = list(inventory)
        self._vectors = np.stack([vector(symbol, self.scheme) for symbol in inventory])
        # In reverse, so that the first of several symbols of the same sound stays.
        self._spelt = {tuple(to_ipa([symbol], self.scheme)): symbol for symbol in reversed(self._symbols)}
        self._longest = max(map(len, self._spelt))

    def nearest(self, phone: str) -> tuple[str, float]:
        """Return the symbol that is closest to an IPA phone, and its distance."""
        if (phone,) in self._spelt:
            return self._spelt[(phone,)], 0.0
        table = feature_table()
        apart = np.abs(self._vectors - vector(phone))
        height = apart[:, [table.names.index("hi"), table.names.index("lo")]].sum(1)
        far = apart @ table.weights
        best = int(np.lexsort((height, far))[0])
        return self._symbols[best], float(far[best])

    def respell(self, ipa: Sequence[str]) -> tuple[list[str], list[tuple[str, str, float]]]:
        """Write IPA phones in the inventory's symbols, of which one may be several phones, the longest first.

        Returns:
            The symbols, and what only came close: (IPA phone, symbol, distance).

        Raises:
            DataError: panphon does not know a phone that the inventory lacks.
        """
        symbols: list[str] = []
        replaced: list[tuple[str, str, float]] = []
        at = 0
        while at < len(ipa):
            for size in range(min(self._longest, len(ipa) - at), 0, -1):
                if (symbol := self._spelt.get(tuple(ipa[at : at + size]))) is not None:
                    break
            else:
                size = 1
                symbol, apart = self.nearest(ipa[at])
                replaced.append((ipa[at], symbol, apart))
            symbols.append(symbol)
            at += size
        return symbols, replaced


@dataclass(frozen=True)
class Replaced:
    """A phone that a model does not know, and what stands for it.

    Attributes:
        phone: phone in IPA.
        by: the model's symbol.
        distance: distance between the two.
        entries: number of pronunciations that hold it.
    """

    phone: str
    by: str
    distance: float
    entries: int


def map_lexicon(
    lexicon: Lexicon, inventory: Sequence[str], scheme: Scheme | None = None
) -> tuple[Lexicon, list[Replaced]]:
    """Write a lexicon in a model's symbols: phones that the model lacks become those of nearest articulation.

    Entries that become equal are merged as `Lexicon.toneless` does. Where both are written in one notation, entries
    whose phones are all known stay as they are.

    Args:
        lexicon: lexicon in any notation.
        inventory: symbols of the model, without the blank.
        scheme: notation of the lexicon; None for what it looks like.

    Returns:
        The lexicon, and what was replaced, the most frequent first.

    Raises:
        DataError: a phone cannot be read; the message names file, line and word.
        ConfigError: panphon is not installed.
    """
    scheme = scheme or scheme_of(dict.fromkeys(phone for entry in lexicon for phone in entry.phones))
    respeller = Respeller(inventory)
    known = set(inventory)
    merged: dict[tuple[str, tuple[str, ...]], Entry] = {}
    counts: dict[tuple[str, str, float], int] = {}
    for entry in lexicon:
        phones = entry.phones
        if scheme != respeller.scheme or not known.issuperset(phones):
            try:
                symbols, replaced = respeller.respell(to_ipa(phones, scheme))
            except DataError as error:
                raise DataError(f"{lexicon.where(entry)}: the word {entry.word!r} cannot be mapped: {error}") from None
            phones = tuple(symbols)
            for one in set(replaced):
                counts[one] = counts.get(one, 0) + 1
        first = merged.setdefault((entry.word, phones), replace(entry, phones=phones))
        weight, guessed = max(first.weight, entry.weight), first.guessed and entry.guessed
        merged[entry.word, phones] = replace(first, weight=weight, guessed=guessed)
    report = [Replaced(*one, count) for one, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    return Lexicon(merged.values(), lexicon.source), report


def _known(phone: str) -> bool:
    try:
        features(phone)
    except DataError:
        return False
    return True
