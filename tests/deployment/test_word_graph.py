"""A graph of words takes what CTC would turn into them, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from asr_transfer.deployment.word_graph import WordGraph, word_graph

SPACE, WORDS = 3, [[1], [1, 2], [2, 2]]


def taken(graph: WordGraph, frames: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Return the words that a graph writes for the tokens of frames; none where it does not take them."""
    states: set[tuple[int, tuple[int, ...]]] = {(0, ())}

    def unheard(found: set[tuple[int, tuple[int, ...]]]) -> set[tuple[int, tuple[int, ...]]]:
        return found | {(to, said) for state, said in found for heard, _, _, to in graph.arcs[state] if heard == 0}

    for token in frames:
        states = unheard(states)
        states = {
            (to, (*said, word) if word else said)
            for state, said in states
            for heard, word, _, to in graph.arcs[state]
            if heard == token + 1
        }
    return {said for state, said in states if graph.costs[state] == 0.0}


def collapsed(frames: tuple[int, ...]) -> list[int]:
    """Return the tokens that CTC makes of those of frames."""
    return [token for token, _ in itertools.groupby(frames) if token]


@pytest.mark.parametrize("count", range(1, 7))
def test_a_single_word_is_taken_as_ctc_spells_it(count: int) -> None:
    graph = word_graph(WORDS, [0.0] * 3, SPACE, sentences=False)
    for frames in itertools.product(range(3), repeat=count):
        spelled = collapsed(frames)
        assert taken(graph, frames) == ({(WORDS.index(spelled) + 1,)} if spelled in WORDS else set()), frames


@pytest.mark.parametrize("count", range(1, 7))
def test_a_sentence_is_words_with_spaces_between(count: int) -> None:
    graph = word_graph(WORDS, [0.0] * 3, SPACE, sentences=True)
    for frames in itertools.product(range(4), repeat=count):
        text = "".join(map(str, collapsed(frames)))
        parts = text.removesuffix("3").split("3")
        known = ["1", "12", "22"]
        wanted = {tuple(known.index(part) + 1 for part in parts)} if set(parts) <= set(known) else set()
        assert taken(graph, frames) == wanted, frames


def test_without_a_space_a_blank_divides_words() -> None:
    graph = word_graph(WORDS, [0.0] * 3, None, sentences=True)
    assert taken(graph, (1, 0, 1, 0)) == {(1, 1)} and taken(graph, (1, 1)) == {(1,)}
    assert taken(graph, (2, 0, 2, 0, 1)) == {(3, 1)}


def test_costs_stand_on_a_words_first_arc_and_the_file_has_its_header() -> None:
    graph = word_graph([[1, 2]], [1.5], None, sentences=False)
    assert [arc for arcs in graph.arcs for arc in arcs if arc[1]] == [(2, 1, 1.5, 1)]
    assert graph.binary()[8:14] == b"vector" and len(graph.binary()) > 100
