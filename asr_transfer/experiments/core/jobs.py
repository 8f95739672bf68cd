"""Runs the trainings of an experiment in parallel, each in a run folder of its own, here or on a Ray cluster.

A job that is finished is not run again, and one that was stopped goes on from its last checkpoint. Nothing is held in
memory that a run folder does not say, so that an experiment that was killed goes on and ends in the same table.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from asr_transfer.experiments.core.ledger import Data, ItemData, Lines, open_part
from asr_transfer.progress import Work
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend, run_all

Task = TypeVar("Task")
Result = TypeVar("Result")
Key = tuple[Any, ...]


class Job(ABC):
    """A training of an experiment. Jobs hold plain values alone, for they run in other processes."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its run folder below the experiment's, such as `points/scratch-5-0`."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the jobs that must be finished before it begins, where they are run together with it."""
        return ()

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what its record keeps, and what it must be the same in to go on."""

    @abstractmethod
    def data(self) -> Data:
        """Return the utterances that it is trained and tested on, which must be the same as well, by name."""

    def items(self) -> ItemData:
        """Return the items that are no utterances, such as images, in the same way: none."""
        return {}

    @abstractmethod
    def run(self, record: RunRecord, data: Data) -> None:
        """Do the work, and finish the record.

        Args:
            record: Record in its run folder, already held to its settings and data.
            data: Result of `data`.
        """

    def is_done(self, record: RunRecord) -> bool:
        """Return whether nothing is left to do."""
        return record.finished_before


def run_job(folder: Path, job: Job) -> None:
    """Run a job below an experiment's run folder, unless it is finished.

    Raises:
        ConfigError: It was begun with other settings or data.
    """
    data = job.data()
    record = open_part(folder / job.name, job.settings(), data, job.items())
    if not job.is_done(record):
        job.run(record, data)


def run_jobs(
    folder: Path, jobs: Sequence[Job], workers: int, label: str, backend: Backend = "processes"
) -> Iterator[str]:
    """Run jobs, each once what it needs is finished, and yield their names as they are.

    Args:
        folder: Run folder of the experiment.
        jobs: Jobs, each behind those that it needs.
        workers: Parallel processes of one thread each.
        label: Name of the jobs in what is printed while they run.
        backend: Processes of this machine, or a Ray cluster.
    """
    numbers = {job.name: number for number, job in enumerate(jobs)}
    needs = {number: [numbers[name] for name in job.needs if name in numbers] for number, job in enumerate(jobs)}
    yield from run_all(_run, [(str(folder), job) for job in jobs], workers, label, backend, needs)


def run_tasks(
    lines: Lines[Result],
    tasks: Mapping[Key, Task],
    function: Callable[[Task], Result],
    workers: int,
    label: str,
    backend: Backend = "processes",
) -> Iterator[Result]:
    """Run small tasks whose results are lines of one file, those that have none yet, and yield these as they come.

    Args:
        lines: Results that there are; new ones are added.
        tasks: Tasks by the key of their result.
        function: Function of a module that does a task.
        workers, label, backend: Arguments of `run_jobs`.
    """
    left = [task for key, task in tasks.items() if key not in lines]
    for result in run_all(function, left, workers, label, backend):
        lines.add(result)
        yield result


def _run(argument: tuple[str, Job]) -> str:
    folder, job = argument
    with Work(job.name, bar=False):
        run_job(Path(folder), job)
    return job.name
