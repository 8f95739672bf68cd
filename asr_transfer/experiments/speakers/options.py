"""Holds the options that experiments on speakers share, and how each of them begins."""

# Annotations are not postponed here: jsonargparse resolves postponed ones of a recipe's first base class alone.

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.core.ledger import Ledger
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.ranges import Range
from data_prep import noisy
from data_prep.prepare import prepare, require_root


@dataclass(frozen=True, kw_only=True)
class SpeakerRun(ExperimentRun):
    """Options of every experiment on speakers.

    Attributes:
        corpus: Name of a corpus (`an4`, `asterisk-fr`), or the folder that holds your own manifests, `train`, `dev`
            and `test` or just `all`, as `protocol.hold_out` needs them.
        noise: Standard deviation of white noise, in units of full scale, that is added to the recordings of the test
            split alone, as `prepare noisy` adds it; 0 for none.
        root: Folder of the corpus as it was distributed; none for `synthetic`, fetched corpora and your own manifests.
    """

    corpus: str
    root: Path | None = None
    noise: Annotated[float, Range(at_least=0, below=1)] = 0.0

    def begin(self) -> tuple[Ledger, dict[str, Path], dict[str, Utterance]]:
        """Open the run folder, prepare the corpus in it, and note its manifests.

        Returns:
            The ledger, the manifests by split, and all utterances by id.

        Raises:
            ConfigError, DataError: See `Ledger` and `prepare`.
        """
        if not self.resume:
            require_root(self.corpus, self.root)  # before a run is deleted for one that cannot begin
        ledger = self.open()
        manifests = prepare(self.corpus, self.root, ledger.folder / "corpus")
        if self.noise:
            manifests = {**manifests, "test": self._noisy(manifests, ledger.folder / "noisy")}
        utterances: dict[str, Utterance] = {}
        for name, path in manifests.items():
            split = read_manifest(path)
            utterances.update({utterance.id: utterance for utterance in split})
            ledger.data(name, path, split)
        return ledger, manifests, utterances

    def _noisy(self, manifests: Mapping[str, Path], out: Path) -> Path:
        """Return a manifest of the test split's recordings with noise, written where it is not there yet."""
        if "test" not in manifests:
            raise ConfigError("`noise` is added to a test split, which the corpus has not; leave it out.")
        made = out / f"{noisy.NAME}.jsonl"
        if not made.exists():
            noisy.prepare(manifests["test"], out, self.noise)
        return made
