"""`adapt` on a model of several languages once asked for a `--language` that it did not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.manifest import write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from tests.adapting import adapt, recordings, run
from tests.tones import make_speaker


def test_what_adapt_asks_for_it_takes(languages_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kim, out = recordings(tmp_path, "kim", 1.05, 4, 7), tmp_path / "out"
    assert run("adapt", "--model", languages_run, "--data", kim, "--out", out) == 1
    error = capsys.readouterr().err
    assert "say which with --language" in error and error.count("\n") == 1 and not out.exists()
    quick = ("--steps", 2, "--device", "cpu", "--check", "false", "--method", "lhuc")
    ran = adapt(languages_run, kim, out, "--language", "en", *quick)
    assert Recogniser.load(ran.out, "en").writes == "characters"


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("nll", "has no head 'nll'. Did you mean 'nl'?"),
        ("auf Deutsch", "is no code such as en, cmn or pt-BR"),
        (None, "are in en, nl; name the one that is meant with --language"),
    ],
)
def test_languages_that_cannot_be_adapted_are_refused_before_anything_is_written(
    languages_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str | None, message: str
) -> None:
    both = [*make_speaker(tmp_path, "mia", 1.0, 2, 8), *make_speaker(tmp_path, "piet", 1.0, 2, 9, "nl")]
    write_manifest(tmp_path / "both.jsonl", both)
    given = ["--language", language] if language else []
    for command in ("adapt", "evaluate"):
        arguments = [command, "--model", languages_run, "--data", tmp_path / "both.jsonl", "--out", tmp_path / "out"]
        assert run(*arguments, *given) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
