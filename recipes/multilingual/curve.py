"""Draws the error on Mandarin against the minutes of Mandarin trained on, with and without European languages.

    python recipes/multilingual/curve.py --config recipes/multilingual/hparams/curve.yaml --out runs/curve

Prepares every corpus that is on disk, trains the source models and a model for each system, amount and seed, and prints
one table per test set. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.languages.curve import curve_tables, run_curve, saved_speech, tried, write_plots
from asr_transfer.experiments.languages.options import TransferRun
from asr_transfer.experiments.languages.points import Corpora, note_corpora
from asr_transfer.experiments.languages.systems import CurveConfig
from data_prep.multilingual import SOURCE_SPLITS, TEST_SETS


@dataclass(frozen=True, kw_only=True)
class Recipe(CurveConfig, TransferRun):
    """Draw the error of a new language against the amount of its speech."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `curve-TEST.svg`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    ledger, there = recipe.begin(config, recipe.sources, recipe.targets)
    corpora = Corpora.from_folders(there.sources, there.targets, TEST_SETS, SOURCE_SPLITS)
    note_corpora(ledger, corpora)
    rows = run_curve(config, corpora, ledger.folder, recipe.workers, ledger.say, recipe.backend)
    saved, found = saved_speech(config, corpora, ledger.folder), tried(config, ledger.folder)
    write_plots(ledger.folder, rows)
    ledger.publish({"rows": rows, "savings": saved, "search": found}, {"curve": curve_tables(rows, saved, found)})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
