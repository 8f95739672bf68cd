"""Pulls a text that is written token after token towards hot words: contextual biasing of the next token.

A text's score is its log-probability plus the bonus of the hot words in it: hot weight · the word's weight · tokens of
its spelling. A spelling must begin and end at a word's edge; of several that end at one place the highest bonus counts.
While a spelling is being written, the tokens matched so far have their bonus in advance, and it is given back when the
match is left unfinished (Zhao et al., "Shallow-fusion end-to-end contextual biasing", 2019). Matches are found by the
automaton of Aho and Corasick, "Efficient string matching" (1975), whose table of tens of thousands of tokens is never
written out: only what goes on from a node differs from what begins at the root.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.decoding.hot_words import HotWords

_UNSPACED = ((0x0E00, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
"""Characters of scripts without spaces: Thai, Lao, Tibetan, Burmese, Khmer, Chinese and Japanese."""


class Place(NamedTuple):
    """Where a text stands.

    Attributes:
        node: node of the automaton.
        edge: whether the last token ended at a word's edge, so that any token begins at one.
    """

    node: int
    edge: bool


START = Place(0, True)
"""The beginning of a text."""


class TokenBias:
    """The bonus of every next token.

    Args:
        spellings: tokens of each spelling, with the bonus of each of them.
        starts: (tokens,) whether each token begins at a word's edge whatever stands before it; the end does.
        ends: (tokens,) whether each token ends at a word's edge whatever comes behind it.
    """

    def __init__(self, spellings: Mapping[tuple[int, ...], float], starts: torch.Tensor, ends: torch.Tensor) -> None:
        self._starts, self._ends = starts.tolist(), ends.tolist()
        self._children: list[dict[tuple[int, bool], int]] = [{}]
        self._fail = [0]
        pending, complete = [0.0], [-torch.inf]
        for spelling, bonus in spellings.items():
            node, edge = START
            for depth, token in enumerate(spelling, start=1):
                letter = (token, edge or self._starts[token])
                node, edge = self._children[node].setdefault(letter, len(self._fail)), self._ends[token]
                if node == len(self._fail):
                    self._children.append({})
                    self._fail.append(0)
                    pending.append(0.0)
                    complete.append(-torch.inf)
                pending[node] = max(pending[node], bonus * depth)
            complete[node] = max(complete[node], bonus * len(spelling))
        queue = list(self._children[0].values())
        for node in queue:  # grows as it goes: nodes by depth
            fail = self._fail[node]
            pending[node], complete[node] = max(pending[node], pending[fail]), max(complete[node], complete[fail])
            for letter, child in self._children[node].items():
                queue.append(child)
                self._fail[child] = self._next(fail, letter)
        self._pending = pending
        self._complete = [0.0 if value == -torch.inf else value for value in complete]
        # By whether the last token ended at an edge: which tokens begin at one, and what has been matched behind each.
        self._edges = [starts.float(), torch.ones(len(starts))]
        self._begun = [torch.zeros(len(starts)), torch.zeros(len(starts))]
        for (token, edge), child in self._children[0].items():
            for before in (False, True):
                if edge == (before or self._starts[token]):
                    self._begun[before][token] = pending[child]

    @classmethod
    def of(cls, words: HotWords, tokens: BytePairTokens, hot_weight: float) -> TokenBias:
        """Return the bias towards hot words, as they are written, capitalised, and of capitals alone in lower case.

        Args:
            words: hot words with their weights.
            tokens: token set of the model.
            hot_weight: factor on all weights.
        """
        spellings: dict[tuple[int, ...], float] = {}
        for word in words.words:
            for text in dict.fromkeys(_variants(word.text)):
                for spelling in tokens.spellings(text):
                    bonus = hot_weight * word.weight
                    spellings[spelling] = max(bonus, spellings.get(spelling, bonus))
        pieces = tokens.pieces
        starts = torch.tensor([_parts(piece, 0) for piece in pieces])
        return cls(spellings, starts, torch.tensor([_parts(piece, -1) for piece in pieces]))

    def gains(self, places: Sequence[Place]) -> torch.Tensor:
        """Return how much each token adds to the bonus behind each place, (places, tokens); the end gives all back."""
        return torch.stack([self._gains(place) for place in places])

    def _gains(self, place: Place) -> torch.Tensor:
        node, before = place
        pending, complete = self._pending[node], self._complete[node]
        found = self._begun[before] + (complete * self._edges[before] - pending)
        chain = []
        while node:
            chain.append(node)
            node = self._fail[node]
        for matched in reversed(chain):  # the longest match last, for it counts
            for (token, edge), child in self._children[matched].items():
                if edge == (before or self._starts[token]):
                    found[token] = self._pending[child] + complete * edge - pending
        return found

    def after(self, place: Place, token: int) -> Place:
        """Return the place behind a token."""
        return Place(self._next(place.node, (token, place.edge or self._starts[token])), self._ends[token])

    def at_end(self, place: Place) -> float:
        """Return what is added to the bonus of a text that is broken off here, where a word is taken to end."""
        return self._complete[place.node] - self._pending[place.node]

    def _next(self, node: int, letter: tuple[int, bool]) -> int:
        while node and letter not in self._children[node]:
            node = self._fail[node]
        return self._children[node].get(letter, 0)


def _variants(text: str) -> list[str]:
    """Return how a model that knows capitals may write a listed word.

    >>> _variants("new york"), _variants("NATO")
    (['new york', 'New York'], ['NATO', 'nato', 'Nato'])
    """
    lower = text.lower()
    capitalised = " ".join(word[:1].upper() + word[1:] for word in lower.split(" "))
    return [text, *([] if text.islower() else [lower]), capitalised] if text in (lower, text.upper()) else [text]


def _parts(piece: bytes, side: int) -> bool:
    """Return whether a token is parted from what stands before it (side 0) or behind it (-1), whatever that is."""
    if not piece:
        return True  # a mark
    text = piece.decode("utf-8", "surrogateescape")
    first = text[side]
    if "\udc80" <= first <= "\udcff":  # part of a character, of which the first byte tells the script
        return side == 0 and (0xE2 <= piece[0] <= 0xE9 or piece[0] >= 0xF0)
    inside = first.isalnum() or unicodedata.category(first).startswith("M")
    return not inside or any(low <= ord(first) <= high for low, high in _UNSPACED)
