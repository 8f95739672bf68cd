"""A run's record keeps every attempt that made it, and says so where its figures stand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.errors import DataError
from asr_transfer.runs import attempts
from asr_transfer.runs.record import RunRecord, read_record


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a checkout of one commit that stands for this toolkit's."""
    folder = tmp_path / "checkout"
    (folder / "package").mkdir(parents=True)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    (folder / "package" / "attempts.py").write_text("one = 1\n")
    (folder / ".gitignore").write_text("runs/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "First")
    monkeypatch.setattr(attempts, "__file__", str(folder / "package" / "attempts.py"))
    attempts.code.cache_clear()
    yield folder
    attempts.code.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **who}, capture_output=True, text=True, check=True
    ).stdout


def code() -> dict[str, str | None]:
    attempts.code.cache_clear()
    return attempts.code()


def test_a_clean_tree_has_no_changes(checkout: Path) -> None:
    (checkout / "runs").mkdir()
    (checkout / "runs" / "own.py").write_text("ignored")
    (checkout / "note.txt").write_text("no code")
    assert code() == {"commit": git(checkout, "rev-parse", "--short=12", "HEAD").strip(), "changes": None}


@pytest.mark.parametrize("file", ["package/attempts.py", "package/new.py", "settings.yaml"])
def test_changes_and_modules_that_git_does_not_know_are_changes(checkout: Path, file: str) -> None:
    (checkout / file).write_text("one = 2\n")
    first = code()["changes"]
    (checkout / file).write_text("one = 3\n")
    assert first and code()["changes"] and code()["changes"] != first


def test_outside_a_checkout_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "__file__", str(tmp_path / "attempts.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code() == {"commit": None, "changes": None}
    attempts.code.cache_clear()


def test_a_resumed_run_keeps_what_made_it_before(checkout: Path, tmp_path: Path) -> None:
    first = code()["commit"]
    record = RunRecord(tmp_path / "run", {"steps": 1})
    begun = record.values["started"]
    time.sleep(0.02)
    assert record._lock is not None
    record._lock.release()  # as at an error or a signal
    (checkout / "package" / "attempts.py").write_text("one = 2\n")
    git(checkout, "commit", "--quiet", "--all", "--message", "Second")
    second = code()["commit"]
    resumed = RunRecord(tmp_path / "run", {"steps": 1}, resume=True)
    sum(n * n for n in range(300_000))
    resumed.finish()
    values = read_record(tmp_path / "run")
    assert [one["commit"] for one in values["attempts"]] == [first, second] and first != second
    assert [one["status"] for one in values["attempts"]] == ["stopped", "finished"]
    assert values["commit"] == first and values["started"] == begun, "the oldest code"
    assert values["time"] == attempts.spent(values["attempts"]) and values["time"]["wall_seconds"] >= 0.02
    assert attempts.is_clean(values)
    assert attempts.describe_origin(values) == f"commit `{first}`, resumed once up to `{second}`"


def test_an_attempt_that_was_killed_stays_in_the_record(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RunRecord(tmp_path / "run", {})
    monkeypatch.setattr("asr_transfer.runs.record.SELDOM", 0.0)
    time.sleep(0.05)
    record.log("still at work")
    kept = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert kept["attempts"][0]["status"] == "running" and kept["attempts"][0]["wall_seconds"] >= 0.05
    shutil.copytree(tmp_path / "run", tmp_path / "copy")  # what a kill leaves
    (tmp_path / "copy" / "run.lock").unlink()
    again = RunRecord(tmp_path / "copy", {}, resume=True)
    assert [one["status"] for one in again.values["attempts"]] == ["running", "running"]
    assert again.values["time"]["wall_seconds"] >= 0.05


def test_changed_code_is_said_beside_the_figures(checkout: Path, tmp_path: Path) -> None:
    (checkout / "package" / "attempts.py").write_text("one = 2\n")
    code()
    record = RunRecord(tmp_path / "run", {})
    record.finish()
    assert not attempts.is_clean(record.values)
    assert attempts.describe_origin(record.values).endswith(", with uncommitted changes")


@pytest.mark.parametrize(
    ("record", "older", "words"),
    [
        ({"command": "run.py --out x", "commit": "abc"}, False, "commit `abc`"),
        ({"command": "run.py --out x --resume", "commit": "abc"}, True, "commit `abc` (older run, to be repeated"),
        ({"command": "run.py", "commit": "abc+"}, True, "commit `abc`, with uncommitted changes (older run"),
        ({"command": "run.py", "commit": None}, False, ""),
        ({}, False, ""),
    ],
)
def test_records_from_before_attempts_were_kept(record: dict[str, Any], older: bool, words: str) -> None:
    assert attempts.is_older(record) == older and not attempts.is_clean(record)
    said = attempts.describe_origin(record)
    assert said.startswith(words) and bool(said) == bool(words)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (3, "`attempts` must be a list of objects, got 3"),
        ([3], "`attempts` must be a list of objects, got [3]"),
        ([{"status": "finished"}], "`attempts.0.command` must be text, got nothing"),
        ([{"status": "finished", "command": 1}], "`attempts.0.command` must be text, got 1"),
    ],
)
def test_damaged_attempts_are_named_where_a_record_is_read(tmp_path: Path, kept: object, words: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "attempts": kept}))
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read_record(tmp_path)
    assert str(tmp_path / "run.json") in str(caught.value) and "damaged" in str(caught.value)


def test_an_attempt_without_a_number_of_seconds_is_named(tmp_path: Path) -> None:
    RunRecord(tmp_path, {}).finish()
    values = read_record(tmp_path)
    values["attempts"][0]["cpu_seconds"] = "3"
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match="attempts.0.cpu_seconds` must be a number, got '3'"):
        read_record(tmp_path)
