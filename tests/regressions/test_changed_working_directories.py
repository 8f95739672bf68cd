"""A run is written where it began, though its program goes to another folder meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.runs.record import RunRecord, read_record


def test_a_run_stays_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    record = RunRecord(Path("run"), {"out": Path("run")})
    (tmp_path / "run" / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    record.log("half of it is done")
    record.texts("words", record.given / "words.txt", ["one"])
    record.finish(scores={"test": {"wer": 0.5}})
    assert not list((tmp_path / "elsewhere").iterdir())
    values = read_record(tmp_path / "run")
    assert values["status"] == "finished" and values["config"]["out"] == "run"
    assert values["files"]["words"]["path"] == "run/words.txt", "a record says what was given"
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json", "log.txt"}
