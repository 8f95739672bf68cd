"""Jobs in this process, in others and on Ray give the same results and the same errors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.remarks import remark, told
from asr_transfer.runs.workers import Backend, _connect, run_all


def square(value: int) -> tuple[int, int, int]:
    return value * value, torch.get_num_threads(), os.getpid()


def fail_at_two(value: int) -> int:
    if value == 2:
        raise DataError("two is no number to be used here; take another.")
    return value


@pytest.fixture(scope="module", autouse=True)
def apart() -> Iterator[None]:
    """Let Ray run from one process of its own, once for all tests: one that it was in cannot be forked safely."""
    yield
    if _APART:
        _APART.pop().shutdown()


_APART: list[ProcessPoolExecutor] = []


def run_as(backend: Backend, *arguments: Any) -> list[Any]:
    """Return what `run_all` yields."""
    function, values, workers, label, *needs = arguments
    if backend != "ray":
        return list(run_all(function, values, workers, label, backend, *needs))
    pytest.importorskip("ray")
    if not _APART:
        _APART.append(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
    return _APART[0].submit(_listed, function, values, workers, label, *needs).result()


def _listed(function: Callable[[Any], Any], values: list[Any], workers: int, label: str, *needs: Any) -> list[Any]:
    import ray

    if not ray.is_initialized():
        _connect(ray, workers)
    return list(run_all(function, values, workers, label, "ray", *needs))


WAYS = [(1, "processes"), (2, "processes"), pytest.param(2, "ray", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("workers", "backend"), WAYS)
def test_every_job_is_run_once(workers: int, backend: Backend) -> None:
    results = run_as(backend, square, [1, 2, 3, 4], workers, "squares")
    assert sorted(value for value, _, _ in results) == [1, 4, 9, 16]
    if (workers, backend) != (1, "processes"):
        assert {threads for _, threads, _ in results} == {1}
        assert os.getpid() not in {process for _, _, process in results}


def remark_on(value: int) -> int:
    remark("it is too short", f"{value}.wav", "both.wav")
    return value


@pytest.mark.parametrize(("workers", "backend"), WAYS[:2])
def test_remarks_of_jobs_are_told_once_by_this_process(
    workers: int, backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    with told("program"):
        assert sorted(run_as(backend, remark_on, [1, 2], workers, "remarks")) == [1, 2]
    said = capfd.readouterr().err
    assert said.count("both.wav") == 1 and said.count("program: ") == 2 and "1.wav" in said and "2.wav" in said
    assert "Remark:" not in said and "workers.py" not in said


def remark_and_fail(value: int) -> int:
    remark("it is left out", "one.wav")
    return fail_at_two(value)


@pytest.mark.parametrize(("workers", "backend"), WAYS[:2])
def test_remarks_before_a_mistake_are_told(workers: int, backend: Backend, capfd: pytest.CaptureFixture[str]) -> None:
    with told("program"), pytest.raises(DataError, match="two is no number"):
        run_as(backend, remark_and_fail, [2], workers, "jobs")
    assert capfd.readouterr().err.count("program: one.wav: it is left out") == 1


def break_down(value: int) -> int:
    raise ZeroDivisionError(f"{value} by zero")


def test_an_error_that_is_no_mistake_keeps_its_place_in_the_code() -> None:
    with pytest.raises(ZeroDivisionError, match="3 by zero") as caught:
        list(run_all(break_down, [3], 2, "jobs"))
    assert "break_down" in str(caught.value.__cause__)


@pytest.mark.parametrize(("workers", "backend"), WAYS)
def test_a_job_s_own_error_arrives(workers: int, backend: Backend) -> None:
    with pytest.raises(DataError, match="two is no number"):
        run_as(backend, fail_at_two, [1, 2, 3], workers, "jobs")


def write_after(job: tuple[str, str, str]) -> str:
    """Write a file beside one that another job writes."""
    folder, name, before = job
    assert not before or os.path.exists(os.path.join(folder, before)), f"{name} began before {before}"
    time.sleep(0.2 if not before else 0)
    with open(os.path.join(folder, name), "w", encoding="utf-8"):
        return name


@pytest.mark.parametrize(("workers", "backend"), WAYS)
def test_a_job_waits_for_those_it_needs_and_for_no_other(workers: int, backend: Backend, tmp_path: Path) -> None:
    names = [("a", ""), ("free", ""), ("b", "a"), ("c", "b"), ("last", "free")]
    jobs = [(str(tmp_path), name, before) for name, before in names]
    needs = {2: [0], 3: [2], 4: (1,)}
    assert sorted(run_as(backend, write_after, jobs, workers, "files", needs)) == sorted(name for name, _ in names)
    with pytest.raises(ValueError, match="job 1 needs"):
        run_as(backend, write_after, jobs, workers, "files", {1: [1]})


def name_itself_and_wait(file: str) -> None:
    Path(file).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(300)


def start_two(folder: str) -> None:
    list(run_all(name_itself_and_wait, [os.path.join(folder, name) for name in "ab"], 2, "waiting"))


def test_workers_of_a_killed_run_end_too(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=start_two, args=(str(tmp_path),))
    process.start()
    files = [tmp_path / "a", tmp_path / "b"]
    _wait_for(lambda: all(file.is_file() and file.read_text(encoding="utf-8") for file in files))
    workers = [int(file.read_text(encoding="utf-8")) for file in files]
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    _wait_for(lambda: not any(_alive(pid) for pid in workers))


def _wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_jobs_start_nothing() -> None:
    assert list(run_all(square, [], 4, "squares", "ray")) == []


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="install the extra `ray`"):
        list(run_all(square, [1], 2, "squares", "ray"))
