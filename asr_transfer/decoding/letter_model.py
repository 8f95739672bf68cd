"""Lets a language model of letters score texts while they are being written.

The model's words are letters, and `▁` stands behind every word, as `texts.spelled` writes sentences. A text's score is
`lm_weight` · ln p, plus `word_score` for every word; a word has both once it ends, at a space or with the text. What no
text of the model held is spelled as well, so that the vocabulary is open.
"""

from __future__ import annotations

import numpy as np

from asr_transfer.data.subwords import MARK
from asr_transfer.decoding.hypotheses import Floats, Integers
from asr_transfer.decoding.kneser_ney import BEGIN, END, UNKNOWN
from asr_transfer.decoding.letters import Letters
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import DataError

_MEND = "make one of the texts with `lm make --letters true`"


class LetterModel:
    """A language model in the letters of a head's tokens.

    Args:
        model: language model.
        letters: letters of the tokens.
        config: settings; `lm_weight` and `word_score` count.

    Attributes:
        start: state at the beginning of a text.
        most: upper limit of what a symbol adds to a score.

    Raises:
        DataError: the model is of other things than letters, or lacks a letter and has no `<unk>`.
    """

    def __init__(self, model: NgramModel, letters: Letters, config: SearchConfig) -> None:
        self._model, self._letters = model, letters
        self._weight, self._word = config.lm_weight, config.word_score
        written = letters.written
        own = [word for word in model.words if word not in (BEGIN, END, UNKNOWN, UNKNOWN.upper(), MARK)]
        if 2 * len(set(own) & set(written)) < min(len(own), letters.count):
            example = ", ".join(map(repr, own[:3]))
            raise DataError(
                f"{model.source}: lists {example}, which the model does not write as single letters; {_MEND}, or for a "
                "language model of words give --lexicon and --sentences too."
            )
        if letters.space >= 0 and MARK not in model:
            raise DataError(f"{model.source}: does not list {MARK!r}, which ends every word; {_MEND}.")
        self._number: Integers = np.array([model.index(MARK if w == " " else w) for w in written], dtype=np.int64)
        if lacking := [w for w, n in zip(written, self._number, strict=True) if n < 0 and w]:
            raise DataError(f"{model.source}: does not list the letter {lacking[0]!r} and has no `<unk>`; {_MEND}.")
        self._end = model.index(MARK) if MARK in model else -1
        self.start = model.start
        self.most = max(0.0, self._word)

    def walk(self, states: Integers, symbols: Integers, ends: Integers) -> tuple[Integers, Floats]:
        """Return the states behind tokens, and how much each adds to the score.

        Args:
            states: (n,) states of the texts before.
            symbols: (n,) tokens.
            ends: (n,) whether a word ends where the token begins.
        """
        states, gain = self._ended(states, ends)
        for letter in self._letters.body[symbols].T:
            there = np.flatnonzero(letter >= 0)
            ln, states[there] = self._model.score(self._number[letter[there]], states[there])
            gain[there] += self._weight * ln
        return states, gain

    def finish(self, states: Integers, ends: Integers) -> Floats:
        """Return what the end of the text adds to the score.

        Args:
            states: (n,) states of the texts.
            ends: (n,) whether a word ends there.
        """
        states, gain = self._ended(states, ends)
        return gain + self._weight * self._model.end(states)

    def _ended(self, states: Integers, ends: Integers) -> tuple[Integers, Floats]:
        """Return the states behind the words that end, and what their ends add."""
        states, gain = states.copy(), np.zeros(len(states))
        rows = np.flatnonzero(ends)
        if self._letters.space >= 0:
            gain[rows] += self._word
        if self._end >= 0:
            ln, states[rows] = self._model.score(self._end, states[rows])
            gain[rows] += self._weight * ln
        return states, gain
