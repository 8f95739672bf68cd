"""`compare` and `show` on runs of items with classes: words of their own, and speech refused beside them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import asr_transfer as at
from asr_transfer.cli import main
from asr_transfer.commands.show import show_run
from tests.made_classes import confused, right, write_class_run
from tests.made_runs import utterances, write_run

SPEECH = re.compile(r"\b(WER|CER|words?|utterances?|speakers?|hours|manifest|audio)\b", re.I)


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Return two runs of the same items, the second with fewer errors."""
    items = right(300)
    return [str(write_class_run(tmp_path / n, confused(items, r, 1))) for n, r in (("before", 0.4), ("after", 0.1))]


def test_the_command_prints_errors_of_classes_and_writes_the_report(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *pair, "--out", str(tmp_path / "report")]) == 0
    printed = capsys.readouterr().out
    for part in ("error %", "per-class accuracy %", "items", "classes", "difference", "p (Holm)", "▼ better", "300"):
        assert part in printed, part
    assert "Fewer errors than before beyond chance: after." in printed and not SPEECH.search(printed)
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.html", "report.md", "report.csv", "systems.svg", "systems.png",
    }  # fmt: skip


def test_the_function_returns_what_was_compared(pair: list[str], tmp_path: Path) -> None:
    found = at.compare(pair, tmp_path / "report", baseline="after")
    assert [(entry.name, entry.mark) for entry in found.entries] == [("before", "worse"), ("after", "base")]
    assert found.entries[0].counts.rate > 3 * found.entries[1].counts.rate


def test_speech_beside_classes_is_refused_in_one_line(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = write_run(tmp_path / "speech", utterances(9))
    assert main(["compare", pair[0], str(speech), "--out", str(tmp_path / "report")]) == 1
    error = capsys.readouterr().err
    assert "compare either with its like" in error and error.count("\n") == 1
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    "option", ["--language=tr", "--normalisation=basic", "--words=list.txt", "--vocabulary=list.txt", "--audio=embed"]
)
def test_options_of_speech_are_refused(option: str, pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *pair, option]) == 1
    error = capsys.readouterr().err
    assert f"`{option[2:].split('=')[0]}` is for speech" in error and error.count("\n") == 1


def test_a_run_of_classes_is_shown_in_its_own_words(pair: list[str]) -> None:
    out = io.StringIO()
    show_run(Path(pair[0]), Console(width=160, file=out))
    text = out.getvalue()
    assert not SPEECH.search(text), SPEECH.search(text)
    assert re.search(r"scored on +error % +per-class accuracy % +errors +items +classes", text)
    assert re.search(r"set +items +classes +checksum +path", text) and re.search(r"test +300 +5 +abcd +images", text)


def test_files_beside_items_are_shown_without_speech(tmp_path: Path) -> None:
    data = {"train": {"path": "images", "items": 9, "checksum": "aa"}, "vectors": {"path": "v.txt", "checksum": "bb"}}
    run = write_class_run(tmp_path / "run", right(9), data=data)
    out = io.StringIO()
    show_run(run, Console(width=160, file=out))
    text = out.getvalue()
    assert not SPEECH.search(text) and re.search(r"train +9 +– +aa +images", text)
    assert re.search(r"file +checksum +path", text) and re.search(r"vectors +bb +v.txt", text)
