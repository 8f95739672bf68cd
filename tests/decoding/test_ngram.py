"""N-gram models: known scores of a file made by hand, files that are wrong, and estimates that sum to 1."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import ConfigError, DataError

LN10 = math.log(10)
ARPA = """\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-99\t<s>\t-0.5
-0.7\t</s>
-1.0\t<unk>
-0.4\ta\t-0.2
-0.6\tb\t-0.3

\\2-grams:
-0.1\t<s> a\t-0.15
-0.25\ta b\t-0.05
-0.35\tb </s>

\\3-grams:
-0.01\t<s> a b

\\end\\
"""
TEXTS = ["a b c", "b c a a", "c c b", "a b", "d a b c a", "e d e", "e f"]


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "made.arpa"
    path.write_text(ARPA, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("sentence", "log10"),
    [
        ("a b", -0.1 - 0.01 + (-0.05 - 0.35)),  # a b </s> backs off to b </s> at the cost of `a b`
        ("a a", -0.1 + (-0.15 - 0.2 - 0.4) + (-0.2 - 0.7)),
        ("b", (-0.5 - 0.6) - 0.35),
        ("zebra b", (-0.5 - 1.0) - 0.6 - 0.35),  # <unk> has no back-off weight
        ("", -0.5 - 0.7),
    ],
)
def test_scores_of_a_file_made_by_hand(arpa: Path, sentence: str, log10: float) -> None:
    model = NgramModel.read(arpa)
    assert model.order == 3
    assert model.sentence(sentence.split()) == pytest.approx(log10 * LN10)


def test_many_are_looked_up_at_once_as_one_by_one(arpa: Path) -> None:
    model = NgramModel.read(arpa)
    words = [model.index(word) for word in ("a", "b", "</s>", "<unk>")]
    states = [model.start, 0, *(int(model.score(word, model.start)[1]) for word in words)]
    grid = np.array(list(itertools.product(words, states)))
    ln, after = model.score(grid[:, 0], grid[:, 1])
    for row, (word, state) in enumerate(grid):
        one, next_ = model.score(int(word), int(state))
        assert (float(one), int(next_)) == (ln[row], after[row])
    assert model.index("zebra") == model.index("<unk>")
    assert "zebra" not in model and "a" in model


def test_a_model_without_unknown_words_or_an_end() -> None:
    model = NgramModel([{("a",): (-0.5, 0.0)}])
    assert model.index("b") == -1
    assert model.sentence(["b"]) == -math.inf
    assert model.sentence(["a"]) == pytest.approx(-0.5 * LN10)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", "line 21: there is no line"),
        ("ngram 1=5\nngram 2=3\nngram 3=1\n", "", r"line 3: the section `.data.` lists no counts"),
        ("ngram 2=3", "ngram 3=3", "line 3: expected the count `ngram 2="),
        ("ngram 2=3", "ngram 2=4", r"line 18: the section `.2-grams:` has 3 entries, but `.data.` says 4"),
        ("\\2-grams:", "\\4-grams:", r"line 13: expected the section `.2-grams:`, got '..4-grams:'"),
        ("-0.4\ta", "x\ta", "line 10: 'x' is no number"),
        ("-0.4\ta", "nan\ta", "line 10: 'nan' is no number"),
        ("-0.4\ta", "0.4\ta", "line 10: the logarithm of a probability is above 0"),
        ("-0.4\ta\t-0.2", "-0.4", r"line 10: an entry of `.1-grams:` holds probability, words, back-off weight"),
        ("<s> a b\n", "<s> a b\t-0.1\n", r"line 19: an entry of `.3-grams:` holds probability, words; got"),
        ("-0.6\tb", "-0.6\ta", "line 11: 'a' stands twice"),
        ("<s> a b", "b a b", "line 19: 'b a' has no entry of its own"),
        ("a b\t-0.05", "a z\t-0.05", "line 15: 'z' is not among"),
        ("\n\\end\\\n", "", "line 19: expected `.end.`, got 'the end of the file'"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "wrong.arpa"
    assert ARPA.count(old) >= 1
    path.write_text(ARPA.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=message) as error:
        NgramModel.read(path)
    assert str(path) in str(error.value)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with pytest.raises(DataError, match="there is no such file; give an ARPA file"):
        NgramModel.read(path)
    path.write_bytes(b"\\data\\\nngram 1=1\n\xff")
    with pytest.raises(DataError, match="line 3: is not UTF-8 text"):
        NgramModel.read(path)
    path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(DataError, match="gunzip"):
        NgramModel.read(path)
    path.write_text("hello\n" * 2000)
    with pytest.raises(DataError, match="so that this is no ARPA file"):
        NgramModel.read(path)
    with pytest.raises(DataError, match="is a folder"):
        NgramModel.read(tmp_path)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("texts", [TEXTS, ["a"], ["a a a a a", "b"], TEXTS * 3])
def test_estimated_probabilities_sum_to_1_in_every_context(order: int, texts: list[str]) -> None:
    model = NgramModel.from_texts(texts, order, ["new", "words here"])
    states = {0, model.start}
    words = np.array([n for n, word in enumerate(model.words) if word != "<s>"])
    for _ in range(order):
        states |= {int(s) for state in states for s in model.score(words, state)[1]}
    for state in states:
        assert np.exp(model.score(words, state)[0]).sum() == pytest.approx(1)
    assert {"new", "words", "here"} <= set(model.words)


def test_bigram_estimates_equal_the_formula() -> None:
    model = NgramModel.from_texts(TEXTS, 2)
    pairs = [p for text in TEXTS for p in itertools.pairwise(["<s>", *text.split(), "</s>"])]
    words = {*"abcdef", "</s>", "<unk>"}

    def discounted(counts: list[int]) -> float:
        once, twice = counts.count(1), counts.count(2)
        assert once and twice
        return once / (once + 2 * twice)

    high = discounted([pairs.count(p) for p in set(pairs)])
    before = {w: len({a for a, b in pairs if b == w}) for w in words}
    low = discounted(list(before.values()))
    kinds = len(set(pairs))

    def unigram(word: str) -> float:
        seen = sum(n > 0 for n in before.values())
        return max(before[word] - low, 0) / kinds + low * seen / kinds / len(words)

    for context in ("<s>", *"abcdef"):
        state = model.start if context == "<s>" else int(model.score(model.index(context), 0)[1])
        follow = [b for a, b in pairs if a == context]
        for word in words:
            p = max(follow.count(word) - high, 0) / len(follow)
            p += high * len(set(follow)) / len(follow) * unigram(word)
            assert math.exp(float(model.score(model.index(word), state)[0])) == pytest.approx(p)


def test_what_was_estimated_is_written_and_read_back(tmp_path: Path) -> None:
    model = NgramModel.from_texts(TEXTS, 3, ["new"])
    model.write(tmp_path / "deep" / "lm.arpa")
    again = NgramModel.read(tmp_path / "deep" / "lm.arpa")
    assert again.words == model.words
    for text in [*TEXTS, "new", "what is this", ""]:
        assert again.sentence(text.split()) == pytest.approx(model.sentence(text.split()), abs=1e-5)


def test_scores_equal_kenlm_s(tmp_path: Path) -> None:
    pytest.importorskip("flashlight.lib.text", reason="flashlight-text, which brings KenLM, is not installed")
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(list("abcdefgh"), random.integers(1, 9))) for _ in range(200)]
    model = NgramModel.from_texts(texts, 4)
    model.write(tmp_path / "lm.arpa")
    words = Dictionary()
    for word in [*"abcdefgh", "zebra"]:
        words.add_entry(word)
    peer = KenLM(str(tmp_path / "lm.arpa"), words)
    for _ in range(50):
        sentence = [*random.choice([*"abcdefgh", "zebra"], random.integers(0, 12))]
        state, total = peer.start(False), 0.0
        for word in sentence:
            state, log10 = peer.score(state, words.get_index(word))
            total += log10
        total += peer.finish(state)[1]
        assert model.sentence(sentence) == pytest.approx(total * LN10, abs=1e-3)


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        NgramModel.from_texts(TEXTS, 0)
    with pytest.raises(DataError, match="hold no words"):
        NgramModel.from_texts(["", " "])
    with pytest.raises(DataError, match="hold '<s>'"):
        NgramModel.from_texts(["a <s>"])
    with pytest.raises(DataError, match="holds no words"):
        NgramModel([{}])
