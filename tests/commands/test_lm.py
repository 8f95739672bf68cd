"""`asr-transfer lm`: models of texts and manifests, how well they fit, and one sentence for every mistake."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from asr_transfer.cli import main
from asr_transfer.commands.lm import make_model, show_model, write_words
from asr_transfer.data.lexicon import Lexicon, spelled_lexicon
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.data.texts import read_texts
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.kneser_ney import UNKNOWN, estimate
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import AsrTransferError, DataError

TEXTS = ["a b c", "b c a a", "c c b", "a b", "d a b c a", "e d e", "e f"]


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    """Return the sentences in two files: a text and a manifest."""
    plain, manifest = tmp_path / "plain.txt", tmp_path / "more.jsonl"
    plain.write_text("\ufeff" + "\r\n".join(TEXTS[:4]) + "\n\n", encoding="utf-8")
    write_manifest(manifest, [Utterance(str(n), f"{n}.wav", 1.0, text, "s", "en") for n, text in enumerate(TEXTS[4:])])
    return [plain, manifest]


def _printed(command: Callable[..., int], *arguments: object, **options: object) -> str:
    out = io.StringIO()
    assert command(*arguments, console=Console(file=out, width=80), **options) == 0
    return out.getvalue()


def test_texts_and_manifests_give_one_model(texts: list[Path], tmp_path: Path) -> None:
    assert read_texts(texts) == TEXTS
    out = tmp_path / "deep" / "made.arpa"
    assert main(["lm", "make", "--texts", *map(str, texts), "--order", "2", "--out", str(out)]) == 0
    expected = tmp_path / "expected.arpa"
    NgramModel.from_texts(TEXTS, 2).write(expected)
    assert out.read_text("utf-8") == expected.read_text("utf-8")


def test_a_model_of_letters_ends_every_word_with_a_mark(texts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("ab  b\u0061\n", encoding="utf-8")
    out, expected = tmp_path / "letters.arpa", tmp_path / "expected.arpa"
    assert main(["lm", "make", "--texts", str(tmp_path / "own.txt"), "--letters", "true", "--out", str(out)]) == 0
    NgramModel.from_texts(["a b ▁ b a ▁"], 8).write(expected)
    assert out.read_text("utf-8") == expected.read_text("utf-8")
    told = _printed(show_model, out, [tmp_path / "own.txt"])
    assert told.splitlines()[-1].split()[1:4] == ["1", "6", "0"]


def test_a_limit_keeps_the_commonest_words_and_a_lexicon_adds_its_own(texts: list[Path], tmp_path: Path) -> None:
    lexicon, out = tmp_path / "words.txt", tmp_path / "made.arpa"
    Lexicon.from_pairs([("f", "x"), ("g", "y")]).save(lexicon)
    _printed(make_model, texts, out, limit=3, lexicon=lexicon)
    assert set(NgramModel.read(out).words) == {"<s>", "</s>", UNKNOWN, "a", "b", "c", "f", "g"}


def test_an_unlisted_word_is_of_the_class_and_everything_sums_to_one() -> None:
    model = NgramModel(estimate(TEXTS, 3, (), {"d", "e"}))
    assert "d" not in model and "a" in model
    assert model.sentence(["d", "a"]) == model.sentence(["never", "a"]) == model.sentence([UNKNOWN, "a"])
    for context in ([], ["a"], ["never"], ["a", "b"]):
        before = model.sentence(context) - _end(model, context)
        following = [w for w in model.words if w not in ("<s>", "</s>")]
        after = [model.sentence([*context, w]) - _end(model, [*context, w]) - before for w in following]
        assert math.isclose(sum(map(math.exp, [*after, _end(model, context)])), 1, abs_tol=1e-9)
    rarer = NgramModel(estimate(TEXTS, 3))
    assert model.sentence(["never"]) > rarer.sentence(["never"])  # the class has been seen
    assert estimate(TEXTS, 3, ["d", "e"], {"d", "e"}) == estimate(TEXTS, 3, ["d", "e"])


def _end(model: NgramModel, words: list[str]) -> float:
    """Return the log-probability that a sentence ends behind some words."""
    states = [model.start]
    for word in words:
        states.append(int(model.score(model.index(word), states[-1])[1]))
    return float(model.score(model.index("</s>"), states[-1])[0])


def test_the_fit_is_that_of_the_sentences_one_by_one() -> None:
    model = NgramModel.from_texts(TEXTS, 3)
    held = ["a b d", "", "f c"]
    fit = model.fit(held)
    expected = sum(model.sentence(text.split()) for text in held if text)
    assert (fit.sentences, fit.words, fit.unlisted) == (2, 5, 0)
    assert math.isclose(fit.perplexity, math.exp(-expected / 7)) and fit.perplexity == fit.full_perplexity
    fit = model.fit(["a never b"])
    assert fit.unlisted == 1 and math.isclose(fit.oov, 1 / 3)
    assert math.isclose(fit.full_perplexity, math.exp(-model.sentence(["a", "never", "b"]) / 4))
    assert fit.perplexity < fit.full_perplexity
    with pytest.raises(DataError, match="hold no words"):
        model.fit(["", "  "])


def test_a_model_without_a_class_has_no_full_perplexity(tmp_path: Path) -> None:
    file = tmp_path / "closed.arpa"
    file.write_text("\\data\\\nngram 1=2\n\n\\1-grams:\n-0.5\ta\n-0.3\t</s>\n\n\\end\\\n", encoding="utf-8")
    fit = NgramModel.read(file).fit(["a b a"])
    assert math.isclose(fit.perplexity, 10 ** ((0.5 + 0.5 + 0.3) / 3)) and fit.full_perplexity == math.inf
    text = tmp_path / "text.txt"
    text.write_text("a b a\n", encoding="utf-8")
    told = _printed(show_model, file, [text])
    assert "without a class" in told and told.splitlines()[-1].split()[-1] == "–"


def test_showing_names_counts_and_every_text(texts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "made.arpa"
    _printed(make_model, texts, out)
    told = _printed(show_model, out, texts)
    assert f"{len(NgramModel.read(out).words)} 1-grams" in told
    assert all(any(line.startswith(str(path)) for line in told.splitlines()) for path in texts)
    assert main(["lm", "show", str(out)]) == 0


def test_words_of_texts_are_spelled_in_letters(texts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "longer.txt").write_text("über all\nall\n", encoding="utf-8")
    out = tmp_path / "words.txt"
    assert main(["lm", "words", "--texts", str(tmp_path / "longer.txt"), "--out", str(out)]) == 0
    assert [(entry.word, entry.phones) for entry in Lexicon.read(out)] == [
        ("all", tuple("all")),
        ("über", tuple("über")),
    ]
    _printed(write_words, [tmp_path / "longer.txt"], out, at_least=2, overwrite=True)
    assert Lexicon.read(out).words == ["all"]


def test_new_words_are_listed_as_hot_words(texts: list[Path], tmp_path: Path) -> None:
    """Which words a model never saw is what one asks before listing hot words for it."""
    (tmp_path / "said.txt").write_text("zeppelin all über\nall zeppelin\n", encoding="utf-8")
    (tmp_path / "known.txt").write_text("all is well\n", encoding="utf-8")
    out, given = tmp_path / "hot.txt", ["lm", "words", "--texts", str(tmp_path / "said.txt")]
    known = ["--new_to", str(tmp_path / "known.txt"), *map(str, texts)]
    assert main([*given, *known, "--plain", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == "zeppelin\nüber\n"
    assert [word.text for word in HotWords.read(out).words] == ["zeppelin", "über"]
    assert main([*given, *known, "--at_least", "2", "--out", str(out), "--overwrite"]) == 0
    assert Lexicon.read(out).words == ["zeppelin"]
    with pytest.raises(DataError, match="every word of the texts is in those of --new_to"):
        write_words([tmp_path / "known.txt"], tmp_path / "o", new_to=[tmp_path / "known.txt"])


def test_a_hot_word_that_would_be_a_comment_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "said.txt").write_text("#one two\n", encoding="utf-8")
    out = tmp_path / "hot.txt"
    assert main(["lm", "words", "--texts", str(tmp_path / "said.txt"), "--plain", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == "two\n" and "#one" in capsys.readouterr().err
    (tmp_path / "said.txt").write_text("#one\n", encoding="utf-8")
    with pytest.raises(DataError, match="every word of the texts begins with #"):
        write_words([tmp_path / "said.txt"], tmp_path / "o", plain=True)


def test_a_word_is_spelled_in_the_tokens_of_a_model() -> None:
    tokens = Tokens([" ", "a", "b"])
    assert [entry.phones for entry in spelled_lexicon(["ab", "b"], tokens)] == [("a", "b"), ("b",)]
    with pytest.raises(DataError, match="the word 'abc': 'c' cannot be spelled"):
        spelled_lexicon(["abc"], tokens)
    with pytest.raises(DataError, match="are phones"):
        spelled_lexicon(["ab"], Tokens(["a", "b"], "phones"))


def test_mistakes_are_told_in_one_sentence(texts: list[Path], tmp_path: Path) -> None:
    out, broken, empty = tmp_path / "made.arpa", tmp_path / "broken.txt", tmp_path / "empty.txt"
    broken.write_bytes(b"a \xff")
    empty.write_text("\n \n", encoding="utf-8")
    _printed(make_model, texts, out)
    written = out.read_bytes()
    for call, message in (
        (lambda: make_model(texts, out), "exists already; give --overwrite"),
        (lambda: make_model(texts, tmp_path), "is a folder"),
        (lambda: make_model([tmp_path / "none.txt"], tmp_path / "o"), "there is no such file"),
        (lambda: make_model([broken], tmp_path / "o"), "is not UTF-8 text"),
        (lambda: make_model([empty], tmp_path / "o"), "holds no sentences"),
        (lambda: make_model(texts, tmp_path / "o", limit=0), "--limit must be at least 1"),
        (lambda: make_model(texts, tmp_path / "o", order=0), "order of a language model"),
        (lambda: make_model(texts, tmp_path / "o", limit=3, letters=True), "a model of letters lists no words"),
        (lambda: write_words(texts, tmp_path / "o", at_least=99), "no word of the texts occurs 99 times"),
        (lambda: write_words(texts, tmp_path / "o", at_least=0), "--at_least must be at least 1"),
        (lambda: show_model(tmp_path / "none.arpa"), "none.arpa"),
    ):
        with pytest.raises(AsrTransferError) as caught:
            call()
        assert message in str(caught.value) and "\n" not in str(caught.value)
    assert out.read_bytes() == written and not (tmp_path / "o").exists()
    assert main(["lm", "make", "--texts", str(texts[0]), "--out", str(out), "--overwrite"]) == 0
