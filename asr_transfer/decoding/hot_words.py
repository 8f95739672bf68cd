"""Finds hot words, which a user expects, while a text is being written: their list and the automaton over them.

A file has a word or phrase per line, optionally with a weight behind a tab (1 where it is left out):

    tibbets
    new york	2
    # a comment

The automaton is that of Aho and Corasick, "Efficient string matching" (1975). A node's potential is the bonus of what
has been matched so far of the words that may still become complete; going from node to node changes a hypothesis's
score by the difference of the potentials, so that whatever is not completed is given back in full.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.subwords import MARK
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.decoding.hypotheses import Floats, Integers
from asr_transfer.decoding.letters import Letters
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.orthography import listed_word, marked, without_ignored
from asr_transfer.textfiles import lines_of, read_text
from asr_transfer.whitespace import single_spaced, words_of

_SHERPA_MARK = re.compile(r":[+-]?(\d+\.?\d*|\.\d+)|#(\d+\.?\d*|\.\d+)|@\S+")
_SHERPA_NAMES = {":": "score", "#": "threshold", "@": "name of the phrase"}


@dataclass(frozen=True)
class HotWord:
    """A word or phrase.

    Attributes:
        text: words with single spaces between them.
        weight: factor on the bonus; above 0 for more, below for less.
        line: number of its line in its file; None when it came from elsewhere.
    """

    text: str
    weight: float = 1.0
    line: int | None = None


class HotWords:
    """A list of hot words.

    Args:
        words: no text twice.
        source: origin of the words, for messages.

    Raises:
        DataError: none, an empty one, one that occurs twice, or a weight that is no number.
    """

    def __init__(self, words: Iterable[HotWord | str], source: str = "the hot words") -> None:
        self.source = source
        self.words: list[HotWord] = []
        seen: dict[str, HotWord] = {}
        for given in words:
            word = HotWord(given) if isinstance(given, str) else given
            word = replace(word, text=listed_word(word.text))
            if not word.text:
                raise DataError(f"{self.where(word)}: the hot word is empty; write it before its weight.")
            if not math.isfinite(word.weight):
                raise DataError(f"{self.where(word)}: the weight of {word.text!r} is no finite number; write one.")
            if (first := seen.setdefault(word.text, word)) is not word:
                before = "" if first.line is None else f" on line {first.line}"
                raise DataError(f"{self.where(word)}: {word.text!r} already stands{before}; keep one of the two.")
            self.words.append(word)
        if not self.words:
            raise DataError(f"{source}: holds no hot words; write a word or phrase per line.")

    def where(self, word: HotWord) -> str:
        """Return the place of `word` for a message."""
        return self.source if word.line is None else f"{self.source} line {word.line}"

    @classmethod
    def read(cls, path: str | Path) -> HotWords:
        """Read a file; the module's docstring says what it looks like.

        Raises:
            DataError: the file is missing, empty or not UTF-8 text, or a line is wrong; the message names the line.
        """
        lines = lines_of(without_ignored(read_text(path, "give a text file of hot words")))
        found = []
        for number, text in enumerate(lines, start=1):
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            _refuse_sherpa(text, f"{path} line {number}")
            columns = text.split("\t")
            try:
                weight = float(columns[1]) if len(columns) > 1 and columns[1].strip() else 1.0
            except ValueError:
                weight = math.nan
            if len(columns) > 2:
                raise DataError(f"{path} line {number}: has {len(columns)} columns; write `word or phrase<TAB>weight`.")
            found.append(HotWord(columns[0], weight, number))
        return cls(found, str(path))

    def spelled(self, tokens: Tokens, lexicon: Lexicon | None = None) -> dict[tuple[int, ...], float]:
        """Return the spellings in letters (`Letters` of the tokens: of pieces of words their characters), with weights.

        Args:
            tokens: token set of the model's head.
            lexicon: needed where the tokens are phones; all pronunciations of a word count.

        Raises:
            ConfigError: the tokens are phones and there is no lexicon.
            DataError: a hot word cannot be spelled in the tokens, or the lexicon does not hold one of its words.
        """
        pronunciations: dict[str, list[str]] = {}
        if spells_phones(tokens.units):
            if lexicon is None:
                raise ConfigError(
                    f"{self.source}: the tokens of the model are phones, so that hot words need pronunciations; "
                    "give a lexicon that holds them."
                )
            lexicon.check(tokens.symbols[1:])
            for entry in lexicon:
                pronunciations.setdefault(entry.word, []).append(" ".join(entry.phones))
        found: dict[tuple[int, ...], float] = {}
        letters = Letters(tokens)
        for word in self.words:
            texts = [word.text]
            if lexicon is not None and spells_phones(tokens.units):
                texts = list(self._pronounced(word, pronunciations, lexicon.source))
            for text in texts:
                where = f"{self.where(word)}: the hot word {word.text!r}"
                spelling = letters.spell(text, where, "hot word")
                found[spelling] = max(word.weight, found.get(spelling, -math.inf))
        return found

    def _pronounced(self, word: HotWord, pronunciations: dict[str, list[str]], source: str) -> Iterable[str]:
        if word.text in pronunciations:
            return pronunciations[word.text]
        parts = words_of(word.text)
        if (unknown := next((part for part in parts if part not in pronunciations), None)) is not None:
            raise DataError(
                f"{self.where(word)}: {source} does not hold the word {unknown!r}; add its pronunciation."
                f"{nearest_hint(unknown, pronunciations) if len(pronunciations) < 20_000 else ''}"
            )
        return map(" ".join, itertools.product(*(pronunciations[part] for part in parts)))

    def boosted(self, lexicon: Lexicon, hot_weight: float) -> Lexicon:
        """Return a lexicon in which the entries of hot words have the bonus that they would get in an open search.

        That is the same for every spelling in pieces.

        Raises:
            DataError: the lexicon does not hold a hot word; here a phrase must be an entry of its own.
        """
        # Whichever apostrophe they are written with.
        weights = {marked(word.text): hot_weight * word.weight for word in self.words}
        held = set(map(marked, lexicon.words))
        if (missing := next((word for word in self.words if marked(word.text) not in held), None)) is not None:
            raise DataError(
                f"{self.where(missing)}: {lexicon.source} does not hold {missing.text!r}; add it with its "
                "pronunciation."
            )
        return Lexicon(
            (
                replace(
                    e, weight=e.weight + weights.get(marked(e.word), 0.0) * len(e.word if e.in_pieces else e.phones)
                )
                for e in lexicon
            ),
            lexicon.source,
        )


def _refuse_sherpa(text: str, where: str) -> None:
    """Refuse a line as sherpa-onnx reads it: words or their pieces, `:SCORE`, `#THRESHOLD`, `@NAME`.

    Raises:
        DataError: it is one; the message says how to write it here.
    """
    found = [mark[0] for mark in map(_SHERPA_MARK.fullmatch, words_of(text)[1:]) if mark]
    pieced = MARK in text
    if not found and not pieced:
        return
    plain = [part for part in words_of(text) if part not in found]
    words = single_spaced("".join(plain).replace(MARK, " ") if pieced else " ".join(plain))
    marks = [f"{mark!r} is its {_SHERPA_NAMES[mark[0]]}" for mark in found] + ["`▁` begins its words"] * pieced
    raise DataError(
        f"{where}: is written as sherpa-onnx reads hot words ({', '.join(marks)}); write `{words}` here, and behind a "
        "tab its weight where it is not 1, a factor of `search.hot_weight`."
    )


class Automaton:
    """Finds spellings in a sequence of letters (`Letters`). Node 0 stands for nothing matched.

    Args:
        spellings: letters and weight of each.
        letters: number of letters.
        space: the letter that separates words, -1 for none. With it a spelling must begin and end at a word's edge.

    Attributes:
        start: the node at the beginning of a text.
        potential: (nodes,) bonus that is given back unless a spelling is completed.
        kept: (nodes,) bonus of the spellings completed on arrival.
        column: (letters,) column of each letter in `table`.
        table: (nodes, columns) the next node.
    """

    def __init__(self, spellings: dict[tuple[int, ...], float], letters: int, space: int = -1) -> None:
        used = sorted({index for spelling in spellings for index in spelling} | ({space} if space >= 0 else set()))
        self.column: Integers = np.zeros(letters, dtype=np.int64)
        self.column[used] = np.arange(1, len(used) + 1)
        edge = (space,) if space >= 0 else ()
        children: list[dict[int, int]] = [{}]
        pending, kept = [0.0], [0.0]
        for spelling, weight in spellings.items():
            node, framed = 0, (*edge, *spelling, *edge)
            for depth, index in enumerate(framed, start=1):
                if index not in children[node]:
                    children[node][index] = len(children)
                    children.append({})
                    pending.append(0.0)
                    kept.append(0.0)
                node = children[node][index]
                if depth < len(framed):
                    pending[node] = max(pending[node], weight * (depth - len(edge)))
            kept[node] = weight * len(spelling)
        self.table: Integers = np.zeros((len(children), len(used) + 1), dtype=np.int64)
        queue = [(child, 0) for child in children[0].values()]
        for index, child in children[0].items():
            self.table[0, self.column[index]] = child
        for node, fail in queue:  # grows as it goes: nodes by depth
            pending[node] = max(pending[node], pending[fail])
            kept[node] += kept[fail]
            self.table[node] = self.table[fail]
            for index, child in children[node].items():
                queue.append((child, int(self.table[fail, self.column[index]])))
                self.table[node, self.column[index]] = child
        self.potential: Floats = np.array(pending)
        self.kept: Floats = np.array(kept)
        self.start = children[0].get(space, 0) if space >= 0 else 0

    def bonus(self, text: Sequence[int], space: int = -1) -> float:
        """Return the bonus of a whole text, single spaces between its words."""
        node, total = self.start, 0.0
        for index in (*text, *([space] if space >= 0 else [])):
            node = int(self.table[node, self.column[index]])
            total += float(self.kept[node])
        return total
