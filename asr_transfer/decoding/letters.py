"""Lists what the tokens of a head write, letter by letter, for searches that find words in a text however it is
spelled.
"""

from __future__ import annotations

import numpy as np

from asr_transfer.data.subwords import MARK
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.hypotheses import Integers


class Letters:
    """The letters of tokens: of pieces of words their characters, else each token is one letter with its own number.

    A piece holds a space at its beginning only, as SentencePiece finds pieces.

    Args:
        tokens: token set of the model's head; index 0 is the blank.

    Attributes:
        count: number of letters.
        space: the letter between words, -1 for none.
        gap: the token that writes a space alone, -1 for none.
        written: text of each letter; nothing for the blank.
        spaced: (tokens,) whether a token begins with a space.
        body: (tokens, width) the letters that follow, -1 behind the last.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        symbols = [symbol.replace(MARK, " ") if tokens.model is not None else symbol for symbol in tokens.symbols]
        self.gap = symbols.index(" ") if " " in symbols else -1
        bodies: list[tuple[int, ...]] = [(n,) for n in range(len(tokens))]
        self.count, self.space = len(tokens), self.gap
        self.spaced = np.array([symbol[0] == " " for symbol in symbols])
        self.written, self._number = ["", *symbols[1:]], dict[str, int]()
        if tokens.model is not None:
            self.written = sorted(tokens.model.characters)
            self._number = {letter: n for n, letter in enumerate(self.written)}
            self.count, self.space = len(self._number), self._number[" "]
            bodies = [tuple(self._number[letter] for letter in symbol.lstrip(" ")) for symbol in ["", *symbols[1:]]]
        elif self.gap >= 0:
            bodies[self.gap] = ()
        self.body: Integers = np.full((len(tokens), max(map(len, bodies))), -1, dtype=np.int64)
        for row, body in zip(self.body, bodies, strict=True):
            row[: len(body)] = body

    def spell(self, text: str, where: str, what: str) -> tuple[int, ...]:
        """Return the letters of `text`, which is a `what`.

        Raises:
            DataError: as of `Tokens.encode`.
        """
        labels = self._tokens.encode(text, where, what)
        if self._tokens.model is None:
            return tuple(labels)
        return tuple(self._number[letter] for letter in " ".join(self._tokens.written(text).split()))
