"""The card of a model of several languages: what it was trained on, under which terms, and how it errs in each."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.decoding.recogniser import Recogniser
from tests.adapting import Ran, run
from tests.learning import Languages, manifest, speech
from tests.tones import TINY


@pytest.fixture(scope="module")
def told(languages: Languages, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return a short run with a text on what it was trained on, and a test set of both languages."""
    folder = tmp_path_factory.mktemp("card")
    text = "| corpus | licence |\n|---|---|\n| tones | CC0 |\n"
    (folder / "about.md").write_text(text, encoding="utf-8")
    test = manifest(folder / "test.jsonl", [u for n in ("de", "fr") for u in speech(folder, n, 2, 5, seed=8)])
    out = folder / "run"
    assert run("train", "--train", languages.train, "--test", test, "--about", folder / "about.md", "--out", out,
               *TINY, "--trainer.steps", 60) == 0  # fmt: skip
    return Ran(out, "")


def test_the_card_holds_corpora_and_licences(told: Ran) -> None:
    card = (told.out / "model" / "README.md").read_text(encoding="utf-8")
    assert "Speech recogniser (de, fr)" in card and "| tones | CC0 |" in card and "`source` holds" in card


def test_the_card_has_the_errors_of_each_language_with_intervals(told: Ran) -> None:
    card = (told.out / "model" / "README.md").read_text(encoding="utf-8")
    rates = told.record["scores"]["test"]["by_language"]
    assert [one["language"] for one in rates] == ["de", "fr"]
    for one in rates:
        interval = f"{100 * one['rate']:.1f} % ({100 * one['low']:.1f} … {100 * one['high']:.1f})"
        assert f"| {one['language']} | 10 | 5 | characters | {interval} | speakers |" in card
    assert card.index("CC0") < card.index("Errors on speech that it was not trained on")
    assert Recogniser.load(told.out, "fr").head == "fr"


def test_a_text_that_is_not_there_is_refused(
    languages: Languages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--train", languages.train, "--about", tmp_path / "absent.md", "--out", tmp_path / "out")
    assert run("train", *words) == 1
    error = capsys.readouterr().err
    assert "absent.md" in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
