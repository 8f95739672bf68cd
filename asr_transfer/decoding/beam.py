"""Searches for sentences of a lexicon's words with a beam under CTC and an n-gram language model.

A sentence's score is the natural logarithm of the sum over all alignments that `Tokens.decode` turns into it, plus
`lm_weight` · ln p_LM, plus `word_score` for every word, plus the weights of its pronunciations (likelihoods of several
pronunciations are summed). Where the tokens have a space, words are separated by it, and spaces at either end of the
utterance or in a row change nothing. A word ends at its last symbol rather than at what comes behind it, so that the
last word needs no frame behind it.

After Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs"
(2014), with the lexicon as a tree and with look-ahead as in Collobert et al., "Wav2Letter" (2016). Hypotheses of
several utterances are arrays: the utterance, where they are in the tree, their last symbol, the state of the language
model, what they have written (a key), and two log-probabilities, of the alignments that end in a blank and of those
that do not.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens, frames_needed
from asr_transfer.decoding.alignment import Segment, best_path
from asr_transfer.decoding.coverage import check_coverage
from asr_transfer.decoding.hypotheses import (
    START,
    Floats,
    Integers,
    Keys,
    Records,
    checked,
    longer,
    merge,
    placed,
)
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.search_tree import SearchTree
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.decoding.side_by_side import MOST, at_rank, best_of_each, highest, in_rows, keys_of
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.whitespace import words_of

MARGIN = math.log(4)
"""How far below what is certainly within the beam a candidate may be without being dropped."""
TOGETHER, CANDIDATES = 1600, 200_000
"""Most hypotheses side by side, and most that may follow them: more do not stay in the processor's caches."""

__all__ = ["SearchConfig", "Sentence", "SentenceSearch"]


class Sentence(NamedTuple):
    """A sentence of an n-best list.

    Attributes:
        words: words of the lexicon.
        score: score, as the module describes it.
        posterior: its share of all sentences that the beam held at the end.
        entries: the lexicon's entry that each word was most probably pronounced as.
    """

    words: tuple[str, ...]
    score: float
    posterior: float
    entries: tuple[int, ...]

    @property
    def text(self) -> str:
        """The words with single spaces between them."""
        return " ".join(self.words)


@dataclass
class _Beam:
    """Hypotheses of utterances, (n,) each.

    Attributes:
        owner: number of the utterance, in rising order.
        key: number of the words so far.
        place: node of the tree; the root where a word may begin, one behind the last node where a space must come.
        last: symbol that the alignments end in, blanks aside; one beyond the tokens for none.
        state: state of the language model.
        record: number of the last word's record, -1 for none.
        blank, symbol: log-probability of the alignments that end in a blank, and of the others.
    """

    owner: Integers
    key: Keys
    place: Integers
    last: Integers
    state: Integers
    record: Integers
    blank: Floats
    symbol: Floats

    def take(self, rows: Integers) -> _Beam:
        """Return some of the hypotheses."""
        return _Beam(*(getattr(self, field.name)[rows] for field in fields(self)))


