"""Draws the error on Mandarin against the minutes of Mandarin trained on, with and without European languages.

    python recipes/multilingual/curve.py --config recipes/multilingual/hparams/curve.yaml --out runs/curve

Prepares every corpus that is on disk, trains the source models and a model for each system, amount and seed, and prints
one table per test set. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rich.console import Console

from asr_transfer.cli import script
from asr_transfer.experiments.languages.curve import run_curve, tried
from asr_transfer.experiments.languages.options import TransferRun
from asr_transfer.experiments.languages.points import Corpora, note_corpora
from asr_transfer.experiments.languages.systems import CurveConfig
from asr_transfer.experiments.languages.tables import curve_table, savings_table, write_curve
from data_prep.multilingual import SOURCE_SPLITS, TEST_SETS


@dataclass(frozen=True, kw_only=True)
class Recipe(CurveConfig, TransferRun):
    """Draw the error of a new language against the amount of its speech."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `curve-TEST.svg`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    record, there = recipe.begin(config, recipe.sources, recipe.targets)
    corpora = Corpora.from_folders(there.sources, there.targets, TEST_SETS, SOURCE_SPLITS)
    note_corpora(record, corpora)
    rows = run_curve(config, corpora, recipe.out, recipe.workers, record.say, recipe.backend)
    saved = write_curve(config, corpora, recipe.out, rows)
    found = tried(config, recipe.out)
    kinds = {"rows": rows, "savings": saved, "search": found}
    record.finish(scores={kind: [one.to_plain() for one in own] for kind, own in kinds.items()})
    console = Console(width=None if sys.stdout.isatty() else 160)
    for test in corpora.tests:
        console.print(curve_table(rows, test))
        if any(one.test == test for one in saved):
            console.print(savings_table(saved, test))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
