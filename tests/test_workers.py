"""Jobs in this process, in others and on Ray give the same results and the same errors."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.training.workers import Backend, run_all


def square(value: int) -> tuple[int, int, int]:
    return value * value, torch.get_num_threads(), os.getpid()


def fail_at_two(value: int) -> int:
    if value == 2:
        raise DataError("two is no number to be used here; take another.")
    return value


WAYS = [(1, "processes"), (2, "processes"), pytest.param(2, "ray", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("workers", "backend"), WAYS)
def test_every_job_is_run_once(workers: int, backend: Backend) -> None:
    if backend == "ray":
        pytest.importorskip("ray")
    results = list(run_all(square, [1, 2, 3, 4], workers, "squares", backend))
    assert sorted(value for value, _, _ in results) == [1, 4, 9, 16]
    if (workers, backend) != (1, "processes"):
        assert {threads for _, threads, _ in results} == {1}
        assert os.getpid() not in {process for _, _, process in results}


@pytest.mark.parametrize(("workers", "backend"), WAYS)
def test_a_job_s_own_error_arrives(workers: int, backend: Backend) -> None:
    if backend == "ray":
        pytest.importorskip("ray")
    with pytest.raises(DataError, match="two is no number"):
        list(run_all(fail_at_two, [1, 2, 3], workers, "jobs", backend))


def test_no_jobs_start_nothing() -> None:
    assert list(run_all(square, [], 4, "squares", "ray")) == []


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="install the extra `ray`"):
        list(run_all(square, [1], 2, "squares", "ray"))
