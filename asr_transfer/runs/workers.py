"""Runs independent jobs in parallel processes of one thread each, here or on a Ray cluster.

A signal to stop is handed on to the processes of this machine, which are waited for: they write their checkpoints. Ray
ends its jobs where they stand; resumed, they go on from the last checkpoint that they wrote on their way.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch

from asr_transfer import interruption, progress, remarks
from asr_transfer.cache import cache_folder
from asr_transfer.errors import AsrTransferError, ConfigError
from asr_transfer.interruption import Stopped

Backend = Literal["processes", "ray"]
A = TypeVar("A")
R = TypeVar("R")


def run_all(
    function: Callable[[A], R],
    arguments: Sequence[A],
    workers: int,
    label: str,
    backend: Backend = "processes",
    needs: Mapping[int, Collection[int]] | None = None,
) -> Iterator[R]:
    """Run `function` over `arguments` and yield the results as they come, in any order.

    Args:
        function: a module's function, which another process can import; it prints nothing. Its remarks are said by this
            process when it has ended.
        arguments: plain values.
        workers: processes; 1 runs everything in this one.
        label: name of the jobs in what is printed while they run: how many are done, and what the processes are at.
        backend: processes of this machine, or a Ray cluster: the one that `RAY_ADDRESS` names, else one started here.
        needs: positions, by the position of an argument, of earlier ones that must be done before it begins.

    Raises:
        ValueError: an argument needs one that does not stand before it.
        ConfigError: Ray is asked for and not installed.
        Exception: whatever a job raised; jobs that have not begun are dropped.
        Stopped: a signal came, here or to a worker.
    """
    line = _Line(len(arguments), needs or {})
    if backend == "ray" and arguments:
        results = _on_ray(function, arguments, workers, line)
    elif workers <= 1 or not arguments:
        results = map(function, arguments)
    else:
        cache_folder()  # where it is a temporary one, the processes share this one's
        with tempfile.TemporaryDirectory(prefix="asr-transfer-") as folder:
            results = _in_processes(function, arguments, workers, line, Path(folder))
            yield from _told(results, label, len(arguments), Path(folder))
        return
    yield from _told(results, label, len(arguments))


def _told(results: Iterable[R], label: str, total: int, folder: Path | None = None) -> Iterator[R]:
    """Yield results and tell how many there are, and what the processes that report in `folder` are at."""

    def at_work() -> str:
        found = progress.reports(folder) if folder is not None else []
        return f"at work: {'; '.join(found)}" if found else ""

    with progress.Work(label, total, note=at_work) as work:
        for result in results:
            # Before it is yielded: what is done with it may take its time.
            work.advance()
            yield result


@dataclass(frozen=True)
class _Noted(Generic[R]):
    """A job's result, or the mistake that ended it, with the remarks that it made: the reason and the files of each."""

    outcome: R | AsrTransferError
    remarks: tuple[tuple[str, tuple[str, ...]], ...]


class _Line:
    """Which of a number of jobs may begin, where some wait for others."""

    def __init__(self, count: int, needs: Mapping[int, Collection[int]]) -> None:
        self._waiting = {number: set(needs.get(number, ())) for number in range(count)}
        for number, needed in self._waiting.items():
            if any(not 0 <= other < number for other in needed):
                raise ValueError(f"job {number} needs {sorted(needed)}; give it those before it alone.")

    def ready(self) -> list[int]:
        """Return the jobs that may begin now and were not returned before."""
        found = [number for number, needed in self._waiting.items() if not needed]
        for number in found:
            del self._waiting[number]
        return found

    def done(self, number: int) -> list[int]:
        """Note that a job is done, and return those that may begin for that."""
        for needed in self._waiting.values():
            needed.discard(number)
        return self.ready()


def _in_processes(
    function: Callable[[A], R], arguments: Sequence[A], workers: int, line: _Line, reports: Path
) -> Iterator[R]:
    # Forking a process in which torch has run can deadlock; a fresh one cannot, and gives its memory back when it ends.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(arguments)), context, _begin_worker, (reports,)) as pool:

        def begin(numbers: Sequence[int]) -> dict[Future[_Noted[R]], int]:
            # Submitting starts processes, which are not to die of a signal before they can heed it.
            with interruption.holding_back():
                return {pool.submit(_work, function, arguments[number]): number for number in numbers}

        before = set(multiprocessing.active_children())
        try:
            pending = begin(line.ready())
            while pending:
                interruption.check()
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    result = _said(future.result())
                    pending.update(begin(line.done(pending.pop(future))))
                    yield result
        except BaseException as error:
            number = error.number if isinstance(error, Stopped) else interruption.requested()
            if number:
                _stop(pool, set(multiprocessing.active_children()) - before, number)
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _work(function: Callable[[A], R], argument: A) -> _Noted[R]:
    with interruption.working():
        return _noted(function, argument)


def _noted(function: Callable[[A], R], argument: A) -> _Noted[R]:
    """Return a job's result and the remarks that it made, for whoever gave it out to say them.

    A mistake that the user can mend is returned as well, for the remarks before it may say what it came from. Other
    errors are raised, and come with their place in the code.
    """
    outcome: R | AsrTransferError
    with remarks.held_back() as made:
        try:
            outcome = function(argument)
        except AsrTransferError as error:
            outcome = error
    return _Noted(outcome, tuple((one.reason, one.files) for one in made))


def _said(noted: _Noted[R]) -> R:
    """Return a job's result, or raise its mistake, after saying its remarks here: they are heard and told once each."""
    for reason, files in noted.remarks:
        remarks.remark(reason, *files)
    if isinstance(noted.outcome, AsrTransferError):
        raise noted.outcome
    return noted.outcome


def _stop(pool: ProcessPoolExecutor, processes: Collection[BaseProcess], number: int) -> None:
    """Hand a signal on and wait until all have ended; a second Ctrl-C ends them where they stand."""
    try:
        for process in processes:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)
        pool.shutdown(wait=True, cancel_futures=True)
    except BaseException:
        for process in processes:
            process.kill()
        raise


def _on_ray(function: Callable[[A], R], arguments: Sequence[A], workers: int, line: _Line) -> Iterator[R]:
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "`backend` is ray, which is not installed; install the extra `ray` or use `processes`."
        ) from None
    started = not ray.is_initialized()
    if started:
        _connect(ray, workers)
        interruption.heed_again()  # Ray takes SIGTERM for itself

    def job(argument: A) -> _Noted[R]:
        _one_thread()
        return _noted(function, argument)

    remote = ray.remote(num_cpus=1)(job)
    try:
        pending = {remote.remote(arguments[number]): number for number in line.ready()}
        while pending:
            for reference in ray.wait(list(pending))[0]:
                try:
                    result: R = _said(ray.get(reference))
                except ray.exceptions.RayTaskError as error:
                    # The job's own mistake, not the wrapping, is what the user can mend.
                    raise error.cause from None
                freed = line.done(pending.pop(reference))
                pending.update({remote.remote(arguments[number]): number for number in freed})
                yield result
    except KeyboardInterrupt:
        interruption.check()  # Ray does not say which signal it was
        raise
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


def _begin_worker(reports: Path) -> None:
    interruption.heed_in_worker()
    _one_thread()
    progress.report_to(reports / str(os.getpid()))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: a worker of a killed run must not go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
