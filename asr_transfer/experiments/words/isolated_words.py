"""Measures how well single words of a lexicon are found: reads all smaller lexica out of one matrix of exact scores.

The network listens to each utterance once, and the whole lexicon is scored once. A smaller lexicon's words have the
same scores, so that ranks in any number of random lexica cost a comparison each.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_transfer.data.features import FeatureStore
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.phones import map_lexicon
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.decoding.lexicon_search import PrefixTree, free_score, score_words
from asr_transfer.decoding.recogniser import Frames, Recogniser
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.orthography import tidied

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
"""The rank of a word that cannot be found: the utterance is too short for it."""


class Vocabulary:
    """The words of a lexicon in a model's tokens, and which of them sound alike.

    Args:
        lexicon: lexicon in the model's phones; `in_units` makes it so.
        tokens: token set of the model's head.

    Attributes:
        tree: prefix tree for the search.
        words: distinct, in the order of the lexicon.
        pronunciations: pronunciations of each word.
        sound: (words,) number of its set of pronunciations; words of one number cannot be told apart.

    Raises:
        DataError: a phone is not among the tokens.
    """

    def __init__(self, lexicon: Lexicon, tokens: Tokens) -> None:
        self.tree = PrefixTree(lexicon, tokens)
        self.words = self.tree.words
        self._index = {word: n for n, word in enumerate(self.words)}
        ways: list[dict[tuple[str, ...], float]] = [{} for _ in self.words]
        for entry in self.tree.lexicon:
            ways[self._index[entry.word]][entry.phones] = entry.weight
        self.pronunciations = [frozenset(own) for own in ways]
        numbers: dict[frozenset[tuple[tuple[str, ...], float]], int] = {}
        self.sound = np.array([numbers.setdefault(frozenset(own.items()), len(numbers)) for own in ways])
        self._first = np.unique(self.sound, return_index=True)[1][self.sound]
        self._sharing: dict[tuple[str, ...], list[int]] = {}
        for n, own in enumerate(ways):
            for phones in own:
                self._sharing.setdefault(phones, []).append(n)

    def __len__(self) -> int:
        return len(self.words)

    def index(self, utterance: Utterance) -> int:
        """Return the number of the word that was said.

        Raises:
            DataError: the lexicon does not hold it.
        """
        word = spelling(utterance)
        if word not in self._index:
            raise DataError(
                f"utterance '{utterance.id}': its word {word!r} is not in {self.tree.lexicon.source}; add it, or leave "
                f"the utterance out.{nearest_hint(word, self._index)}"
            )
        return self._index[word]

    def alike(self, word: int) -> Integers:
        """Return the numbers of the words that share a pronunciation with `word`, itself included."""
        return np.unique([n for phones in self.pronunciations[word] for n in self._sharing[phones]])

    def canonical(self, scores: Floats) -> Floats:
        """Give words that cannot be told apart the very same score: (utterances, words)."""
        return scores[:, self._first]


@dataclass(frozen=True)
class Listened:
    """What a model makes of n utterances.

    Attributes:
        scores: (n, words) exact log-likelihoods, -inf where the utterance is too short.
        free: (n,) log-probability of the best path through all phones.
        frames: (n,) output frames.
    """

    scores: Floats
    free: Floats
    frames: Integers

    def margins(self, best: Floats) -> Floats:
        """Return how far scores (sizes, n, draws) lie from the best free path, in nats per frame."""
        margins: Floats = (best - self.free[:, None]) / np.maximum(self.frames, 1)[:, None]
        return margins


@dataclass(frozen=True)
class Judged:
    """Where the word that was said ranks, by lexicon size s, utterance n and draw d of the other words.

    Attributes:
        rank: (s, n, d) from 1; of words that sound alike the lexicon's first comes first.
        sound_rank: (s, n, d) the same, with words that share a pronunciation counted as one.
        own: (s, n, d) margin of the best word.
        foreign: (s, n, d) margin of the best word when the word that was said, and those that sound like it, are taken
            out of the lexicon.
        best: (n,) number of the best word of the whole lexicon; -1 for none.
    """

    rank: Integers
    sound_rank: Integers
    own: Floats
    foreign: Floats
    best: Integers


def spelling(utterance: Utterance) -> str:
    """Return an utterance's text as lexica write words."""
    return tidied(utterance.text)


