"""Holds the options that every experiment has beside its own: where it is written, and how it is run."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

from dataclasses import dataclass
from pathlib import Path

from asr_transfer.config import to_record
from asr_transfer.experiments.core.ledger import Ledger
from asr_transfer.ranges import Count, Ranged
from asr_transfer.runs.workers import Backend


@dataclass(frozen=True, kw_only=True)
class RunFolder(Ranged):
    """Options of every experiment: where it is written.

    Attributes:
        out: Run folder to write.
        resume: Whether to go on with a run that was stopped.
        overwrite: Whether to replace the run that `out` holds.
    """

    out: Path
    resume: bool = False
    overwrite: bool = False

    def open(self, config: object = None) -> Ledger:
        """Open the run folder.

        Args:
            config: Experiment as it is recorded, where that is not this one.

        Raises:
            ConfigError: See `RunRecord`.
        """
        return Ledger(self.out, to_record(config or self), resume=self.resume, overwrite=self.overwrite)


@dataclass(frozen=True, kw_only=True)
class ExperimentRun(RunFolder):
    """Options of every experiment that trains in parallel.

    Attributes:
        workers: Parallel processes, of one thread each.
        backend: Place of the processes: this machine, or a Ray cluster.
    """

    workers: Count = 2
    backend: Backend = "processes"
