"""Only space, tab and line feed divide what line-based files hold: other white space is part of words."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from asr_transfer.commands.lm import make_model
from asr_transfer.data.lexicon import Lexicon, read_for
from asr_transfer.data.texts import read_texts
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.evaluation.runs import load_systems
from data_prep.asterisk import _lines

SPACES = ("\u00a0", "\u0085", "\u2028", "\u2029", "\u3000", "\u2009", "\u202f", "\u1680")
PHONES = Tokens(["l", "a", "m", "p"], "phones")

ARPA = """\\data\\
ngram 1=4
ngram 2=1

\\1-grams:
-1.0\t<s>\t-0.3
-0.9\t</s>
-0.8\tturn\t-0.2
-1.1\tWORD\t-0.1

\\2-grams:
-0.3\tturn WORD

\\end\\
"""


@pytest.fixture(params=SPACES, ids=[f"{ord(space):04X}" for space in SPACES])
def space(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_an_arpa_file(tmp_path: Path, space: str) -> None:
    for word in (f"la{space}mp", f"{space}lamp", f"lamp{space}", space):
        (tmp_path / "lm.arpa").write_text(ARPA.replace("WORD", word), encoding="utf-8", newline="\n")
        model = NgramModel.read(tmp_path / "lm.arpa")
        assert word in model and model.counts == (4, 1)
        model.write(tmp_path / "again.arpa")
        assert NgramModel.read(tmp_path / "again.arpa").words == model.words


def test_a_lexicon_and_the_search(tmp_path: Path, space: str) -> None:
    word = f"la{space}mp"
    (tmp_path / "lm.arpa").write_text(ARPA.replace("WORD", word), encoding="utf-8", newline="\n")
    for line in (f"{word}\tl a m p\n", f"{word} l a m p\n"):
        (tmp_path / "words.txt").write_text(line, encoding="utf-8", newline="\n")
        lexicon = read_for(tmp_path / "words.txt", PHONES)
        assert lexicon.words == [word] and lexicon[0].phones == ("l", "a", "m", "p")
        SentenceSearch(lexicon, PHONES, model=NgramModel.read(tmp_path / "lm.arpa"))  # none listed would be refused
        lexicon.save(tmp_path / "again.txt")
        assert Lexicon.read(tmp_path / "again.txt").words == [word]


def test_hot_words_and_texts(tmp_path: Path, space: str) -> None:
    word = f"la{space}mp"
    file = tmp_path / "texts.txt"
    file.write_text(f"turn {word}\n", encoding="utf-8", newline="\n")
    assert [hot.text for hot in HotWords.read(file).words] == [f"turn {word}"]
    assert read_texts([file]) == [f"turn {word}"]
    make_model([file], tmp_path / "lm.arpa")
    assert word in NgramModel.read(tmp_path / "lm.arpa")


def test_kaldis_texts(tmp_path: Path, space: str) -> None:
    for name in ("ref.txt", "hyp.txt"):
        (tmp_path / name).write_text(f"u1 turn la{space}mp\nu{space}2 off\n", encoding="utf-8", newline="\n")
    (system,) = load_systems(f"{tmp_path}/ref.txt,{tmp_path}/hyp.txt")
    assert [(u.id, u.reference) for u in system.utterances] == [("u1", f"turn la{space}mp"), (f"u{space}2", "off")]


def test_packed_lists_of_prompts(tmp_path: Path, space: str) -> None:
    file = tmp_path / "core-sounds-en.txt.gz"
    file.write_bytes(gzip.compress(f"a: turn{space}off\r\nb: lamp\n".encode()))
    assert _lines(file) == [f"a: turn{space}off", "b: lamp"]
