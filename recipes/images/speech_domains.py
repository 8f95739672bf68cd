"""Adapts a recogniser to a telephone line or to noise without transcripts, by the ways that serve images.

    python recipes/images/speech_domains.py --config recipes/images/hparams/an4_channels.yaml \
        --root ../shared/speech/an4 --out runs/an4_channels

Every way is a set of objectives and streams on the one trainer. A stopped run goes on with --resume. Raises nothing:
mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.domains.speech import ChannelConfig, channel_tables, make_channels, run_channels
from data_prep.prepare import prepare, require_root


@dataclass(frozen=True, kw_only=True)
class Recipe(ChannelConfig, ExperimentRun):
    """Adapt a recogniser to a telephone line or to noise, without transcripts.

    Attributes:
        corpus: Name of a corpus with train and test speakers (`an4`), or a folder of your own manifests.
        root: Folder of the corpus as it was distributed; none for `synthetic`, fetched corpora and your own manifests.
    """

    corpus: str
    root: Path | None = None


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder for each training) and `run.json`."""
    require_root(recipe.corpus, recipe.root)
    ledger, config = recipe.open(), recipe.settled()
    manifests = prepare(recipe.corpus, recipe.root, ledger.folder / "corpus")
    for name, path in manifests.items():
        ledger.data(name, path, read_manifest(path))
    sides = make_channels(manifests, config, ledger.folder / "channels")
    rows = run_channels(config, sides, ledger.folder, recipe.workers, recipe.backend)
    ledger.publish({"ways": rows}, {"channels": channel_tables(rows, config)})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
