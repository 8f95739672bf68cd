"""A run folder belongs to one process at a time: others are refused, and a killed one leaves no lock."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.errors import ConfigError
from asr_transfer.runs.lock import RunLock
from asr_transfer.runs.record import RunRecord
from tests.small import in_child


def _hold(folder: Path, finished: bool = False) -> None:
    record = RunRecord(folder, {})
    (folder.parent / "ready").touch()
    if finished:
        record.finish()
    time.sleep(60)


def _wait_for(file: Path) -> None:
    end = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["resume", "overwrite", "neither"])
def test_a_run_that_is_still_going_is_left_alone_until_it_is_killed(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = {} if how == "neither" else {how: True}
    child = in_child(_hold, folder)
    _wait_for(tmp_path / "ready")
    with pytest.raises(ConfigError) as caught:
        RunRecord(folder, {}, **options)
    assert f"another process (pid {child.pid} on {socket.gethostname()}) is at work here; wait" in str(caught.value)
    assert (folder / "run.json").is_file()
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert (folder / "run.lock").is_file(), "it had no time to remove it"
    if how == "neither":
        with pytest.raises(ConfigError, match="already holds a run"):
            RunRecord(folder, {})
    else:
        RunRecord(folder, {}, **options).finish()
    assert not (folder / "run.lock").exists()


def test_a_finished_run_is_free(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    child = in_child(_hold, folder, True)
    _wait_for(tmp_path / "ready")
    end = time.monotonic() + 30
    while (folder / "run.lock").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert RunRecord(folder, {}, resume=True).finished_before
    child.kill()
    child.join()


def test_another_machine_s_lock_is_refused_with_the_way_to_remove_it(tmp_path: Path) -> None:
    record = RunRecord(tmp_path / "run", {})
    del record
    lock = tmp_path / "run" / "run.lock"
    lock.write_text(json.dumps({"pid": 1, "host": "elsewhere", "started": "2026-01-01T00:00:00Z"}), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        RunRecord(tmp_path / "run", {}, resume=True)
    told = str(caught.value)
    assert "pid 1 on elsewhere" in told and f"if it has ended, delete {lock.resolve()} and try again" in told
    assert lock.is_file()
    lock.unlink()
    RunRecord(tmp_path / "run", {}, resume=True).finish()


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"pid": 1'])
def test_a_damaged_lock_that_nobody_holds_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text(text, encoding="utf-8")
    RunRecord(tmp_path, {}).finish()
    assert not (tmp_path / "run.lock").exists()


def test_a_refused_command_leaves_no_lock_and_no_file_open(tmp_path: Path) -> None:
    RunRecord(tmp_path / "run", {"steps": 1}).finish()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ConfigError, match="cannot be resumed"):
            RunRecord(tmp_path / "run", {"steps": 2}, resume=True)
        with pytest.raises(ConfigError, match="already holds"):
            RunRecord(tmp_path / "run", {})
        assert RunRecord(tmp_path / "run", {"steps": 1}, resume=True).finished_before
    assert not (tmp_path / "run" / "run.lock").exists() and len(os.listdir("/proc/self/fd")) == before


def test_a_folder_below_has_a_lock_of_its_own_and_a_process_keeps_its_lock(tmp_path: Path) -> None:
    outer = RunRecord(tmp_path / "run", {})
    inner = RunRecord(tmp_path / "run" / "points" / "a", {})
    inner.finish()
    assert (tmp_path / "run" / "run.lock").is_file()
    again = RunRecord(tmp_path / "run", {}, resume=True)
    del outer
    assert (tmp_path / "run" / "run.lock").is_file(), "the later record holds it now"
    again.finish()
    assert not (tmp_path / "run" / "run.lock").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written to"):
        RunLock(tmp_path)


def test_the_command_line_refuses_in_one_sentence(
    tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = in_child(_hold, tmp_path / "run")
    _wait_for(tmp_path / "ready")
    assert main(["train", "--train", str(tone_corpus["train"]), "--out", str(tmp_path / "run"), "--resume"]) == 1
    told = capsys.readouterr().err
    assert f"another process (pid {child.pid}" in told and told.count("\n") == 1
    child.kill()
    child.join()
