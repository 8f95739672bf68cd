"""Hot words pull what is written token after token: exactly by their bonus, and unfinished ones give theirs back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.decoding.hot_words import HotWord, HotWords
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.sequence import Spelled, Vocabulary, write_greedily
from asr_transfer.decoding.sequence_beam import write_by_beam
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.decoding.token_bias import START, TokenBias
from tests.models.pretrained.whole_whisper import features, mark, tokenizer, write_whisper
from tests.real_runs import ROOT

REAL = ROOT.parent / "shared" / "models" / "whisper-tiny"

# A tiny vocabulary: `_a` begins a word, `b` and `c` go on with one, `,` stands alone; the end is the last.
A, B, C, COMMA, END = range(5)
STARTS = torch.tensor([True, False, False, True, True])
ENDS = torch.tensor([False, False, False, True, True])
SPELLINGS = {(A,): 0.5, (A, B): 1.0, (A, B, A, C): 0.75, (B, C): 2.0, (COMMA, A): -1.0}
LONGEST = 4


def _bonus(text: Sequence[int]) -> float:
    """Return the bonus of a whole text, by looking at every place of it."""

    def edge(place: int) -> bool:
        return place in (0, len(text)) or bool(ENDS[text[place - 1]]) or bool(STARTS[text[place]])

    total = 0.0
    for end in range(1, len(text) + 1):
        found = [
            bonus * len(spelling)
            for spelling, bonus in SPELLINGS.items()
            if tuple(text[end - len(spelling) : end]) == spelling and len(spelling) <= end and edge(end - len(spelling))
            and all(edge(end - n) == _inner(spelling, len(spelling) - n) for n in range(1, len(spelling)))
        ]  # fmt: skip
        if found and edge(end):
            total += max(found)
    return total


def _inner(spelling: Sequence[int], place: int) -> bool:
    return bool(ENDS[spelling[place - 1]]) or bool(STARTS[spelling[place]])


class _State:
    """The tokens so far, as the hand-made model's state."""

    def __init__(self, count: int) -> None:
        self.texts: list[list[int]] = [[] for _ in range(count)]
        self.length = 0

    def pick(self, rows: torch.Tensor) -> None:
        self.texts = [list(self.texts[row]) for row in rows.tolist()]

    keep = pick


class _Handmade:
    """A model whose logits are a table by the last token and the length of the text."""

    def __init__(self, seed: int) -> None:
        self.table = torch.randn(LONGEST + 1, END + 1, END + 1, generator=torch.Generator().manual_seed(seed))

    def begin(self, states: torch.Tensor) -> _State:
        return _State(len(states))

    def follow(self, tokens: torch.Tensor, state: _State) -> torch.Tensor:
        state.length += tokens.shape[1]
        for text, token in zip(state.texts, tokens.tolist(), strict=True):
            text += token
        rows = [self.table[min(len(text) - 1, LONGEST), text[-1]] for text in state.texts]
        return torch.stack(rows)[:, None]

    def log_probability(self, text: Sequence[int]) -> float:
        so_far, total = [END], 0.0
        for token in (*text, END):
            total += float(self.table[min(len(so_far) - 1, LONGEST), so_far[-1]].log_softmax(-1)[token])
            so_far.append(token)
        return total


def _search(model: _Handmade, bias: TokenBias | None, beam: int, limit: int = LONGEST + 1) -> list[Spelled]:
    vocabulary, arguments = Vocabulary(nn.Identity(), END), (torch.zeros(2, 1, 1), [[END], [END]], [limit] * 2)
    if beam == 1:
        return write_greedily(model, vocabulary, *arguments, bias=bias)  # type: ignore[arg-type]
    return write_by_beam(model, vocabulary, *arguments, beam, bias=bias)  # type: ignore[arg-type]


def _bias(weight: float = 1.0) -> TokenBias:
    return TokenBias({spelling: weight * bonus for spelling, bonus in SPELLINGS.items()}, STARTS, ENDS)


