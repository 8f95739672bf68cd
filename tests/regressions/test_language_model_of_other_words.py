"""A language model that lists none or few of a lexicon's words: how many of how many is said, and a guess why."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest

from asr_transfer.data.lexicon import Lexicon, spelled_lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import DataError
from asr_transfer.remarks import Remark

LETTERS = Tokens([" ", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"])
WORDS = ["turn", "off", "the", "lamp"]


def _search(words: Sequence[str], texts: Sequence[str]) -> SentenceSearch:
    model = NgramModel.from_texts(texts)
    model.source = "my.arpa"
    return SentenceSearch(spelled_lexicon(words, LETTERS, "words.txt"), LETTERS, model=model)


@pytest.mark.parametrize(
    ("words", "texts", "message"),
    [
        (WORDS, ["TURN OFF THE LAMP"], "it lists 4 of them in capitals"),
        (["TURN", "OFF"], ["turn off"], "it lists 2 of them in lower case"),
        (WORDS, ["выключи лампу"], "its words are in another script"),
        (WORDS, ["t u r n", "o f f"], "it seems to be of phones or letters"),
        (WORDS, ["▁tu rn ▁of f"], "it is of pieces of words"),
        (WORDS, ["mach das licht aus"], "its words, such as 'aus', 'das', 'licht', seem to be of another language"),
    ],
)
def test_none_is_refused_with_a_guess(words: Sequence[str], texts: Sequence[str], message: str) -> None:
    with pytest.raises(DataError, match=rf"^my\.arpa: lists none of the {len(words)} words of words\.txt; {message}"):
        _search(words, texts)


def test_a_model_of_phones_is_told_by_the_lexicons_phones() -> None:
    lexicon = Lexicon.from_pairs([("turn", "tt er nn"), ("off", "ao ff")])
    model = NgramModel.from_texts(["tt er nn", "ao ff"])
    with pytest.raises(DataError, match="it seems to be of phones or letters"):
        SentenceSearch(lexicon, Tokens(["tt", "er", "nn", "ao", "ff"], "phones"), model=model)


def test_few_are_told_and_enough_are_not() -> None:
    with pytest.warns(Remark, match=r"my\.arpa: lists 1 of the 4 words of words\.txt"):
        _search(WORDS, ["turn around", "turn back"])
    with pytest.warns(Remark, match="lists 1 of the 4 words .* it lists 3 of them in capitals"):
        _search(WORDS, ["turn OFF THE LAMP"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _search(WORDS, ["turn off the light"])
        # A phrase counts with each of its words.
        phrase = Lexicon.from_pairs([("new york", "n e w y o r k")])
        SentenceSearch(phrase, LETTERS, model=NgramModel.from_texts(["new york"]))


def test_decomposed_words_of_a_model_are_those_of_the_lexicon(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("nfd")
    NgramModel.from_texts(["cafe\u0301 noir"]).write(folder / "nfd.arpa")
    assert "caf\u00e9" in NgramModel.read(folder / "nfd.arpa")
