"""Classifies images of new classes by one or a few examples of each, by nets of episodes and by plain baselines.

    python recipes/images/few_shot.py --config recipes/images/hparams/characters.yaml --out runs/few_shot_characters

Prototypical, matching and relation networks are criteria and an objective on the one trainer. Needs the fetched fonts,
or CIFAR-10 and the published network. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.images.few_shot import FewShotConfig, few_shot_table, run_few_shot


@dataclass(frozen=True, kw_only=True)
class Recipe(FewShotConfig, ExperimentRun):
    """Classify images of new classes by one or a few examples of each."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder for each seed) and `run.json`."""
    ledger = recipe.open()
    config = recipe.settled()
    rows = run_few_shot(config, ledger.folder, recipe.workers, recipe.backend)
    ledger.publish({"ways": rows}, {"ways": [few_shot_table(rows, config)]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
