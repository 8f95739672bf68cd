"""A language model of letters: unpruned the search equals going through all paths and scoring each text by itself."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import pytest
import torch

from asr_transfer.data.texts import spelled
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.biasing import PrefixSearch
from asr_transfer.decoding.hot_words import HotWord, HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import DataError

TEXTS = ["ab a", "b ab ab", "ba", "a", "ab a b"]
MODEL = NgramModel.from_texts(map(spelled, TEXTS), 4)
TOKENS = {
    "letters": Tokens([" ", "a", "b"]),
    "pieces": Tokens.from_texts(["ab ab", "b a", "abab"], "subwords", 7),
    "no space": Tokens(["a", "b", "c"]),
}
EXACT = SearchConfig(beam=1_000_000, beam_threshold=math.inf, lm_weight=0.7, word_score=1.3, hot_weight=0.0)


def _speech(frames: int, tokens: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(frames, tokens, generator=generator, dtype=torch.float64)).log_softmax(-1)


def _expected(log_probs: torch.Tensor, tokens: Tokens, config: SearchConfig) -> dict[str, float]:
    """Return the score of every text, from all paths and from the language model of whole texts."""
    total: dict[str, float] = defaultdict(float)
    for path in itertools.product(range(len(tokens)), repeat=len(log_probs)):
        text = tokens.decode([index for index, _ in itertools.groupby(path)])
        total[text] += math.exp(sum(float(log_probs[t, index]) for t, index in enumerate(path)))
    words = 0.0 if " " not in tokens.alphabet else config.word_score
    return {
        text: math.log(p) + config.lm_weight * MODEL.sentence(spelled(text).split()) + words * len(text.split())
        for text, p in total.items()
    }


@pytest.mark.parametrize("frames", [0, 1, 3, 5])
@pytest.mark.parametrize("name", TOKENS)
def test_unpruned_it_equals_an_enumeration_of_all_paths(name: str, frames: int) -> None:
    tokens = TOKENS[name]
    speech = _speech(frames, len(tokens), frames)
    search = PrefixSearch(tokens, EXACT, model=MODEL)
    found = search.best_texts(speech[None], torch.tensor([frames]), 100_000)[0]
    assert {one.text: pytest.approx(one.score, abs=1e-9) for one in found} == _expected(speech, tokens, EXACT)


def test_a_pruned_search_finds_the_best_text() -> None:
    tokens = TOKENS["letters"]
    narrow = SearchConfig(beam=30, lm_weight=0.7, word_score=1.3)
    speech = torch.stack([_speech(8, len(tokens), seed) for seed in range(10)])
    found, exact = (
        [best[0].text for best in PrefixSearch(tokens, config, model=MODEL).best_texts(speech, torch.full((10,), 8))]
        for config in (narrow, EXACT)
    )
    assert found == exact


def test_hot_words_are_added() -> None:
    tokens, hot = TOKENS["letters"], HotWords([HotWord("ba", 2.0)])
    speech = _speech(5, len(tokens), 3)
    config = SearchConfig(beam=1_000_000, beam_threshold=math.inf, lm_weight=0.7, word_score=1.3, hot_weight=0.5)
    found = PrefixSearch(tokens, config, hot, model=MODEL).best_texts(speech[None], torch.tensor([5]), 100_000)[0]
    expected = {
        text: score + 2 * 2.0 * 0.5 * text.split().count("ba")
        for text, score in _expected(speech, tokens, EXACT).items()
    }
    assert {one.text: pytest.approx(one.score, abs=1e-9) for one in found} == expected


@pytest.mark.parametrize(
    ("texts", "name", "message"),
    [
        (["some words", "more"], "letters", "which the model does not write as single letters.*--letters true"),
        (["A B ▁"], "letters", "lists 'A', 'B', which the model does not write"),
        (["a b"], "letters", "does not list '▁', which ends every word"),
    ],
)
def test_models_of_other_things_are_refused(texts: list[str], name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        PrefixSearch(TOKENS[name], model=NgramModel.from_texts(texts, 2))


def test_a_lacking_letter_is_named() -> None:
    model = NgramModel([{("a",): (-0.3, 0.0), ("c",): (-0.3, 0.0), ("</s>",): (-0.5, 0.0)}])
    with pytest.raises(DataError, match="does not list the letter 'b' and has no `<unk>`"):
        PrefixSearch(TOKENS["no space"], model=model)
