"""Asks what a new task of images gains from columns of earlier tasks, which it leaves as they are.

    python recipes/images/progressive.py --config recipes/images/hparams/progressive.yaml --out runs/progressive

Learns tasks one after the other by progressive networks (Rusu et al. 2016), beside a column alone, columns with random
weights, and fine-tuning, which forgets. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.images.classifiers import images_of
from asr_transfer.experiments.images.progressive import (
    FONTS,
    ProgressiveConfig,
    progressive_plot,
    progressive_tables,
    rows_of,
    run_progressive,
)
from asr_transfer.experiments.images.sets import noted
from asr_transfer.textfiles import write_text


@dataclass(frozen=True, kw_only=True)
class Recipe(ProgressiveConfig, ExperimentRun):
    """Asks what a new task of images gains from columns of earlier tasks."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write tables, `gains.svg`, `sequences` (a run folder each) and `run.json`."""
    ledger = recipe.open()
    for name in recipe.tasks:
        for split in () if name == FONTS else ("train", "test"):
            images = images_of(Path(name) if Path(name).is_dir() else name, split)
            ledger.data(f"{Path(name).name} {split}", name, noted(images))
    found = run_progressive(recipe, ledger.folder, recipe.workers, recipe.backend)
    rows = rows_of(found, recipe.titles())
    unchanged = {f"{labels}, seed {seed}: {name}": same for (labels, seed), scores in found.items()
                 for name, same in scores["unchanged"].items()}  # fmt: skip
    for name, same in unchanged.items():
        ledger.say(f"{name}: {'the same bits' if same else 'CHANGED'}")
    write_text(ledger.folder / "gains.svg", progressive_plot(rows).svg())
    tables = {"progressive": progressive_tables(rows, list(unchanged.values()))}
    ledger.publish({"rows": rows, "unchanged": unchanged}, tables)


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
