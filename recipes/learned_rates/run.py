"""Learns which layers an adaptation should move: one factor on the learning rate for each block of a model.

    python recipes/learned_rates/run.py --config recipes/learned_rates/hparams/digits.yaml \
        --speech ../shared/speech --out runs/learned_rates

Trains source models without some speakers, languages or classes of images, learns the factors on some of those, and
measures on the others what they are worth. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.rates.config import RatesConfig, SpeechRates
from asr_transfer.experiments.rates.experiment import rate_plot, rate_tables, rows_of, run_rates
from asr_transfer.textfiles import write_text
from data_prep.prepare import find_named


@dataclass(frozen=True, kw_only=True)
class Recipe(RatesConfig, ExperimentRun):
    """Learn which layers an adaptation should move, to speakers, languages or classes of images.

    Attributes:
        speech: Folder of the corpora as they were distributed; fetched ones are found without it.
    """

    speech: Path | None = None


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `rates.svg`, `rates` (a run folder for each seed) and `run.json`."""
    ledger = recipe.open()
    manifests: dict[str, list[Path]] = {}
    for what, own in recipe.asked().items():
        if isinstance(own, SpeechRates):
            found = find_named(own.corpora, ledger.folder / "corpora", recipe.speech, ledger.say)
            manifests[what] = [path for folder in found.values() for path in sorted(folder.glob("*.jsonl"))]
            for path in manifests[what]:
                ledger.data(f"{what} {path.parent.name} {path.stem}", path, read_manifest(path))
    learned = run_rates(recipe, manifests, ledger.folder, recipe.workers, recipe.backend)
    write_text(ledger.folder / "rates.svg", rate_plot(rows_of(learned)).svg())
    ledger.publish({"rates": rows_of(learned), "learned": learned}, {"rates": rate_tables(learned)})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
