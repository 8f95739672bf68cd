"""Commands that recognise or adapt refuse a bare encoder in a sentence; asking for its first language ended in a
traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.commands import language, listen
from asr_transfer.decoding import folder

DATA = ["--data", "x", "--out", "y"]
CALLS = [
    ["transcribe", "a.wav"],
    ["transcribe", "a.wav", "--language", "auto"],
    ["evaluate", *DATA],
    ["evaluate", *DATA, "--language", "auto"],
    ["adapt", *DATA],
]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_it_is_said_how_it_learns_one(
    call: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for room in (listen, folder):
        monkeypatch.setattr(room, "speaks_many", lambda _: False)
    monkeypatch.setattr(language, "model_folder", Path)
    for room in (language, listen):
        monkeypatch.setattr(room, "heads_in", lambda _: [])
    assert main([call[0], "--model", "bare", *call[1:]]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "bare: knows no language yet; teach it one with `asr-transfer learn --model bare`." in message