def in_units(lexicon: Lexicon, tokens: Tokens, nearest: bool = False) -> Lexicon:
    """Return a lexicon in a model's phones: without tones where it hears none.

    Args:
        lexicon: lexicon with tones.
        tokens: token set of the model's head.
        nearest: whether to write phones that the model does not know as the nearest ones that it knows.

    Raises:
        ConfigError: the model does not spell phones.
    """
    if not spells_phones(tokens.units):
        raise ConfigError(
            f"the model spells {tokens.units}, which cannot spell words that it never heard; use phones or "
            "toneless-phones."
        )
    own = lexicon.fitted(tokens)
    return map_lexicon(own, tokens.symbols[1:])[0] if nearest else own


def listen(
    recogniser: Recogniser, utterances: Sequence[Utterance], store: FeatureStore, vocabulary: Vocabulary
) -> Listened:
    """Score every word of the lexicon in every utterance; the network listens to each once.

    Raises:
        ModelError: the model's output is not-a-number.
    """

    def scored(frames: Frames) -> Iterator[tuple[NDArray[np.float64], float, int]]:
        log_probs = frames.logits.double().log_softmax(-1)
        words = vocabulary.tree.word_scores(score_words(log_probs, frames.lengths, vocabulary.tree))
        free = free_score(log_probs, frames.lengths)
        return zip(words.cpu().numpy(), free.tolist(), frames.lengths.tolist(), strict=True)

    found = [own for (own,) in recogniser.listen_with(scored, Spoken(utterances, store), whole=True)]
    scores = np.array([words for words, _, _ in found]).reshape(len(utterances), len(vocabulary))
    free, frames = np.array([free for _, free, _ in found]), np.array([count for _, _, count in found], np.int64)
    return Listened(vocabulary.canonical(scores), free, frames)


def draw_others(utterance: Utterance, word: int, words: int, draws: int, seed: int) -> Integers:
    """Draw the order in which the other words join an utterance's lexica: (draws, words - 1).

    It depends on the utterance's name and the seed only, and a lexicon lies inside the next larger one.
    """
    random = np.random.default_rng([seed, zlib.crc32(utterance.id.encode())])
    others = np.delete(np.arange(words), word)
    return np.stack([random.permutation(others) for _ in range(draws)])


def judge(
    listened: Listened,
    utterances: Sequence[Utterance],
    vocabulary: Vocabulary,
    sizes: Sequence[int],
    draws: int,
    seed: int,
) -> Judged:
    """Rank the word that was said among random lexica that hold it.

    Args:
        listened: scores of `utterances`.
        utterances: n, a word each.
        vocabulary: the whole lexicon.
        sizes: words of each lexicon, the one that was said included; at most the whole lexicon's.
        draws: random lexica of each size; the whole lexicon is the same in all of them.
        seed: random seed of the draws.

    Raises:
        DataError: a word is not in the lexicon.
    """
    total = len(vocabulary)
    shape = (len(sizes), len(utterances), draws)
    rank, sound_rank = np.full(shape, NEVER), np.full(shape, NEVER)
    own, foreign = np.full(shape, -np.inf), np.full(shape, -np.inf)
    for n, utterance in enumerate(utterances):
        scores, word = listened.scores[n], vocabulary.index(utterance)
        alike = np.zeros(total, bool)
        alike[vocabulary.alike(word)] = True
        order = draw_others(utterance, word, total, draws, seed)
        ahead = scores > scores[word]
        ties = (scores == scores[word]) & (np.arange(total) < word)
        for s, size in enumerate(sizes):
            for d in range(draws):
                if d and size >= total:
                    for found in (rank, sound_rank, own, foreign):
                        found[s, n, d] = found[s, n, 0]
                    continue
                others = order[d, : size - 1]
                own[s, n, d] = max(scores[word], scores[others].max(initial=-np.inf))
                foreign[s, n, d] = scores[others[~alike[others]]].max(initial=-np.inf)
                if scores[word] == -np.inf:
                    continue
                rank[s, n, d] = 1 + int((ahead[others] | ties[others]).sum())
                better = others[(ahead[others] | ties[others]) & ~alike[others]]
                # Of two that tie without sounding alike the lexicon's first is taken, as above.
                sound_rank[s, n, d] = 1 + len(np.unique(vocabulary.sound[better]))
    best = listened.scores.argmax(1)
    best[np.isneginf(listened.scores.max(1))] = -1
    return Judged(rank, sound_rank, listened.margins(own), listened.margins(foreign), best)
