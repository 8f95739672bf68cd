"""Recognises classes of images without an example of them, by each way, from attributes or the vectors of their names.

    python recipes/images/zero_shot.py --config recipes/images/hparams/cifar_zero_shot.yaml --out runs/cifar_zero_shot

Needs the fetched `cifar10`, `efficientnet-lite0`, `word-vectors` and `imagenet-names`; features are computed once and
kept. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.images.zero_shot import run_zero_shot
from asr_transfer.experiments.images.zero_shot_config import ZeroShotConfig
from asr_transfer.experiments.images.zero_shot_rows import zero_shot_plot, zero_shot_tables
from asr_transfer.textfiles import write_text


@dataclass(frozen=True, kw_only=True)
class Recipe(ZeroShotConfig, ExperimentRun):
    """Recognise classes of images without an example of them."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `zero_shot.svg`, `points` (a run folder for each seed), `run.json`."""
    ledger = recipe.open()
    config = recipe.settled()
    rows = run_zero_shot(config, ledger.folder, recipe.workers, recipe.backend)
    write_text(ledger.folder / "zero_shot.svg", zero_shot_plot(rows).svg())
    unseen, every, classes = zero_shot_tables(rows, config)
    ledger.publish({"ways": rows}, {"unseen": [unseen], "generalised": [every], "classes": [classes]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
