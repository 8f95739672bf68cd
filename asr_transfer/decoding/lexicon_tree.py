"""Holds a lexicon as two trees of tokens, and runs the CTC recursion over them.

Words that begin alike share the forward recursion on a prefix tree and words that end alike share the backward
recursion on a suffix tree. Each entry is cut in its middle and the two halves meet:

    p(entry) = Σ_t  p(first half in the frames before t) · p(second half in the rest, its first symbol begins at t)

The likelihood of a first half or a second half sums over all alignments of its symbols with the frames (Graves et al.
2006). Both trees together have about half of a whole prefix tree's nodes, and a leaf costs one product per frame.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens


@dataclass(frozen=True)
class Half:
    """A tree of the entries' first or last halves. Node 0 is the root; deeper nodes come later.

    A state of a tree is a row of 2·nodes columns: of each node the alignments that end in its symbol or in a blank
    behind it, then of each node those that end in a blank only.

    Attributes:
        source: (nodes,) the column that each node is entered from: its parent's first one, or the second where both
            have the same symbol and only a blank leads from one to the other.
        symbol: (nodes,) token of each node; the root's is one beyond the tokens, which is never emitted.
        ends: number of nodes of at most 0, 1, 2 … symbols.
    """

    source: torch.Tensor
    symbol: torch.Tensor
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.source)


class PrefixTree:
    """A lexicon in a model's tokens, made ready for search; made once and used for many utterances.

    Args:
        lexicon: lexicon whose phones are tokens (phones, characters or words alike), as it is or `fitted`.
        tokens: token set of the model's head; index 0 is the blank.

    Attributes:
        lexicon: fitted to the tokens; the order of `score_words`.
        tokens: token set as it was given.
        targets: token indices of each entry.
        words: distinct words; the order of `word_scores`.

    Raises:
        DataError: a phone is not among the tokens, or a word cannot be spelled in pieces.
    """

    def __init__(self, lexicon: Lexicon, tokens: Tokens) -> None:
        self.lexicon, self.tokens = lexicon.fitted(tokens), tokens
        lexicon = self.lexicon
        self.targets = lexicon.targets(tokens)
        lengths = np.array([len(target) for target in self.targets])
        columns = np.arange(lengths.max())
        padded = np.zeros((len(lengths), len(columns)), dtype=np.int64)
        padded[columns < lengths[:, None]] = np.fromiter(itertools.chain.from_iterable(self.targets), np.int64)
        repeats = ((padded[:, 1:] == padded[:, :-1]) & (padded[:, 1:] > 0)).sum(1)
        self.symbols = torch.from_numpy(lengths)
        self.frames_needed = torch.from_numpy(lengths + repeats)
        self.weights = torch.tensor([entry.weight for entry in lexicon], dtype=torch.float64)
        cut = lengths // 2
        self.first, starts = _grow(padded, cut, len(tokens))
        # The second half's tree grows from the entries' last symbols.
        places = np.maximum(lengths[:, None] - 1 - columns, 0)
        self.last, stops = _grow(np.take_along_axis(padded, places, 1), lengths - cut, len(tokens))
        # Where a symbol stands on both sides of the cut, only a blank leads across.
        across = self.first.symbol.numpy()[starts] == self.last.symbol.numpy()[stops]
        self.starts = torch.from_numpy(starts + across * len(self.first))
        self.stops = torch.from_numpy(stops)
        number: dict[str, int] = {}
        turns: list[tuple[list[int], list[int]]] = []
        uses: dict[str, int] = {}
        for n, entry in enumerate(lexicon):
            turn = uses[entry.word] = uses.get(entry.word, -1) + 1
            if turn == len(turns):
                turns.append(([], []))
            turns[turn][0].append(n)
            turns[turn][1].append(number.setdefault(entry.word, len(number)))
        self.words = list(number)
        # Every word's first pronunciation, then those that have a second one, and so on.
        self._turns = [(torch.tensor(entries), torch.tensor(words)) for entries, words in turns]

    @property
    def nodes(self) -> int:
        """Number of nodes of both halves' trees."""
        return len(self.first) + len(self.last)

    def word_scores(self, scores: torch.Tensor) -> torch.Tensor:
        """Sum the pronunciations of each word: (batch, entries) log-likelihoods to (batch, words)."""
        if len(self._turns) == 1:
            return scores
        total = scores[:, self._turns[0][0].to(scores.device)]
        for entries, words in self._turns[1:]:
            entries, words = entries.to(scores.device), words.to(scores.device)
            total[:, words] = torch.logaddexp(total[:, words], scores[:, entries])
        return total


