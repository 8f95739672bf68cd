"""Looks up n-gram language models with back-off for many hypotheses at once; read from ARPA text or estimated."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr_transfer.decoding.arpa import Grams, read_arpa, write_arpa
from asr_transfer.decoding.hypotheses import Floats, Integers
from asr_transfer.decoding.kneser_ney import BEGIN, END, UNKNOWN, estimate
from asr_transfer.errors import DataError
from asr_transfer.orthography import listed_word, marked
from asr_transfer.whitespace import words_of

_LN10 = math.log(10)
ROOT = 0
"""The state without any context."""


@dataclass(frozen=True)
class Fit:
    """How well a model expects some sentences.

    Attributes:
        sentences, words: their numbers.
        unlisted: words that the model does not list.
        ln: natural log-probability of the listed words and of the sentences' ends.
        ln_unlisted: log-probability of the unlisted words, each as `<unk>`; -inf where there are any and the model has
            no `<unk>`.
    """

    sentences: int
    words: int
    unlisted: int
    ln: float
    ln_unlisted: float

    @property
    def oov(self) -> float:
        """Share of words that the model does not list."""
        return self.unlisted / self.words

    @property
    def perplexity(self) -> float:
        """Of the listed words and the sentences' ends."""
        return math.exp(-self.ln / (self.words - self.unlisted + self.sentences))

    @property
    def full_perplexity(self) -> float:
        """Of everything, unlisted words as `<unk>`; infinite where the model has none."""
        return math.exp(-(self.ln + self.ln_unlisted) / (self.words + self.sentences))


