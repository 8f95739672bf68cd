"""Searches for texts over tokens with a CTC prefix beam and an open vocabulary, with hot words and letters expected.

A text's score is the natural logarithm of the sum over all alignments that `Tokens.decode` turns into it, plus the
bonus of the hot words in it: `hot_weight` · weight · letters for each occurrence. A letter is a token, and of pieces of
words a character, so that a hot word is found however it is cut into pieces. While a text is being written, the letters
matched so far have their bonus in advance; it is given back when the match is left unfinished. Where the letters have a
space, a hot word must begin and end at a word's edge. A language model of letters adds its score (`letter_model`).

Prefix search after Graves, "Supervised sequence labelling with recurrent neural networks" (2012) and Hannun et al.
(2014); the bonus in advance after Zhao et al., "Shallow-fusion end-to-end contextual biasing" (2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.hot_words import Automaton, HotWords
from asr_transfer.decoding.hypotheses import (
    START,
    Floats,
    Integers,
    Keys,
    Records,
    best,
    checked,
    longer,
    merge,
    placed,
)
from asr_transfer.decoding.letter_model import LetterModel
from asr_transfer.decoding.letters import Letters
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.settings import SearchConfig

MARGIN = math.log(4)
"""How far below what is certainly within the beam a candidate may be without being dropped."""

__all__ = ["PrefixSearch", "Spelling"]


class Spelling(NamedTuple):
    """A text of an n-best list.

    Attributes:
        text: text, as `Tokens.decode` returns it.
        score: score with the bonus, as the module describes it.
        bonus: score of the hot words in it, and of the language model.
        posterior: its share of all texts that the beam held at the end.
        labels: token indices, of several spellings in pieces those that were likeliest on the way.
    """

    text: str
    score: float
    bonus: float
    posterior: float
    labels: tuple[int, ...]


@dataclass
class _Beam:
    """Hypotheses of an utterance, (n,) each.

    Attributes:
        key: number that tells the text's letters from others; spaces count once something stands behind them.
        last: symbol that the alignments end in, blanks aside; one beyond the tokens for none.
        node: node of the automaton.
        bonus: bonus so far, with what may have to be given back.
        state: state of the language model.
        record: number of the last symbol's record that is no space, -1 for none.
        blank, symbol: log-probability of the alignments that end in a blank, and of the others.
    """

    key: Keys
    last: Integers
    node: Integers
    bonus: Floats
    state: Integers
    record: Integers
    blank: Floats
    symbol: Floats


class PrefixSearch:
    """A search, made once and used for many utterances.

    Args:
        tokens: token set of the model's head; index 0 is the blank.
        config: settings; of the weights only `hot_weight` counts, and with a language model its own.
        hot_words: words to pull towards; None for none.
        lexicon: pronunciations of the hot words, for models of phones.
        model: language model of the tokens' letters; None for none.

    Raises:
        ConfigError, DataError: as of `HotWords.spelled` and `LetterModel`.
    """

    def __init__(
        self,
        tokens: Tokens,
        config: SearchConfig | None = None,
        hot_words: HotWords | None = None,
        lexicon: Lexicon | None = None,
        model: NgramModel | None = None,
    ) -> None:
        self.tokens, self.config = tokens, config or SearchConfig()
        self._letters = letters = Letters(tokens)
        spellings = {} if hot_words is None else hot_words.spelled(tokens, lexicon)
        self._automaton = automaton = Automaton(spellings, letters.count, letters.space)
        self._potential = self.config.hot_weight * automaton.potential
        self._kept = self.config.hot_weight * automaton.kept
        # The most that a single symbol can add: where it has several letters, hot words end at its space alone.
        self._most = float(self._potential.max() + max(0.0, self._kept.max()) - self._potential.min())
        self._model = None if model is None else LetterModel(model, letters, self.config)
        self._most += 0.0 if self._model is None else self._model.most
        self._several = tokens.model is not None  # spellings of a text
        # Behind these a space changes nothing: a space, and none (one beyond the tokens).
        self._idle = np.arange(len(tokens) + 1) == len(tokens)
        self._idle[letters.gap] |= letters.gap >= 0

    @torch.no_grad()
    def best_texts(self, log_probs: torch.Tensor, lengths: torch.Tensor, n: int = 1) -> list[list[Spelling]]:
        """Return the `n` best texts of each utterance, best first; a list may be shorter.

        Arguments and errors as of `hypotheses.checked`.
        """
        return [self._search(frames, n) for frames in checked(log_probs, lengths, len(self.tokens), n)]

    def _search(self, frames: Floats, n: int) -> list[Spelling]:
        beam = _Beam(
            key=np.array([START]),
            last=np.array([len(self.tokens)]),
            node=np.array([self._automaton.start]),
            bonus=np.zeros(1),
            state=np.array([0 if self._model is None else self._model.start]),
            record=np.array([-1]),
            blank=np.zeros(1),
            symbol=np.array([-math.inf]),
        )
        records = Records()
        for emitted in frames:
            if len(beam.key):  # else nothing can be spelled: a frame has no probability at all
                beam = self._step(beam, emitted, records)
        return self._finish(beam, records, n)

    def _step(self, beam: _Beam, emitted: Floats, records: Records) -> _Beam:
        """Take a frame of (tokens + 1,) log-probabilities."""
        letters, threshold, old = self._letters, self.config.beam_threshold, len(beam.key)
        total = np.logaddexp(beam.blank, beam.symbol)
        blank, again = total + emitted[0], beam.symbol + emitted[beam.last]
        limit = (np.maximum(blank, again) + beam.bonus).max() - threshold
        # Symbols that cannot reach the beam even with the highest bonus are not tried.
        likely = 1 + np.flatnonzero(emitted[1:-1] >= emitted.max() - threshold - self._most)
        score = np.where(likely == beam.last[:, None], beam.blank[:, None], total[:, None]) + emitted[likely]
        node, gain = self._walk(beam, likely)
        if self._model is not None and old >= self.config.beam:  # what they are surpassed by is in the beam
            limit = max(limit, (np.logaddexp(blank, again) + beam.bonus).min() - MARGIN)
        if self._model is None:
            source, column = np.nonzero(score + (beam.bonus[:, None] + gain) >= limit)
            more, state = np.zeros(len(source)), beam.state[source]
        else:
            source, column, more, state = self._expected(beam, likely, score + (beam.bonus[:, None] + gain), limit)
        symbol = likely[column]
        key, record, spoken = beam.key[source], beam.record[source], symbol != letters.gap
        # A space counts once a letter stands behind it, and none before the first letter.
        preceded = spoken & (record >= 0) & self._idle[beam.last[source]]
        parted = preceded | (spoken & (record >= 0) & letters.spaced[symbol])
        key[parted] = longer(key[parted], np.full(int(parted.sum()), letters.space))
        for letter in letters.body[symbol].T:
            there = letter >= 0
            key[there] = longer(key[there], letter[there])
        last = np.concatenate([beam.last, symbol])
        key = np.concatenate([beam.key, key])
        candidates = np.full(len(key), -math.inf)
        candidates[:old] = blank
        bonus = np.concatenate([beam.bonus, beam.bonus[source] + gain[source, column] + more])
        states = np.concatenate([beam.state, state])
        chosen, blank, symbols = merge(
            placed(key, last), candidates, np.concatenate([again, score[source, column]]), self._several
        )
        rows = best(np.logaddexp(blank, symbols) + bonus[chosen], self.config.beam, threshold)
        chosen = chosen[rows]
        record = np.concatenate([beam.record, record])[chosen]
        fresh = np.flatnonzero(chosen >= old)
        fresh = fresh[spoken[chosen[fresh] - old]]
        made = chosen[fresh] - old
        record[fresh] = records.add(record[fresh], symbol[made] + len(self.tokens) * preceded[made])
        nodes = np.concatenate([beam.node, node[source, column]])
        return _Beam(
            key[chosen], last[chosen], nodes[chosen], bonus[chosen], states[chosen], record, blank[rows], symbols[rows]
        )

    def _expected(
        self, beam: _Beam, symbols: Integers, scores: Floats, limit: float
    ) -> tuple[Integers, Integers, Floats, Integers]:
        """Let the language model score the hypotheses made longer by each of (m,) symbols that may reach a limit.

        Args:
            scores: (n, m) with all but the language model's part.

        Returns:
            Of those that reach it the hypothesis, the symbol's place, what the language model adds and its state.
        """
        assert self._model is not None
        source, column = np.nonzero(scores + self._model.most >= limit)
        symbol = symbols[column]
        ends = self._letters.spaced[symbol] & ~self._idle[beam.last[source]] & (beam.record[source] >= 0)
        state, more = self._model.walk(beam.state[source], symbol, ends)
        kept = np.flatnonzero(scores[source, column] + more >= limit)
        return source[kept], column[kept], more[kept], state[kept]

    def _walk(self, beam: _Beam, symbols: Integers) -> tuple[Integers, Floats]:
        """Return the automaton's nodes behind each of (m,) symbols, (n, m), and how much each adds to the bonus."""
        automaton, letters = self._automaton, self._letters
        node = np.repeat(beam.node[:, None], len(symbols), axis=1)
        kept = np.zeros(node.shape)
        if letters.space >= 0:
            edge = automaton.table[beam.node, automaton.column[letters.space]][:, None]
            entered = letters.spaced[symbols] & ~self._idle[beam.last][:, None]
            node, kept = np.where(entered, edge, node), np.where(entered, self._kept[edge], kept)
        for letter in letters.body[symbols].T:
            there = np.flatnonzero(letter >= 0)
            node[:, there] = automaton.table[node[:, there], automaton.column[letter[there]]]
            kept[:, there] += self._kept[node[:, there]]
        return node, self._potential[node] - self._potential[beam.node][:, None] + kept

    def _finish(self, beam: _Beam, records: Records, n: int) -> list[Spelling]:
        if not len(beam.key):
            return []
        node, bonus = beam.node, beam.bonus - self._potential[beam.node]
        if self._letters.space >= 0:  # the end is a word's edge
            open_ = ~self._idle[beam.last] & (beam.record >= 0)
            node = self._automaton.table[node, self._automaton.column[self._letters.space]]
            bonus = bonus + np.where(open_, self._kept[node], 0.0)
        if self._model is not None:
            bonus = bonus + self._model.finish(beam.state, ~self._idle[beam.last] & (beam.record >= 0))
        total = np.logaddexp(beam.blank, beam.symbol) + bonus
        rows, _, scores = merge(beam.key, np.full(len(total), -math.inf), total, likeliest=True)
        everything = np.logaddexp.reduce(scores)
        found = []
        for row in np.argsort(-scores, kind="stable")[:n]:
            at = rows[row]
            labels: list[int] = []
            for made in records.trace(int(beam.record[at])):
                labels += [self._letters.gap] * (made >= len(self.tokens)) + [made % len(self.tokens)]
            posterior = math.exp(min(0.0, scores[row] - everything))
            text = self.tokens.decode(labels)
            found.append(Spelling(text, float(scores[row]), float(bonus[at]), posterior, tuple(labels)))
        return found
