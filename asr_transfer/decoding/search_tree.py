"""Holds a lexicon as one tree of tokens, from first symbols to the words that end at its nodes, for the beam search."""

from __future__ import annotations

import itertools

import numpy as np

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.hypotheses import Floats, Integers


class SearchTree:
    """Nodes are numbered by depth, the children of a node next to each other; node 0 is the root.

    Args:
        lexicon: lexicon whose phones are tokens (phones, characters or words alike), as it is or `fitted`.
        tokens: token set of the model's head; index 0 is the blank.

    Attributes:
        lexicon: fitted to the tokens.
        targets: token indices of each entry.
        words: distinct words.
        word: (entries,) the word of each entry.
        weight: (entries,) of each entry.
        symbol: (nodes,) the token that leads to a node; the root's is one beyond the tokens.
        parent: (nodes,) the root's is itself.
        first_child, children: (nodes,) the number of the first child and how many there are.
        first_entry, entries: (nodes,) the same of `ending`.
        ending: (entries,) entries by the node that they end at.

    Raises:
        DataError: a phone is not among the tokens, or a word cannot be spelled in pieces.
    """

    def __init__(self, lexicon: Lexicon, tokens: Tokens) -> None:
        self.lexicon = lexicon = lexicon.fitted(tokens)
        self.targets = lexicon.targets(tokens)
        self.words = lexicon.words
        number = {word: n for n, word in enumerate(self.words)}
        self.word: Integers = np.array([number[entry.word] for entry in lexicon], dtype=np.int64)
        self.weight: Floats = np.array([entry.weight for entry in lexicon])
        lengths = np.array([len(target) for target in self.targets])
        columns = np.arange(lengths.max())
        padded = np.zeros((len(lengths), len(columns)), dtype=np.int64)
        padded[columns < lengths[:, None]] = np.fromiter(itertools.chain.from_iterable(self.targets), np.int64)
        node = np.zeros(len(padded), dtype=np.int64)
        parents, symbols, count = [np.zeros(1, dtype=np.int64)], [np.full(1, len(tokens))], 1
        self._levels: list[tuple[int, int]] = []
        for depth in columns:
            rows = np.flatnonzero(lengths > depth)
            keys, place = np.unique(node[rows] * len(tokens) + padded[rows, depth], return_inverse=True)
            node[rows] = count + place
            parents.append(keys // len(tokens))
            symbols.append(keys % len(tokens))
            self._levels.append((count, count + len(keys)))
            count += len(keys)
        self.parent, self.symbol = np.concatenate(parents), np.concatenate(symbols)
        self.children = np.bincount(self.parent[1:], minlength=count)
        self.first_child = 1 + np.cumsum(self.children) - self.children
        self.ending = np.argsort(node, kind="stable")
        self.entries = np.bincount(node, minlength=count)
        self.first_entry = np.cumsum(self.entries) - self.entries

    def __len__(self) -> int:
        return len(self.symbol)

    def highest(self, values: Floats) -> tuple[Floats, Floats]:
        """Return of each node the highest of the entries' `values` that end at it or below it, and only below it."""
        here = np.full(len(self), -np.inf)
        np.maximum.at(here, np.repeat(np.arange(len(self)), self.entries), values[self.ending])
        below = np.full(len(self), -np.inf)
        for begin, end in reversed(self._levels):
            np.maximum.at(below, self.parent[begin:end], np.maximum(here, below)[begin:end])
        return np.maximum(here, below), below
