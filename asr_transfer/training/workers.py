"""Running independent jobs in parallel processes of one thread each, here or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, Literal, TypeVar

import torch
from tqdm import tqdm

from asr_transfer.errors import ConfigError

Backend = Literal["processes", "ray"]
A = TypeVar("A")
R = TypeVar("R")


def run_all(
    function: Callable[[A], R], arguments: Sequence[A], workers: int, label: str, backend: Backend = "processes"
) -> Iterator[R]:
    """Run `function` over `arguments` and yield the results as they come, in any order.

    Args:
        function: a module's function, which another process can import; it prints nothing.
        arguments: plain values.
        workers: processes; 1 runs everything in this one.
        label: of the progress bar.
        backend: processes of this machine, or a Ray cluster: the one that `RAY_ADDRESS` names, else one started here.

    Raises:
        ConfigError: Ray is asked for and not installed.
        Exception: whatever a job raised; jobs that have not begun are dropped.
    """
    if backend == "ray" and arguments:
        results = _on_ray(function, arguments, workers)
    elif workers <= 1 or not arguments:
        results = map(function, arguments)
    else:
        results = _in_processes(function, arguments, workers)
    yield from tqdm(results, label, len(arguments), disable=None, leave=False)


def _in_processes(function: Callable[[A], R], arguments: Sequence[A], workers: int) -> Iterator[R]:
    # Forking a process in which torch has run can deadlock; a fresh one cannot, and gives its memory back when it ends.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(arguments)), context, _one_thread) as pool:
        pending = [pool.submit(function, argument) for argument in arguments]
        try:
            for future in as_completed(pending):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _on_ray(function: Callable[[A], R], arguments: Sequence[A], workers: int) -> Iterator[R]:
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "`backend` is ray, which is not installed; install the extra `ray` or use `processes`."
        ) from None
    started = not ray.is_initialized()
    if started:
        _connect(ray, workers)

    def job(argument: A) -> R:
        _one_thread()
        return function(argument)

    remote = ray.remote(num_cpus=1)(job)
    try:
        pending = [remote.remote(argument) for argument in arguments]
        while pending:
            done, pending = ray.wait(pending)
            for reference in done:
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    # The job's own mistake, not the wrapping, is what the user can mend.
                    raise error.cause from None
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, workers: int) -> None:
    """Join the cluster that `RAY_ADDRESS` names; without one, start as many local processes as there are workers."""
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return
    # What this process can import, the jobs can, as with processes of its own: Ray's inherit the environment.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        ray.init(num_cpus=workers, include_dashboard=False, **quiet)
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _one_thread() -> None:
    torch.set_num_threads(1)
