"""Words of lexica, lists and language models match texts that are cleaned: no marks of direction, any apostrophe."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.commands.lm import make_model, write_words
from asr_transfer.data.lexicon import Lexicon, read_for
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import DataError
from asr_transfer.experiments.words.isolated_words import spelling

LETTERS = Tokens([" ", "'", *"abcdefghijklmnopqrstuvwxyz"])
PHONES = Tokens(sorted({"t", "er", "n", "ao", "f", "l", "ae", "m", "p"}), "phones")
DIRTY = ["turn\u200f", "\u200eturn", "tu\u00adrn", "\u2068turn\u2069", "\ufeffturn", "turn\u200b", "tu\u200drn"]


def _file(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("word", DIRTY)
def test_invisible_characters(tmp_path: Path, word: str) -> None:
    lists = _file(tmp_path / "list.txt", f"{word}\r\nlamp \r\n")
    lexicon = _file(tmp_path / "lexicon.txt", f"{word}\tt er n\u200e\r\nlamp\tl ae m p\r\n")
    kaldi = _file(tmp_path / "kaldi.txt", f"{word} t er n\nlamp l ae m p\n")
    assert read_for(lists, LETTERS).words == ["turn", "lamp"]
    assert [hot.text for hot in HotWords.read(lists).words] == ["turn", "lamp"]
    for file in (lexicon, kaldi):
        read = read_for(file, PHONES)
        assert [(e.word, e.phones) for e in read] == [("turn", ("t", "er", "n")), ("lamp", ("l", "ae", "m", "p"))]
    assert Lexicon.from_pairs([(word, "t er n")]).words == ["turn"]
    assert spelling(Utterance("u", "a.wav", 1.0, f"{word} off", "s", "en")) == "turn off"


@pytest.mark.parametrize("word", DIRTY[:-1])
def test_invisible_characters_of_language_models(tmp_path: Path, word: str) -> None:
    words = ["<unk>", "<s>", "</s>", word, "lamp"]
    grams = "".join(f"-{n + 1}\t{listed}\n" for n, listed in enumerate(words))
    file = _file(tmp_path / "lm.arpa", f"\\data\\\nngram 1=5\n\n\\1-grams:\n{grams}\n\\end\\\n")
    model = NgramModel.read(file)
    assert "turn" in model and model.index("turn") == 3 and model.index("off") == model.unknown
    assert model.fit(["turn lamp"]).unlisted == 0
    SentenceSearch(Lexicon.from_pairs([("turn", "t er n")]), PHONES, model=model)  # none listed would be refused
    texts = _file(tmp_path / "texts.txt", f"{word} lamp\nturn lamp\n")
    make_model([texts], tmp_path / "made.arpa")
    assert "turn" in NgramModel.read(tmp_path / "made.arpa").words
    write_words([texts], tmp_path / "words.txt")
    assert Lexicon.read(tmp_path / "words.txt").words == ["lamp", "turn"]


def test_a_word_that_a_language_model_lists_both_ways_is_the_plain_one(tmp_path: Path) -> None:
    file = _file(
        tmp_path / "lm.arpa", "\\data\\\nngram 1=3\n\n\\1-grams:\n-1\tturn\u200e\n-2\tturn\n-3\tlamp\n\n\\end\\\n"
    )
    assert NgramModel.read(file).index("turn") == 1


@pytest.mark.parametrize("mark", "'’ʼ‘`´＇")
def test_apostrophes(tmp_path: Path, mark: str) -> None:
    word = f"don{mark}t"
    lists = _file(tmp_path / "list.txt", f"{word}\nlamp\n")
    spelled = [tuple("don't"), tuple("lamp")]
    assert [entry.phones for entry in read_for(lists, LETTERS)] == spelled
    assert list(HotWords.read(lists).spelled(LETTERS)) == [tuple(LETTERS.encode(word)) for word in ("don't", "lamp")]
    boosted = HotWords.read(lists).boosted(Lexicon.from_pairs([("don't", "t ao n"), ("lamp", "l ae m p")]), 2.0)
    assert [entry.weight for entry in boosted] == [6.0, 8.0]
    letters = _file(tmp_path / "letters.txt", f"{word}\td o n {mark} t\nlamp\tl a m p\n")
    assert [entry.phones for entry in read_for(letters, LETTERS)] == spelled
    model = NgramModel.from_texts(["don't go", "don't"])
    assert word in model and model.index(word) == model.index("don't")
    assert "don't" in NgramModel.from_texts([f"{word} go"])
    # A model that has learnt another one writes that.
    own = Tokens(["’", *"dont"])
    assert own.written(word) == "don’t"
    with pytest.raises(DataError, match="cannot be spelled"):
        own.encode(f"{word}s")


def test_an_apostrophe_that_the_model_knows_stays() -> None:
    both = Tokens(["'", "’", *"dont"])
    assert [both.decode(both.encode(word)) for word in ("don't", "don’t")] == ["don't", "don’t"]


def test_joiners_that_are_writing_stay(tmp_path: Path) -> None:
    word = "می\u200cشود"
    tokens = Tokens.from_texts([word])
    lexicon = read_for(_file(tmp_path / "list.txt", f"\u200f{word}\u200f\n"), tokens)
    assert [(e.word, e.phones) for e in lexicon] == [(word, tuple(word))]
    lexicon.save(tmp_path / "saved.txt")
    assert [e.phones for e in Lexicon.read(tmp_path / "saved.txt")] == [tuple(word)]
    assert word in NgramModel.from_texts([word])


@pytest.mark.parametrize(
    "content", ["turn\t\nlamp\t \n", "turn \r\nlamp\t\r\n", "\n\u200f\nturn\nlamp\n\u200c\n\u200d# c\n"]
)
def test_tabs_at_the_ends_of_lines_divide_nothing(tmp_path: Path, content: str) -> None:
    assert read_for(_file(tmp_path / "list.txt", content), LETTERS).words == ["turn", "lamp"]


@pytest.mark.parametrize("content", ["\tturn t er n\n", "\tt er n\n", " \t\n\tturn\n"])
def test_an_empty_word_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match="the word is empty"):
        read_for(_file(tmp_path / "lexicon.txt", content), PHONES)
