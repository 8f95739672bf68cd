"""Two meanings have two names: the normalisation of `compare` and a speaker's profile, a share and a yes or no."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr_transfer.cli import main

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SAID = "`profile` of `compare` is deprecated, for elsewhere it is a speaker's; write `normalisation` instead"
OLD = f"asr-transfer: {SAID}\n"


def _texts(folder: Path) -> str:
    (folder / "ref.txt").write_text("u1 Turn off\n")
    (folder / "hyp.txt").write_text("u1 turn off\n")
    return f"{folder}/ref.txt,{folder}/hyp.txt"


@pytest.mark.parametrize("given", ["option", "file"])
@pytest.mark.parametrize(("name", "said"), [("normalisation", ""), ("profile", OLD)])
def test_the_old_name_of_the_normalisation_is_taken_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, name: str, said: str
) -> None:
    options = [f"--{name}", "lower"]
    if given == "file":
        (tmp_path / "compare.yaml").write_text(f"{name}: lower\n")
        options = ["--config", str(tmp_path / "compare.yaml")]
    for _ in range(2):  # each command says it, not the first of a process alone
        assert main(["compare", _texts(tmp_path), *options, "--out", str(tmp_path / "out")]) == 0
        captured = capsys.readouterr()
        assert captured.err == said and "0.00" in captured.out


def test_both_names_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", _texts(tmp_path), "--profile", "none", "--normalisation", "lower"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_no_stored_record_calls_a_share_calibrated() -> None:
    for file in RESULTS.glob("*.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        pending = [found]
        while pending:
            value = pending.pop()
            pending += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
            if isinstance(value, dict):
                assert isinstance(value.get("calibrated", True), bool), file