class SentenceSearch:
    """A search, made once and used for many utterances.

    Args:
        lexicon: lexicon whose phones are tokens (phones, characters or words alike), as it is or `fitted`; the words
            that can be said.
        tokens: token set of the model's head; index 0 is the blank. If one is a space, it separates words.
        config: settings.
        model: language model; None for none.

    Raises:
        DataError: a phone is not among the tokens, or a word cannot be spelled in pieces; the language model lists
            none of the words.
        ConfigError: the language model does not list a word and has no `<unk>`, and `unknown_score` is not set.
    """

    def __init__(
        self, lexicon: Lexicon, tokens: Tokens, config: SearchConfig | None = None, model: NgramModel | None = None
    ) -> None:
        self.tokens, self._given = tokens, model
        self.tree = SearchTree(lexicon, tokens)
        self.lexicon = self.tree.lexicon
        if model is not None:
            check_coverage(self.lexicon, model)
        self._prepare(config or SearchConfig())

    def with_config(self, config: SearchConfig) -> SentenceSearch:
        """Return the same search with other settings; cheaper than a new one."""
        other = copy.copy(self)
        other._prepare(config)
        return other

    def _prepare(self, config: SearchConfig) -> None:
        lexicon, tokens, tree = self.lexicon, self.tokens, self.tree
        self.config = config
        self.model = self._given if config.lm_weight else None
        self._space = tokens.symbols.index(" ") if " " in tokens.symbols else -1
        self._done = len(tree) if self._space > 0 else 0
        # The place behind the last node has no children.
        self._children = np.append(tree.children, 0)
        self._first_child = np.append(tree.first_child, 0)
        self._several = len(tree.words) < len(lexicon)
        self._extra: Floats = tree.weight + self.config.word_score
        self._parts = self._numbers() if self.model is not None else None
        bound = self._extra + (0.0 if self._parts is None else self._context_free()[tree.word])
        here, below = tree.highest(bound) if self.config.look_ahead else (np.zeros(len(tree)), np.zeros(len(tree)))
        self._ahead = here
        self._below = np.append(below, 0.0)
        self._below[0] = 0.0

    def _numbers(self) -> Integers:
        """Return the language model's numbers of each word's parts, padded with -1; -2 stands for unknown."""
        assert self.model is not None
        parts = [[self.model.index(part) for part in words_of(word)] for word in self.tree.words]
        if self.config.unknown_score is not None:
            parts = [
                [self.model.index(p) if p in self.model else -2 for p in words_of(word)] for word in self.tree.words
            ]
        missing = [word for word, numbers in zip(self.tree.words, parts, strict=True) if -1 in numbers]
        if missing:
            raise ConfigError(
                f"{self.model.source}: does not list the word {missing[0]!r} "
                f"({len(missing):,} of {len(parts):,} words of {self.lexicon.source}) and has no `<unk>`; "
                "set `search.unknown_score` or add the words."
            )
        padded = np.full((len(parts), max(map(len, parts))), -1, dtype=np.int64)
        for row, numbers in zip(padded, parts, strict=True):
            row[: len(numbers)] = numbers
        return padded

    def _context_free(self) -> Floats:
        scores, _ = self._said(np.arange(len(self.tree.words)), np.zeros(len(self.tree.words), dtype=np.int64))
        return scores

    def _said(self, words: Integers, states: Integers) -> tuple[Floats, Integers]:
        """Return the language model's weighted scores of words in states, and the states that follow."""
        if self.model is None or self._parts is None:
            return np.zeros(len(words)), states
        total = np.zeros(len(words))
        for column in self._parts.T:
            number = column[words]
            known = number >= 0
            if known.all():
                ln, states = self.model.score(number, states)
                total += ln
                continue
            states = states.copy()
            ln, states[known] = self.model.score(number[known], states[known])
            total[known] += ln
            unknown = number == -2
            total[unknown] += self.config.unknown_score or 0.0
            states[unknown] = self._after_unknown()
        return self.config.lm_weight * total, states

    def _after_unknown(self) -> int:
        """Return the state behind a word that the model does not list."""
        assert self.model is not None
        return 0 if self.model.unknown is None else int(self.model.score(self.model.unknown, 0)[1])

    @torch.no_grad()
    def best_sentences(self, log_probs: torch.Tensor, lengths: torch.Tensor, n: int = 1) -> list[list[Sentence]]:
        """Return the `n` best sentences of each utterance, best first; a list may be shorter.

        If no hypothesis ends with a whole word, those that the beam holds stand without their unfinished word.
        Arguments and errors as of `hypotheses.checked`.
        """
        parts = checked(log_probs, lengths, len(self.tokens), n)
        # The longest first, so that those still under way are the first ones of a group at any frame.
        order = sorted(range(len(parts)), key=lambda number: -len(parts[number]))
        size = self._together()
        found: list[list[Sentence]] = [[] for _ in parts]
        for begin in range(0, len(order), size):
            group = order[begin : begin + size]
            for number, sentences in zip(group, self._search([parts[number] for number in group], n), strict=True):
                found[number] = sentences
        return found

    def _together(self) -> int:
        """Return how many utterances are searched side by side."""
        beam, first = self.config.beam, int(self.tree.children[0])
        return max(1, min(MOST, TOGETHER // beam, CANDIDATES // (beam * first)))

    def labels(self, sentence: Sentence) -> list[int]:
        """Return the tokens that a sentence found by this search is spelled in, in its likeliest pronunciations."""
        found: list[int] = []
        for entry in sentence.entries:
            found += [self._space] * (bool(found) and self._space > 0) + self.tree.targets[entry]
        return found

    def times(self, log_probs: torch.Tensor, sentence: Sentence) -> list[Segment]:
        """Return each word with its frames on the best alignment of the sentence (Viterbi).

        Args:
            log_probs: (frames, tokens) of the utterance, without padding.
            sentence: sentence that was found in it.

        Raises:
            DataError: the sentence needs more frames.
        """
        if not sentence.words:
            return []
        target = self.labels(sentence)
        owner: list[int] = []
        for n, entry in enumerate(sentence.entries):
            owner += [-1] * (n > 0 and self._space > 0) + [n] * len(self.tree.targets[entry])
        if frames_needed(target) > len(log_probs):
            raise DataError(f"the sentence '{sentence.text}' needs more frames than the utterance has; give its own.")
        path = best_path(log_probs, target)
        begin, end = [0] * len(sentence.words), [0] * len(sentence.words)
        position, previous = -1, 0
        for frame, index in enumerate(path):
            starts = index not in (0, previous)
            position += starts
            word = owner[position] if index else -1
            if word >= 0:
                if starts and (position == 0 or owner[position - 1] != word):
                    begin[word] = frame
                end[word] = frame + 1
            previous = index
        return [Segment(*span) for span in zip(sentence.words, begin, end, strict=True)]

    def _search(self, utterances: list[Floats], n: int) -> list[list[Sentence]]:
        """Return the best sentences of utterances, which are given with the longest first."""
        count = len(utterances)
        beam = _Beam(
            owner=np.arange(count),
            key=np.full(count, START),
            place=np.zeros(count, dtype=np.int64),
            last=np.full(count, len(self.tokens)),
            state=np.full(count, 0 if self.model is None else self.model.start),
            record=np.full(count, -1),
            blank=np.zeros(count),
            symbol=np.full(count, -math.inf),
        )
        records = Records()
        ended: list[_Beam] = []
        lengths = [len(frames) for frames in utterances]
        for t in range(lengths[0]):
            if lengths[count - 1] == t:
                beam, count = _set_aside(beam, sum(length > t for length in lengths), count, ended)
            if len(beam.key):  # else nothing can be spelled: a frame has no probability at all
                emitted = np.concatenate([frames[t] for frames in utterances[:count]])
                final = np.array(lengths[:count]) == t + 1 if lengths[count - 1] == t + 1 else None
                beam = self._step(beam, emitted, count, records, final)
        _set_aside(beam, 0, count, ended)
        return [self._finish(own, records, n) for own in reversed(ended)]

    def _step(
        self, beam: _Beam, emitted: Floats, count: int, records: Records, final: NDArray[np.bool_] | None
    ) -> _Beam:
        """Take a frame of each of `count` utterances, tokens + 1 log-probabilities one behind the other.

        It may be the `final` frame of some utterances, in which only whole words count.
        """
        tree, none = self.tree, len(self.tokens)
        owner, own = beam.owner, beam.owner * (none + 1)  # and where its frame begins
        total = np.logaddexp(beam.blank, beam.symbol)
        blank, again = total + emitted[own], beam.symbol + emitted[own + beam.last]
        likely = np.maximum(blank, again) + self._below[beam.place]
        limit = highest(likely, owner, count) - self.config.beam_threshold
        # Into the children: from everything, or only from a blank where the symbol is the same.
        source, child = _spread(self._first_child[beam.place], self._children[beam.place])
        symbol, holder = tree.symbol[child], owner[source]
        score = np.where(symbol == beam.last[source], beam.blank[source], total[source])
        score += emitted[own[source] + symbol]
        bounds = np.logaddexp(blank, again) + self._below[beam.place], score + self._below[child]
        sure = np.maximum(limit, self._certain(bounds, (owner, holder), count))
        limit = sure if final is None else np.where(final, limit, sure)
        kept = np.flatnonzero(score + self._ahead[child] >= limit[holder])
        source, child, score, symbol = source[kept], child[kept], score[kept], symbol[kept]
        # The words that end there.
        where, ending = _spread(tree.first_entry[child], tree.entries[child])
        entry, said_from, said_last = tree.ending[ending], source[where], symbol[where]
        ln, said_state = self._said(tree.word[entry], beam.state[said_from])
        said = score[where] + self._extra[entry] + ln
        kept = np.flatnonzero(said >= limit[owner[said_from]])
        entry, said_from, said_last = entry[kept], said_from[kept], said_last[kept]
        said, said_state = said[kept], said_state[kept]
        inner = np.flatnonzero(tree.children[child])
        spaced, gap = self._spaces(beam, total, emitted, own)
        # All candidates: as before, one symbol further in a word, with a new word, with a space.
        origin = np.concatenate([np.arange(len(total)), source[inner], said_from, spaced])
        place = np.concatenate(
            [beam.place, child[inner], np.full(len(entry), self._done), np.zeros(len(spaced), dtype=np.int64)]
        )
        last = np.concatenate([beam.last, symbol[inner], said_last, np.full(len(spaced), self._space)])
        key, state, record = beam.key[origin], beam.state[origin], beam.record[origin]
        new = slice(len(total) + len(inner), len(total) + len(inner) + len(entry))
        key[new] = longer(key[new], tree.word[entry])
        state[new] = said_state
        where_ = np.where(place == 0, len(tree) + 1 + last, place)
        if self._space > 0:
            where_[place == self._done] += 1 + none + last[place == self._done] + 1
        candidates = np.full(len(origin), -math.inf)
        candidates[: len(total)] = blank
        chosen, blank, symbols = merge(
            keys_of(placed(key, where_), owner[origin]),
            candidates,
            np.concatenate([again, score[inner], said, gap]),
            self._several,
        )
        owner = owner[origin[chosen]]
        bound = np.logaddexp(blank, symbols) + self._below[place[chosen]]
        if final is not None:
            whole = (place[chosen] == 0) | (place[chosen] == self._done)
            complete = final & (highest(np.where(whole, bound, -math.inf), owner, count) > -math.inf)
            bound[complete[owner] & ~whole] = -math.inf
        rows = best_of_each(bound, owner, count, self.config.beam, self.config.beam_threshold)
        chosen = chosen[rows]
        record = record[chosen]
        fresh = np.flatnonzero((chosen >= new.start) & (chosen < new.stop))
        record[fresh] = records.add(record[fresh], entry[chosen[fresh] - new.start])
        return _Beam(
            owner[rows], key[chosen], place[chosen], last[chosen], state[chosen], record, blank[rows], symbols[rows]
        )

    def _certain(self, bounds: tuple[Floats, Floats], owners: tuple[Integers, Integers], count: int) -> Floats:
        """Return the score of each utterance below which nothing can be among its beam's best.

        Of these candidates at most two are one hypothesis, so that twice the beam of them are a beam of hypotheses.
        The margin is for what a weaker candidate could add to another one of the same hypothesis.
        """
        rows = [in_rows(own, numbers, count)[0] for own, numbers in zip(bounds, owners, strict=True)]
        return at_rank(np.concatenate(rows, axis=1), 2 * self.config.beam) - MARGIN

    def _spaces(self, beam: _Beam, total: Floats, emitted: Floats, own: Integers) -> tuple[Integers, Floats]:
        """Return the hypotheses that a space can follow, and their scores with it."""
        if self._space < 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        rows = np.flatnonzero((beam.place == self._done) | (beam.place == 0))
        alike = beam.last[rows] == self._space
        return rows, np.where(alike, beam.blank[rows], total[rows]) + emitted[own[rows] + self._space]

    def _finish(self, beam: _Beam, records: Records, n: int) -> list[Sentence]:
        if not len(beam.key):
            return []
        total = np.logaddexp(beam.blank, beam.symbol)
        if self.model is not None:
            total = total + self.config.lm_weight * self.model.end(beam.state)
        rows, _, scores = merge(beam.key, np.full(len(total), -math.inf), total, likeliest=True)
        order = np.argsort(-scores, kind="stable")
        everything = np.logaddexp.reduce(scores)
        found = []
        for row in order[:n]:
            entries = records.trace(int(beam.record[rows[row]]))
            words = tuple(self.tree.words[self.tree.word[entry]] for entry in entries)
            posterior = math.exp(min(0.0, scores[row] - everything))
            found.append(Sentence(words, float(scores[row]), posterior, entries))
        return found


def _set_aside(beam: _Beam, first: int, count: int, ended: list[_Beam]) -> tuple[_Beam, int]:
    """Return the hypotheses of the first of `count` utterances, and how many those are.

    Those of each other one are added to `ended`, the last one's first.
    """
    bounds = np.searchsorted(beam.owner, np.arange(first, count + 1))
    ended += [beam.take(np.arange(*pair)) for pair in reversed(list(itertools.pairwise(bounds)))]
    return beam.take(np.arange(bounds[0])), first


def _spread(first: Integers, counts: Integers) -> tuple[Integers, Integers]:
    """Return the pairs of an index and each number in `first[index]` … `first[index] + counts[index] - 1`."""
    owner = np.repeat(np.arange(len(counts)), counts)
    shift = first - np.cumsum(counts) + counts
    return owner, shift[owner] + np.arange(len(owner))
