"""Turns logits into texts: greedily, as words or sentences of a lexicon, or with a list of hot words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.biasing import PrefixSearch
from asr_transfer.decoding.greedy import greedy
from asr_transfer.decoding.lexicon_search import PrefixTree, best_words


@dataclass(frozen=True)
class Heard:
    """What a recogniser makes of an utterance.

    Attributes:
        text: the hypothesis.
        labels: the tokens that CTC spells it in; of a word of a lexicon its first pronunciation.
    """

    text: str
    labels: tuple[int, ...]


Decoder = Callable[[torch.Tensor, torch.Tensor], list[Heard]]
"""Maps (batch, frames, tokens) logits and (batch,) lengths to what is heard in each utterance."""


class GreedyDecoder:
    """The best token of every frame.

    Args:
        tokens: token set of the head.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def __call__(self, logits: torch.Tensor, lengths: torch.Tensor) -> list[Heard]:
        """Return the greedy spelling of each utterance."""
        texts = [self._tokens.decode(indices) for indices in greedy(logits, lengths)]
        # Encoded again, for `decode` drops superfluous spaces.
        return [Heard(text, tuple(self._tokens.encode(text))) for text in texts]


class WordDecoder:
    """Each utterance is the word of a lexicon that CTC gives the highest likelihood.

    Args:
        lexicon: the words.
        tokens: token set of the head.

    Attributes:
        tree: the lexicon made ready for search.

    Raises:
        DataError: a phone is not among the tokens, or a word cannot be spelled in pieces.
    """

    def __init__(self, lexicon: Lexicon, tokens: Tokens) -> None:
        self.tree = PrefixTree(lexicon, tokens)
        # In reverse, so that a word's first pronunciation stays.
        pairs = zip(reversed(list(self.tree.lexicon)), reversed(self.tree.targets), strict=True)
        self._labels = {entry.word: tuple(target) for entry, target in pairs}

    def __call__(self, logits: torch.Tensor, lengths: torch.Tensor) -> list[Heard]:
        """Return the likeliest word of each utterance; nothing where it is too short for all of them."""
        best = best_words(logits.log_softmax(-1), lengths, self.tree, 1)
        return [Heard(found[0].word, self._labels[found[0].word]) if found else Heard("", ()) for found in best]


class SentenceDecoder:
    """Each utterance is a sentence of a lexicon's words.

    Args:
        search: search with its lexicon and settings.
    """

    def __init__(self, search: SentenceSearch) -> None:
        self._search = search

    def __call__(self, logits: torch.Tensor, lengths: torch.Tensor) -> list[Heard]:
        """Return the best sentence of each utterance."""
        best = self._search.best_sentences(logits.log_softmax(-1), lengths, 1)
        return [
            Heard(found[0].text, tuple(self._search.labels(found[0]))) if found else Heard("", ()) for found in best
        ]


class SpellingDecoder:
    """Spells what is heard, as a list of hot words or a language model of letters expects it.

    Args:
        search: search with its words and settings.
    """

    def __init__(self, search: PrefixSearch) -> None:
        self._search = search

    def __call__(self, logits: torch.Tensor, lengths: torch.Tensor) -> list[Heard]:
        """Return the best text of each utterance."""
        found = self._search.best_texts(logits.log_softmax(-1), lengths, 1)
        return [Heard(best[0].text, best[0].labels) if best else Heard("", ()) for best in found]
