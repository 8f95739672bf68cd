"""Adapts a classifier of digits to another kind of images without labels, by each way, and compares them.

    python recipes/images/domain_adaptation.py --config recipes/images/hparams/mnist_m.yaml --out runs/mnist_m

Every way is a set of objectives and streams on the one trainer. Needs the fetched sets that `source` and `target` name.
A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.domains.digits import DomainConfig, domain_plot, domain_table, run_domains
from asr_transfer.textfiles import write_text


@dataclass(frozen=True, kw_only=True)
class Recipe(DomainConfig, ExperimentRun):
    """Adapt a classifier of digits to another kind of images, without labels."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `domains.svg`, `points` (a run folder for each training), `run.json`."""
    ledger = recipe.open()
    config = recipe.settled()
    rows = run_domains(config, ledger.folder, recipe.workers, recipe.backend)
    write_text(ledger.folder / "domains.svg", domain_plot(rows, config).svg())
    ledger.publish({"ways": rows}, {"ways": [domain_table(rows, config)]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
