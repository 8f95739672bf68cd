"""Writes a lexicon as a graph of CTC's tokens, in OpenFst's binary format, as sherpa-onnx searches it.

Labels that are heard are tokens counted from 1, since 0 hears nothing; labels that are written are words from 1.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

_MAGIC = 2125659606
_BLANK = 0
_NEVER = float("inf")


@dataclass
class WordGraph:
    """States with arcs between them; the first one is where a recording begins.

    Attributes:
        arcs: for each state its arcs: label heard, label written, cost, and the state that follows.
        costs: for each state the cost of ending there; infinite where none may.
    """

    arcs: list[list[tuple[int, int, float, int]]] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def state(self, cost: float = _NEVER) -> int:
        """Add a state and return its number."""
        self.arcs.append([])
        self.costs.append(cost)
        return len(self.arcs) - 1

    def hear(self, first: int, token: int, following: int, word: int = 0, cost: float = 0.0) -> None:
        """Add an arc on which a token is heard."""
        self.arcs[first].append((token + 1, word, cost, following))

    def binary(self) -> bytes:
        """Return the content of a file."""
        head = struct.pack("<i", _MAGIC) + _text("vector") + _text("standard")
        parts = [head, struct.pack("<iiQqqq", 2, 0, 3, 0, len(self.arcs), sum(map(len, self.arcs)))]
        for arcs, cost in zip(self.arcs, self.costs, strict=True):
            parts.append(struct.pack("<fq", cost, len(arcs)))
            parts += [struct.pack("<iifi", *arc) for arc in arcs]
        return b"".join(parts)


def word_graph(words: Sequence[Sequence[int]], costs: Sequence[float], space: int | None, sentences: bool) -> WordGraph:
    """Return a graph of words.

    Args:
        words: tokens of each word.
        costs: cost of each, such as the negative logarithm of its share of what is said.
        space: token between words; None where a blank divides them.
        sentences: whether a recording is some words after each other instead of a single one.
    """
    graph = WordGraph()
    begin = graph.state()
    graph.hear(begin, _BLANK, begin)
    if sentences and space is not None:
        between, rest = graph.state(0.0), graph.state(0.0)  # it may stand at the end too
        graph.hear(between, space, between)
        graph.hear(between, _BLANK, rest)
        graph.hear(rest, _BLANK, rest)
        for state in (between, rest):
            graph.arcs[state].append((0, 0, 0.0, begin))
    for number, (tokens, cost) in enumerate(zip(words, costs, strict=True), start=1):
        before: list[tuple[int, int]] = [(begin, -1)]
        for place, token in enumerate(tokens):
            end = 0.0 if place == len(tokens) - 1 else _NEVER
            inside, behind = graph.state(end), graph.state(end)
            for state, last in before:
                if last != token:  # the same one again is heard only behind a blank
                    graph.hear(state, token, inside, *((number, cost) if place == 0 else ()))
            graph.hear(inside, token, inside)
            graph.hear(inside, _BLANK, behind)
            graph.hear(behind, _BLANK, behind)
            before = [(inside, token), (behind, -1)]
        if sentences and space is None:
            graph.hear(before[0][0], _BLANK, begin)
        elif sentences and space is not None:
            for state, _ in before:
                graph.hear(state, space, between)
    return graph


def _text(name: str) -> bytes:
    return struct.pack("<i", len(name)) + name.encode()
