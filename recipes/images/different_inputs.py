"""Trains digits that are seen and digits that are heard in one model, and measures what the ones teach the others.

    python recipes/images/different_inputs.py --config recipes/images/hparams/different_inputs.yaml \
        --root ../shared/speech/fsdd --out runs/different_inputs

Needs the fetched sets mnist and fashion-mnist. A stopped run goes on with --resume. Raises nothing: mistakes are
printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.images.different_inputs import InputsConfig, inputs_plot, inputs_table, run_inputs
from asr_transfer.textfiles import write_text
from data_prep.prepare import prepare, require_root


@dataclass(frozen=True, kw_only=True)
class Recipe(InputsConfig, ExperimentRun):
    """Train digits that are seen and digits that are heard in one model.

    Attributes:
        corpus: Name of a corpus of spoken digits (`fsdd`).
        root: Folder of the corpus as it was distributed.
    """

    corpus: str = "fsdd"
    root: Path | None = None


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `errors.svg`, `points` (a run folder for each job), `run.json`."""
    require_root(recipe.corpus, recipe.root)
    ledger, config = recipe.open(), recipe.settled()
    (name, manifest), *_ = prepare(recipe.corpus, recipe.root, ledger.folder / "corpus").items()
    ledger.data(name, manifest, read_manifest(manifest))
    rows = run_inputs(config, manifest, ledger.folder, recipe.workers, recipe.backend)
    write_text(ledger.folder / "errors.svg", inputs_plot(rows, config).svg())
    ledger.publish({"arms": rows}, {"arms": [inputs_table(rows, config)]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
