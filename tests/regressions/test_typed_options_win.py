"""Options that are typed win over those of a file, though the file is named behind them: of commands and recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import Namespace

from asr_transfer import cli
from asr_transfer.commands.evaluate import EvaluateCommand
from asr_transfer.commands.options import settings_of


@dataclass(frozen=True)
class Settings:
    """A recipe of two options.

    Attributes:
        steps: Number of steps.
        rate: Learning rate.
    """

    steps: int = 1
    rate: float = 0.5


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tuned.yaml").write_text(
        "model: old\nlm: old.arpa\nlexicon: old.txt\nsearch: {lm_weight: 0.75, word_score: -1.0}\n"
    )
    return tmp_path / "tuned.yaml"


TYPED = ["--model", "new", "--sentences", "--search.word_score=2", "--lm", "new.arpa", "--data", "d", "--out", "o"]


@pytest.mark.parametrize("before", [0, 2, 3, len(TYPED)])
@pytest.mark.parametrize("joined", [True, False])
def test_of_commands(file: Path, before: int, joined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[EvaluateCommand] = []

    def run(arguments: Namespace) -> int:
        got.append(settings_of(EvaluateCommand, arguments))
        return 0

    watched = replace(cli.load_command("evaluate"), run=run)
    monkeypatch.setattr(cli, "load_command", lambda name: watched)
    named = [f"--config={file}"] if joined else ["--config", str(file)]
    assert cli.main(["evaluate", *TYPED[:before], *named, *TYPED[before:]]) == 0
    (found,) = got
    assert (found.model, found.lm, found.lexicon) == (Path("new"), Path("new.arpa"), Path("old.txt"))
    assert (found.search.word_score, found.search.lm_weight, found.sentences) == (2.0, 0.75, True)


def test_of_recipes_and_of_several_files_the_last(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("steps: 7\nrate: 0.1\n")
    (tmp_path / "b.yaml").write_text("rate: 0.2\n")
    got: list[Any] = []
    files = ["--config", str(tmp_path / "a.yaml"), f"--config={tmp_path / 'b.yaml'}"]
    assert cli.script(Settings, got.append, ["--steps", "3", *files]) == 0
    assert got == [Settings(3, 0.2)]


def test_a_file_that_is_not_named_is_still_missed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.script(Settings, lambda settings: None, ["--steps", "3", "--config"]) == 2
    assert "--config" in capsys.readouterr().err
