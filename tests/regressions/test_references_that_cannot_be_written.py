"""References with characters that the model cannot write are said, with the normalisation that compares fairly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.data.tokens import Tokens
from asr_transfer.errors import DataError
from asr_transfer.evaluation.scoring import Hypothesis, score
from asr_transfer.evaluation.unwritable import Unwritable, find_unwritable
from tests.tones import TINY

LOWER = ("", "abcdefghijklmnopqrstuvwxyz' ")
UPPER = ("", "ABCDEFGHIJKLMNOPQRSTUVWXYZ' ")


def find(texts: Sequence[str], letters: tuple[str, str], language: str = "en") -> Unwritable | None:
    rows = [Hypothesis(str(n), "x", language, text, "") for n, text in enumerate(texts)]
    return find_unwritable(rows, {letters[0]: letters[1]})


@pytest.mark.parametrize(
    ("texts", "letters", "symbols", "fair"),
    [
        (["Turn off", "TURN"], LOWER, {"T": 2, "U": 1, "R": 1, "N": 1}, "lower"),
        (["turn"], UPPER, {"t": 1, "u": 1, "r": 1, "n": 1}, "lower"),
        (["Turn off, please."], LOWER, {"T": 1, ",": 1, ".": 1}, "basic"),
        (["don’t"], LOWER, {"’": 1}, "basic"),
        (["well-known", "so it goes"], LOWER, {"-": 1}, "basic"),
        (["你 好"], ("", "你好"), {" ": 1}, "mandarin"),
        (["turn 24", "turn 2"], LOWER, {"2": 2, "4": 1}, None),
        (["été"], LOWER, {"é": 1}, None),
        (["e\u0301te\u0301"], LOWER, {"é": 1}, None),
    ],
)
def test_which_and_how_many(
    texts: list[str], letters: tuple[str, str], symbols: dict[str, int], fair: str | None
) -> None:
    found = find(texts, letters)
    assert found is not None and dict(found.symbols) == symbols and found.fair == fair
    assert (found.references, found.affected) == (len(texts), sum(bool(set(t) - set(letters[1])) for t in texts))


@pytest.mark.parametrize(
    ("text", "letters", "language"),
    [
        ("so it goes", LOWER, "en"),
        ("e\u0301te\u0301", ("", "été"), "fr"),
        ("été", ("", "e\u0301t"), "fr"),
        ("한국", ("", "\u1112\u1161\u11ab\u1100\u116e\u11a8"), "ko"),
        ("\u200eso\u00ad", LOWER, "en"),
    ],
)
def test_what_is_written_alike_is_not_said(text: str, letters: tuple[str, str], language: str) -> None:
    assert find([text], letters, language) is None


def test_the_languages_own_capitals_count() -> None:
    found = find(["IŞIK"], ("", "ışk"), "tr")
    assert found is not None and found.fair == "lower"
    found = find(["ΛΟΓΟΣ"], ("", "λογς"), "el")
    assert found is not None and found.fair == "lower"


def test_each_language_has_its_own_letters() -> None:
    rows = [Hypothesis("a", "x", "ru", "да", ""), Hypothesis("b", "x", "en", "да", "")]
    found = find_unwritable(rows, {"": "yes", "ru": "да"})
    assert found is not None and (found.affected, dict(found.symbols)) == (1, {"д": 1, "а": 1})
    phones = find_unwritable([replace(rows[0], reference="a b zh")], {"": ["a", "b"]}, "phones")
    assert phones is not None and dict(phones.symbols) == {"zh": 1} and "phones" in phones.sentence("out")


def test_words_that_a_lexicon_lacks_are_errors_and_no_more() -> None:
    def found(text: str) -> Unwritable | None:
        return find_unwritable([Hypothesis("a", "x", "en", text, "")], {"": ["turn", "lamp", "don't know"]}, "words")

    assert found("turn the lamp 24 off") is None
    assert found("don't turn") is None
    capitals = found("Turn the Lamp.")
    assert capitals is not None and capitals.fair == "basic" and dict(capitals.symbols) == {"T": 1, "L": 1, ".": 1}


def test_the_sentence_names_them_and_the_mend() -> None:
    found = find(["Turn 2\u00a0off\u200b."], LOWER)
    assert found is not None
    assert "1 of 1 references hold characters that the model cannot write" in found.sentence("out")
    assert "no normalisation helps with '2'" in found.sentence("out")
    assert "`asr-transfer compare out --normalisation basic`" in found.sentence("out")
    capitals = find(["T"], LOWER)
    assert capitals is not None and "the normalisation `lower`" in capitals.sentence()
    combining = find(["x\u0323"], LOWER)
    assert combining is not None and "U+0323" in combining.sentence()


def test_composed_and_decomposed_forms_are_one_text() -> None:
    assert score(["e\u0301te\u0301 한국"], ["été \u1112\u1161\u11ab\u1100\u116e\u11a8"]).characters.errors == 0
    for learnt in ("été", "e\u0301te\u0301"):
        tokens = Tokens.from_texts([learnt])
        assert tokens.symbols[1:] == ["t", "é"]
        assert tokens.encode("été") == tokens.encode("e\u0301te\u0301")
    decomposed = Tokens(["e", "t", "\u0301"])  # as folders of earlier versions can have them
    assert decomposed.encode("été") == decomposed.encode("e\u0301te\u0301") == [1, 3, 2, 1, 3]
    with pytest.raises(DataError, match=r"'T' cannot be spelled .* rewrite the transcript \(use the model's case\)"):
        tokens.encode("Tété")


def test_evaluate_train_and_adapt_say_so(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = read_manifest(tone_corpus["test"])[:4]
    capitals = [replace(one, text=f"{one.text.capitalize()}.") for one in plain]
    write_manifest(tmp_path / "plain.jsonl", plain)
    write_manifest(tmp_path / "capitals.jsonl", capitals)
    write_manifest(tmp_path / "train.jsonl", read_manifest(tone_corpus["train"])[:8])
    out = tmp_path / "out"

    def printed(*command: object) -> str:
        assert main([str(word) for word in command]) == 0
        return " ".join(capsys.readouterr().out.split())

    said = "4 of 4 references hold characters that the model cannot write, and each counts as an error: '.' (4)"
    assert said in printed("evaluate", "--model", tone_run, "--data", tmp_path / "capitals.jsonl", "--out", out)
    record = json.loads((out / "run.json").read_text("utf-8"))
    assert record["unwritable"]["affected"] == 4 and record["unwritable"]["fair"] == "basic"
    printed("evaluate", "--model", tone_run, "--data", tmp_path / "plain.jsonl", "--out", tmp_path / "right")
    rates = [score([r["reference"]], [r["hypothesis"]], "basic").wer for r in _rows(out)]
    assert rates == [score([r["reference"]], [r["hypothesis"]]).wer for r in _rows(tmp_path / "right")]
    assert "cannot write" not in printed("show", tmp_path / "right")
    train = ["train", "--train", tmp_path / "train.jsonl", "--test", tmp_path / "capitals.jsonl", *TINY]
    assert said in printed(*train, "--trainer.steps", 2, "--trainer.validate_every", 0, "--out", tmp_path / "trained")
    adapt = ["adapt", "--model", tone_run, "--data", tmp_path / "train.jsonl", "--test", tmp_path / "capitals.jsonl"]
    adapt += ["--method", "lhuc", "--steps", 2, "--device", "cpu", "--check", "false", "--out", tmp_path / "adapted"]
    assert f"test: {said}" in printed(*adapt, "--others", tmp_path / "plain.jsonl")


def _rows(run: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (run / "hypotheses.jsonl").read_text("utf-8").splitlines()]