class NgramModel:
    """A back-off model (Katz 1987). A state is the longest known context of what comes next, an integer.

    Args:
        grams: n-grams as `arpa.read_arpa` returns them.
        source: origin of the model, for messages.

    Attributes:
        order: length of the longest n-grams.
        words: words that it lists, with `<s>`, `</s>` and `<unk>` where it has them.
        start: the state at the beginning of a sentence.
        unknown: index of `<unk>`; None where the model has none.

    Raises:
        DataError: there are no words.
    """

    def __init__(self, grams: Grams, source: str = "the language model") -> None:
        if not grams or not grams[0]:
            raise DataError(f"{source}: holds no words; give an ARPA file with a section `\\1-grams:`.")
        self.source, self._grams, self.order = source, grams, len(grams)
        self.words = [words[0] for words in grams[0]]
        self._index = {word: n for n, word in enumerate(self.words)}
        # Other makers' words may hold marks of direction, or another apostrophe than the lexicon's.
        self._otherwise: dict[str, int] = {}
        for n, word in enumerate(self.words):
            if (plain := _plain(word)) != word:
                self._otherwise.setdefault(plain, n)
        self.unknown = self._index.get(UNKNOWN, self._index.get("<UNK>"))
        index = self._index
        coded = [[tuple(index[w] for w in words) for words in section] for section in grams]
        states: dict[tuple[int, ...], int] = {(): ROOT}
        for section in coded[:-1]:
            states.update(zip(section, range(len(states), len(states) + len(section)), strict=True))
        # Of each state what it backs off to, and at what cost.
        self._lower: Integers = np.array([_longest(words[1:], states) for words in states], dtype=np.int64)
        backoffs = [0.0, *(backoff for section in grams[:-1] for _, backoff in section.values())]
        self._backoff: Floats = np.array(backoffs) * _LN10
        keys = [states[words[:-1]] * len(index) + words[-1] for section in coded for words in section]
        probs = [prob for section in grams for prob, _ in section.values()]
        follows = [_longest(words, states) for section in coded for words in section]
        order = np.argsort(keys)
        self._keys: Integers = np.array(keys, dtype=np.int64)[order]
        self._probs: Floats = np.array(probs)[order] * _LN10
        self._follows: Integers = np.array(follows, dtype=np.int64)[order]
        self.start = states.get((index[BEGIN],), ROOT) if BEGIN in index else ROOT

    @classmethod
    def read(cls, path: str | Path) -> NgramModel:
        """Read ARPA text.

        Raises:
            DataError: as of `arpa.read_arpa`.
        """
        return cls(read_arpa(path), str(path))

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        order: int = 3,
        vocabulary: Iterable[str] = (),
        unlisted: Collection[str] = (),
    ) -> NgramModel:
        """Estimate a model, see `kneser_ney.estimate`.

        Args:
            texts: sentences, words separated by spaces.
            order: length of the longest n-grams.
            vocabulary: words that the model shall list although no text holds them, such as those of a lexicon.
            unlisted: words that count as `<unk>` although texts hold them, unless the vocabulary does too.

        Raises:
            ConfigError: the order is not at least 1.
            DataError: the texts hold no words, or one of the model's own marks.
        """
        return cls(estimate(texts, order, vocabulary, unlisted), "the language model")

    def write(self, path: str | Path) -> None:
        """Write ARPA text."""
        write_arpa(path, self._grams)

    def index(self, word: str) -> int:
        """Return the number of a word; that of `<unk>` for a word not listed, and -1 where there is none."""
        if (found := self._found(word)) is not None:
            return found
        return -1 if self.unknown is None else self.unknown

    def __contains__(self, word: str) -> bool:
        return self._found(word) is not None

    def _found(self, word: str) -> int | None:
        """Return the number of a word as it stands, else of the same one with other marks; None where it lists none."""
        if (found := self._index.get(word)) is None:
            plain = _plain(word)
            found = self._index.get(plain, self._otherwise.get(plain))
        return found

    def score(self, words: Integers | int, states: Integers | int) -> tuple[Floats, Integers]:
        """Return the natural log-probability of words in states, and the states that follow.

        Args:
            words: numbers of words, as of `index`; at least 0.
            states: states of the same shape, or a single one.
        """
        word, state = np.broadcast_arrays(np.asarray(words, np.int64), np.asarray(states, np.int64))
        shape, word, state = word.shape, word.ravel(), state.ravel().copy()
        ln = np.zeros(len(word))
        places = np.arange(len(word))
        # Every word has a unigram, so that the search ends at the root at the latest.
        while len(places):
            keys = state[places] * len(self.words) + word[places]
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            found = self._keys[at] == keys
            hit, at = places[found], at[found]
            ln[hit] += self._probs[at]
            state[hit] = self._follows[at]
            places = places[~found]
            ln[places] += self._backoff[state[places]]
            state[places] = self._lower[state[places]]
        return ln.reshape(shape), state.reshape(shape)

    def end(self, states: Integers) -> Floats:
        """Return the natural log-probability that the sentence ends here; 0 where the model has no `</s>`."""
        if END not in self._index:
            return np.zeros(len(states))
        return self.score(self._index[END], states)[0]

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of n-grams of each order."""
        return tuple(len(section) for section in self._grams)

    def fit(self, texts: Iterable[str]) -> Fit:
        """Return how well the model expects sentences, words separated by spaces; empty ones are skipped.

        Behind a word that it does not list, and has no `<unk>` for, the model goes on without context.

        Raises:
            DataError: there are no words.
        """
        sentences = total = unlisted = 0
        ln = ln_unlisted = 0.0
        for text in texts:
            if not (words := words_of(text)):
                continue
            sentences += 1
            total += len(words)
            state = np.array([self.start])
            for word in words:
                number = self.index(word)
                score, state = self.score(number, state) if number >= 0 else (np.array([-math.inf]), np.array([ROOT]))
                if word in self:
                    ln += float(score[0])
                else:
                    unlisted += 1
                    ln_unlisted += float(score[0])
            ln += float(self.end(state)[0])
        if not total:
            raise DataError("the texts hold no words; give sentences or transcripts.")
        return Fit(sentences, total, unlisted, ln, ln_unlisted)

    def sentence(self, words: Sequence[str]) -> float:
        """Return the natural log-probability of a sentence with its end; -inf for unlisted words without `<unk>`."""
        total, state = 0.0, np.array([self.start])
        for word in words:
            number = self.index(word)
            if number < 0:
                return -math.inf
            ln, state = self.score(number, state)
            total += float(ln[0])
        return total + float(self.end(state)[0])


def _plain(word: str) -> str:
    """Return a word with one apostrophe and without invisible characters that are part of no writing."""
    return marked(listed_word(word))


def _longest(words: tuple[int, ...], states: dict[tuple[int, ...], int]) -> int:
    """Return the state of the longest ending of `words` that is one."""
    while words not in states:
        words = words[1:]
    return states[words]
