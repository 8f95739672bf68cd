"""Declares the options that the recipes of several languages share, and begins each of them."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.config import to_record
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from data_prep.multilingual import Corpora, check_wanted, prepare_languages


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """What every recipe of several languages is told beside its experiment.

    Attributes:
        out: run folder to write.
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        quick: a small experiment of the same kind, to see it work.
        workers: parallel processes, of one thread each.
        backend: processes of this machine, or a Ray cluster.
        resume: whether to go on with a run that was stopped.
        overwrite: whether to replace the run that `out` holds.
    """

    out: Path
    speech: Path | None = None
    quick: bool = False
    workers: int = 2
    backend: Backend = "processes"
    resume: bool = False
    overwrite: bool = False

    def begin(
        self, config: object, sources: Sequence[str] | None = (), targets: Sequence[str] | None = ()
    ) -> tuple[RunRecord, Corpora]:
        """Open the run folder and prepare the corpora in it.

        Args:
            config: the experiment, as it is recorded.
            sources, targets: corpora that are wanted, as `prepare_languages` takes them.

        Raises:
            ConfigError, DataError: as `RunRecord` and `prepare_languages`.
        """
        check_wanted(self.speech, sources, targets)  # before a folder is made for what is a slip of the pen
        record = RunRecord(self.out, to_record(config), resume=self.resume, overwrite=self.overwrite)
        return record, prepare_languages(
            self.speech, self.out / "corpora", record.say, sources, targets, workers=self.workers
        )


@dataclass(frozen=True, kw_only=True)
class TransferRun(LanguageRun):
    """The same where some languages are learnt from and one is learnt.

    Attributes:
        sources: corpora to learn from, known ones by name and your own by their folder of manifests; all that are
            known and there, where none is named.
        targets: corpora of the target language, named in the same way.
    """

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("hsk", "aishell")
