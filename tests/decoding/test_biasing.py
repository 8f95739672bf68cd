"""Hot words: unpruned the search equals going through all paths, and what is not completed gives its bonus back."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from asr_transfer.data.lexicon import Entry, Lexicon, spelled_lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.biasing import PrefixSearch, Spelling
from asr_transfer.decoding.greedy import greedy
from asr_transfer.decoding.hot_words import Automaton, HotWord, HotWords
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import ConfigError, DataError, ModelError

LETTERS = Tokens([" ", "a", "b"])
PHONES = Tokens(["a", "b", "c"], "phones")
PIECES = Tokens.from_texts(["ab ab", "b a", "abab"], "subwords", 7)
LEXICON = Lexicon.from_pairs([("x", "a b"), ("x", "c"), ("y", "b b"), ("x y", "c c")])
HOT = {
    "letters": (LETTERS, None, [HotWord("ab", 0.7), HotWord("a b", 1.3), HotWord("b"), HotWord("aba", -0.4)]),
    "pieces": (PIECES, None, [HotWord("ab", 0.7), HotWord("a b", 1.3), HotWord("b"), HotWord("aba", -0.4)]),
    "phones": (PHONES, LEXICON, [HotWord("x", 0.7), HotWord("y x", 0.9), HotWord("x y", -0.3)]),
}


def _search(name: str, weight: float | None, **settings: float) -> PrefixSearch:
    tokens, lexicon, words = HOT[name]
    config = SearchConfig(**{"beam": 1_000_000, "beam_threshold": math.inf, **settings}, hot_weight=weight or 0.0)  # type: ignore[arg-type]
    return PrefixSearch(tokens, config, None if weight is None else HotWords(words), lexicon)


def _speech(frames: int, tokens: int, seed: int = 0, sharpness: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(frames, tokens, generator=generator, dtype=torch.float64)).log_softmax(-1)


def _found(search: PrefixSearch, log_probs: torch.Tensor, n: int = 100_000) -> list[Spelling]:
    return search.best_texts(log_probs[None], torch.tensor([len(log_probs)]), n)[0]


def _enumerated(log_probs: torch.Tensor, tokens: Tokens) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for path in itertools.product(range(len(tokens)), repeat=len(log_probs)):
        text = tokens.decode([index for index, _ in itertools.groupby(path)])
        total[text] += math.exp(sum(float(log_probs[t, index]) for t, index in enumerate(path)))
    return {text: math.log(p) for text, p in total.items()}


def _bonus(name: str, text: str) -> float:
    """Return the bonus by counting every occurrence of every spelling: of pieces, too, by letters."""
    _, lexicon, words = HOT[name]
    spellings: dict[str, float] = {}
    for word in words:
        texts = [word.text]
        if lexicon is not None:
            texts = {"x": ["a b", "c"], "y x": ["b b a b", "b b c"], "x y": ["c c"]}[word.text]
        spellings.update(dict.fromkeys(texts, word.weight))
    edged = f" {text} "
    total = 0.0
    for spelling, weight in spellings.items():
        length = len(spelling) if lexicon is None else len(spelling.split())
        total += weight * length * sum(edged[n:].startswith(f" {spelling} ") for n in range(len(edged)))
    return total


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("name", HOT)
@pytest.mark.parametrize("weight", [None, 0.8, -0.5])
def test_unpruned_it_equals_an_enumeration_of_all_paths(name: str, frames: int, weight: float | None) -> None:
    speech = _speech(frames, len(HOT[name][0]), seed=frames)
    found = _found(_search(name, weight), speech)
    expected = {
        text: score + (weight or 0.0) * _bonus(name, text) for text, score in _enumerated(speech, HOT[name][0]).items()
    }
    assert {s.text: pytest.approx(s.score, abs=1e-9) for s in found} == expected
    assert len({s.text for s in found}) == len(found)
    for spelling in found:
        assert spelling.bonus == pytest.approx((weight or 0.0) * _bonus(name, spelling.text), abs=1e-9)
        assert HOT[name][0].decode(spelling.labels) == spelling.text
    assert sum(s.posterior for s in found) == pytest.approx(1)


@pytest.mark.parametrize("name", HOT)
@pytest.mark.parametrize("beam", [3, 40])
def test_with_a_weight_of_0_it_is_the_search_without_hot_words(name: str, beam: int) -> None:
    for seed in range(5):
        speech = _speech(30, len(HOT[name][0]), seed)
        plain = _found(_search(name, None, beam=beam, beam_threshold=12.0), speech, 10)
        assert _found(_search(name, 0.0, beam=beam, beam_threshold=12.0), speech, 10) == plain


def test_sharp_posteriors_give_the_greedy_text() -> None:
    speech = _speech(40, 4, seed=1, sharpness=20.0)
    labels = greedy(speech[None], torch.tensor([40]))[0]
    assert _found(_search("letters", None, beam=20), speech, 1)[0].text == LETTERS.decode(labels)


def test_a_hot_word_is_found_however_it_is_cut_into_pieces() -> None:
    assert PIECES.symbols[1:] == ["▁ab", "b", "▁", "a", "ab", "▁a"]
    search = _search("pieces", 1.0)
    for labels in ([1, 4], [6, 2, 4], [3, 4, 2, 4], [3, 5, 4], [5, 4]):  # ▁ab a, ▁a b a, ▁ a b a, ▁ ab a, ab a
        logits = torch.zeros(2 * len(labels), len(PIECES), dtype=torch.float64)
        logits[::2, 0] = logits[range(1, 2 * len(labels), 2), labels] = 40.0
        best = _found(search, logits.log_softmax(-1), 1)[0]
        assert (best.text, best.labels) == ("aba", tuple(n for n in labels if n != 3) if 3 in labels else tuple(labels))
        assert best.bonus == pytest.approx(-0.4 * 3)


def test_hot_words_are_recognised_as_words_only() -> None:
    tokens = Tokens([" ", *"abcdefghijklmnopqrstuvwxyz"])

    def heard(text: str, doubt: str, hot: list[str]) -> str:
        """Say `text`; each letter of `doubt` is almost as likely as the one in its place."""
        logits = torch.zeros(2 * len(text), len(tokens), dtype=torch.float64)
        logits[::2, 0] = 12.0
        for n, (sure, other) in enumerate(zip(text, doubt, strict=True)):
            logits[2 * n + 1, tokens.symbols.index(sure)] = 12.0
            logits[2 * n + 1, tokens.symbols.index(other)] += 11.5 if other != sure else 0.0
        search = PrefixSearch(tokens, SearchConfig(beam=50), HotWords(hot) if hot else None)
        return _found(search, logits.log_softmax(-1), 1)[0].text

    assert heard("mister tibbits called", "mister tibbets called", []) == "mister tibbits called"
    assert heard("mister tibbits called", "mister tibbets called", ["tibbets"]) == "mister tibbets called"
    assert heard("mister tibbits", "mister tibbets", ["tibbets"]) == "mister tibbets"
    assert heard("tibbits called", "tibbets called", ["tibbets called"]) == "tibbets called"
    # Neither the beginning, nor the end, nor an unfinished phrase counts.
    for hot in ("tibbetson", "ibbets", "tibbet", "tibbets came"):
        assert heard("mister tibbits called", "mister tibbets called", [hot]) == "mister tibbits called"


def test_an_automaton_counts_overlapping_words() -> None:
    automaton = Automaton({(1, 2): 1.0, (2, 1): 10.0, (2,): 100.0, (1, 2, 1): 1000.0}, 4)
    assert automaton.bonus([1, 2, 1]) == 2 + 20 + 100 + 3000
    assert automaton.bonus([1, 1, 2, 3, 2]) == 2 + 100 + 100
    assert automaton.bonus([]) == 0


def test_boosting_a_lexicon_gives_the_same_bonus() -> None:
    lexicon = Lexicon([Entry("x", ("a", "b"), -0.5), Entry("x", ("c",)), Entry("y", ("b",))])
    boosted = HotWords([HotWord("x", 2.0)]).boosted(lexicon, 0.5)
    assert [entry.weight for entry in boosted] == [1.5, 1.0, 0.0]
    pieces = HotWords(["aba"]).boosted(spelled_lexicon(["aba", "b"], PIECES), 0.5)
    letters = HotWords(["aba"]).boosted(Lexicon.from_pairs([("aba", "a b a"), ("b", "b")]), 0.5)
    assert len(pieces[0].phones) == 2
    assert [entry.weight for entry in pieces] == [entry.weight for entry in letters] == [1.5, 0.0]
    with pytest.raises(DataError, match="does not hold 'z'"):
        HotWords(["z"]).boosted(lexicon, 1.0)


def test_a_file_of_hot_words(tmp_path: Path) -> None:
    path = tmp_path / "hot.txt"
    path.write_bytes("\ufeff# names\r\n\r\ntibbets\r\nnew  york\t2.5\r\ncafe\u0301\t\r\n".encode())
    assert HotWords.read(path).words == [
        HotWord("tibbets", 1.0, 3),
        HotWord("new york", 2.5, 4),
        HotWord("caf\u00e9", 1.0, 5),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n", "holds no hot words"),
        (b"a\nb\tmany\n", "line 2: the weight of 'b' is no finite number"),
        (b"a\nb\tinf\n", "line 2: the weight of 'b' is no finite number"),
        (b"a\t1\t2\n", "line 1: has 3 columns"),
        (b"a b\nc\na  b\t2\n", "line 3: 'a b' already stands on line 1"),
        (b"\t2\n", "line 1: the hot word is empty"),
        (b"a\n\xff\n", "line 2: is not UTF-8 text"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "hot.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        HotWords.read(path)


def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file; give a text file of hot words"):
        HotWords.read(tmp_path / "none.txt")
    with pytest.raises(DataError, match="line 4: the hot word 'z': 'z' cannot be spelled.*; rewrite the hot word"):
        PrefixSearch(LETTERS, None, HotWords([HotWord("z", 1.0, 4)], "hot.txt"))
    with pytest.raises(ConfigError, match="need pronunciations"):
        PrefixSearch(PHONES, None, HotWords(["x"]))
    with pytest.raises(DataError, match="does not hold the word 'q'"):
        PrefixSearch(PHONES, None, HotWords(["x q"]), LEXICON)
    search = PrefixSearch(PHONES)
    with pytest.raises(ModelError, match="made for 4 tokens"):
        search.best_texts(torch.zeros(1, 3, 5), torch.tensor([3]))
    with pytest.raises(ConfigError, match="at least 1"):
        search.best_texts(torch.zeros(1, 3, 4), torch.tensor([3]), 0)
