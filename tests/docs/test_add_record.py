"""A run's record among those of the pages: what changes on the way, and which runs are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docs import add_record, records


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout with a run in it, whose records of the pages are elsewhere."""
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("HOME", "/home/somebody")
    checkout = tmp_path / "code"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    return checkout


def _run(checkout: Path, **changes: Any) -> Path:
    folder, near = checkout / "runs" / "one", checkout.parent
    command = f"run.py --root /home/somebody/speech --model {near}/shared/tiny --out runs/one"
    attempt = {
        "status": "finished", "command": command, "commit": "0123456789ab", "changes": None,
        "started": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:01Z", "wall_seconds": 1.0, "cpu_seconds": 1.0,
    }  # fmt: skip
    values = {
        "format": 1, "status": "finished", "command": command, "attempts": [{**attempt, **changes.pop("attempt", {})}],
        "config": {"root": "/home/somebody/speech", "steps": 40, "rate": "1/2 and/or 3/4"},
        "data": {"test": {"path": f"{checkout}/runs/one/corpus/test.jsonl", "checksum": "aa"}},
        "scores": {"told": f"{checkout}/stays"}, **changes,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_places_are_written_as_anyone_would_give_them(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _run(checkout)
    assert add_record.main([str(folder)]) == 0 and add_record.main([str(folder), "two"]) == 0
    assert "results/one.json: written" in capsys.readouterr().out
    found, again = (json.loads((records.RESULTS / f"{name}.json").read_text()) for name in ("one", "two"))
    command = "run.py --root ~/speech --model ../shared/tiny --out runs/one"
    assert found == again and found["command"] == found["attempts"][0]["command"] == command
    assert found["config"] == {"root": "~/speech", "steps": 40, "rate": "1/2 and/or 3/4"}
    assert found["data"]["test"] == {"path": "runs/one/corpus/test.jsonl", "checksum": "aa"}
    assert found["scores"] == {"told": f"{checkout}/stays"}, "what was measured is not touched"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "running"}, "the run is not finished; go on with it by --resume"),
        ({"attempt": {"changes": "ab12"}}, "was made by code that is no commit"),
        ({"attempt": {"commit": None}}, "was made by code that is no commit"),
        ({"config": {"root": "/mnt/speech/own"}}, "names '/mnt/speech/own', a place of this machine"),
    ],
)
def test_what_nobody_could_repeat_is_refused(
    changes: dict[str, Any], message: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add_record.main([str(_run(checkout, **changes))]) == 1
    assert message in capsys.readouterr().err and not [*records.RESULTS.iterdir()]


def test_a_folder_without_a_run_and_a_call_without_a_folder_are_refused(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add_record.main([str(checkout)]) == 1 and "holds no run.json" in capsys.readouterr().err
    assert add_record.main([]) == 2 and "usage" in capsys.readouterr().err