def test_the_gains_of_a_texts_tokens_add_up_to_its_bonus() -> None:
    bias = _bias()
    for length in range(6):
        for text in itertools.product((A, B, C, COMMA), repeat=length):
            place, total = START, 0.0
            for token in text:
                total += float(bias.gains([place])[0, token])
                place = bias.after(place, token)
            ended = total + float(bias.gains([place])[0, END])
            assert ended == pytest.approx(_bonus(text), abs=1e-5), text
            assert total + bias.at_end(place) == pytest.approx(ended, abs=1e-5), text


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_best_of_all_texts(seed: int) -> None:
    model, bias = _Handmade(seed), _bias()
    texts = [text for n in range(LONGEST) for text in itertools.product((A, B, C, COMMA), repeat=n)]
    # Nothing longer is asked for: a limit would let unfinished texts in.
    model.table[LONGEST - 1 :, :, :END] = -math.inf
    scores = {text: (model.log_probability(text) + _bonus(text)) / (len(text) + 1) for text in texts}
    best = max(scores, key=lambda text: scores[text])
    for found in _search(model, bias, 2000):
        assert found.tokens == best and found.ended
        assert found.log_probability == pytest.approx(model.log_probability(best), abs=1e-4)
        assert found.bonus == pytest.approx(_bonus(best), abs=1e-4)


@pytest.mark.parametrize("beam", [1, 2, 7])
def test_weight_0_is_the_search_without_and_another_is_not(beam: int) -> None:
    differing = 0
    for seed in range(5):
        model = _Handmade(seed)
        without, none = _search(model, None, beam), _search(model, _bias(0.0), beam)
        assert none == without
        differing += _search(model, _bias(3.0), beam) != without
    assert differing > 0


@pytest.mark.parametrize("beam", [1, 4])
def test_weight_0_is_the_search_without_on_a_whisper(tmp_path: Path, beam: int) -> None:
    write_whisper(tmp_path / "published", 3)
    recogniser = Recogniser.load(tmp_path / "published")
    assert isinstance(recogniser.tokens, BytePairTokens)
    recogniser.writing = WritingConfig(beam=beam, no_speech=1.0)

    def texts() -> list[str]:
        written = recogniser.writer().write(features(3, 1), torch.full((3,), 200), [1.0] * 3, ["en"] * 3)
        return [one.text for one in written]

    plain = texts()
    words = HotWords(["tibbets"])
    recogniser.bias = TokenBias.of(words, recogniser.tokens, 0.0)
    assert texts() == plain
    recogniser.bias = TokenBias.of(words, recogniser.tokens, 40.0)
    assert all("tibbets" in text.lower() for text in texts()) and "tibbets" not in "".join(plain).lower()


def test_a_greedy_text_that_is_broken_off_keeps_no_bonus_of_an_unfinished_word() -> None:
    model = _Handmade(0)
    model.table[:] = 0
    model.table[:, :, A] = 5
    (found, _) = _search(model, TokenBias({(A, B): 1.0}, STARTS, ENDS), 1, limit=3)
    assert found.tokens == (A, A, A) and found.bonus == pytest.approx(0)


def test_words_are_found_whole_as_listed_and_with_capitals() -> None:
    tokens = BytePairTokens(tokenizer().encode())
    bias = TokenBias.of(HotWords([HotWord("new york", 2.0), HotWord("Ann"), HotWord("水")]), tokens, 0.5)

    def bonus(text: str) -> float:
        place, total = START, 0.0
        for token in (*tokens._spelled(text, False), mark("endoftext")):
            total += float(bias.gains([place])[0, token])
            place = bias.after(place, token)
        return total

    assert bonus("new york") == pytest.approx(8.0)
    assert bonus("in New York, perhaps") == pytest.approx(9.0)  # its space is a token too
    assert bonus("Ann") == pytest.approx(1.5)
    for text in ("new yorker", "anew york", "new", "new yo", "ann", "Annie", "Joann"):
        assert bonus(text) == pytest.approx(0), text


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/models")
def test_real_tokens_begin_and_end_words_where_a_reader_would_say_so() -> None:
    tokens = BytePairTokens((REAL / "tokenizer.json").read_bytes())
    bias = TokenBias.of(HotWords(["tibbets", "水", "O'Brien"]), tokens, 1.0)

    def bonus(text: str, spaced: bool = True) -> float:
        place, total = START, 0.0
        for token in (*tokens._spelled(text, spaced), tokens.end):
            total += float(bias.gains([place])[0, token])
            place = bias.after(place, token)
        return total

    assert bonus("Tibbets") == len(tokens._spelled("Tibbets", True))
    assert bonus("it was tibbets, not") == len(tokens._spelled("tibbets", True))
    assert bonus("(Tibbets)") == len(tokens._spelled("Tibbets", False))
    assert bonus("O'Brien") > 0 and bonus("喝水吧", False) > 0
    assert bonus("tibbetsville") == bonus("brien") == 0