def likelihoods(probs: torch.Tensor, tree: PrefixTree) -> torch.Tensor:
    """Return each entry's probability, summed over all of its alignments.

    Args:
        probs: (frames, batch, tokens + 1) probabilities, or multiples of them; 0 in the last column.
        tree: prefix tree of the lexicon.

    Returns:
        (batch, entries), the frames' multiples multiplied; 0 where it underflows, infinite or not-a-number where the
        number of alignments overflows.
    """
    frames, batch, _ = probs.shape
    # arrived[t]: the first halves' alignments with the frames before t.
    arrived = probs.new_empty(max(frames, 1), batch, 2 * len(tree.first))
    arrived[0] = 0.0
    arrived[0, :, 0] = 1.0
    forward = _Walk(tree.first, batch, probs)
    for t in range(frames - 1):
        forward.step(arrived[t], probs[t], arrived[t + 1])
    state = probs.new_zeros(batch, 2 * len(tree.last))
    state[:, 0] = 1.0
    backward = _Walk(tree.last, batch, probs)
    starts = tree.starts.to(probs.device).expand(batch, -1)
    stops = tree.stops.to(probs.device).expand(batch, -1)
    result = probs.new_zeros(starts.shape)
    before, after = torch.empty_like(result), torch.empty_like(result)
    for t in reversed(range(frames)):
        backward.step(state, probs[t], state)
        torch.gather(arrived[t], 1, starts, out=before)
        torch.gather(backward.symbol, 1, stops, out=after)
        result.addcmul_(before, after)
    return result


class _Walk:
    """The CTC recursion over one half's tree, a frame at a time.

    Attributes:
        symbol: (batch, nodes) the alignments that end in the node's symbol.
    """

    def __init__(self, half: Half, batch: int, like: torch.Tensor) -> None:
        self.ends = half.ends
        self.source = half.source.to(like.device).expand(batch, -1)
        self.emits = half.symbol.to(like.device).expand(batch, -1)
        self.symbol = like.new_zeros(self.source.shape)
        self.buffer = torch.empty_like(self.symbol)
        self.taken = 0

    def step(self, state: torch.Tensor, probs: torch.Tensor, out: torch.Tensor) -> None:
        """Take a frame.

        Args:
            state: (batch, 2·nodes) before the frame.
            probs: (batch, tokens + 1) of the frame.
            out: gets the state after the frame; may be `state`.
        """
        self.taken += 1
        nodes, depth = self.ends[-1], min(self.taken, len(self.ends) - 1)
        reach = self.ends[depth]  # deeper nodes have more symbols than there were frames
        symbol, buffer = self.symbol[:, :reach], self.buffer[:, :reach]
        torch.gather(state, 1, self.source[:, :reach], out=buffer)
        symbol.add_(buffer)
        torch.gather(probs, 1, self.emits[:, :reach], out=buffer)
        symbol.mul_(buffer)
        blank = torch.mul(state[:, :reach], probs[:, :1], out=out[:, nodes : nodes + reach])
        torch.add(symbol, blank, out=out[:, :reach])
        if reach < nodes:
            out[:, reach:nodes] = 0.0
            out[:, nodes + reach :] = 0.0


def _grow(padded: NDArray[np.int64], lengths: NDArray[np.int64], tokens: int) -> tuple[Half, NDArray[np.int64]]:
    """Grow the tree of the rows of `padded`, each as long as `lengths` says; return it and each row's last node."""
    node = np.zeros(len(padded), dtype=np.int64)
    parents, symbols, ends = [np.zeros(1, dtype=np.int64)], [np.full(1, tokens)], [1]
    for depth in range(int(lengths.max())):
        rows = np.flatnonzero(lengths > depth)
        keys, place = np.unique(node[rows] * tokens + padded[rows, depth], return_inverse=True)
        node[rows] = ends[-1] + place
        parents.append(keys // tokens)
        symbols.append(keys % tokens)
        ends.append(ends[-1] + len(keys))
    parent, symbol = np.concatenate(parents), np.concatenate(symbols)
    repeats = symbol == symbol[parent]
    repeats[0] = False
    source = torch.from_numpy(parent + repeats * len(parent))
    return Half(source, torch.from_numpy(symbol), tuple(ends)), node
