"""Declares the options that the recipes of several languages share, and begins each of them."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.experiments.core.ledger import Ledger
from asr_transfer.experiments.core.options import ExperimentRun
from data_prep.multilingual import Corpora, check_wanted, prepare_languages


@dataclass(frozen=True, kw_only=True)
class LanguageRun(ExperimentRun):
    """What every recipe of several languages is told beside its experiment.

    Attributes:
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        quick: a small experiment of the same kind, to see it work.
    """

    speech: Path | None = None
    quick: bool = False

    def begin(
        self, config: object, sources: Sequence[str] | None = (), targets: Sequence[str] | None = ()
    ) -> tuple[Ledger, Corpora]:
        """Open the run folder and prepare the corpora in it.

        Args:
            config: the experiment, as it is recorded.
            sources, targets: corpora that are wanted, as `prepare_languages` takes them.

        Raises:
            ConfigError, DataError: as `Ledger` and `prepare_languages`.
        """
        check_wanted(self.speech, sources, targets)  # before a folder is made for what is a slip of the pen
        ledger = self.open(config)
        return ledger, prepare_languages(
            self.speech, ledger.folder / "corpora", ledger.say, sources, targets, workers=self.workers
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
