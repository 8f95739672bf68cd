"""Finds the source languages that help Mandarin, and those that harm it.

    python recipes/multilingual/negative_transfer.py \
        --config recipes/multilingual/hparams/negative_transfer.yaml --out runs/negative_transfer

Prepares every corpus that is on disk, leaves each source language out of all and adds each to a base, and prints what
each does, with intervals. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.languages.negative import NegativeConfig, negative_tables, run_negative
from asr_transfer.experiments.languages.options import TransferRun
from asr_transfer.experiments.languages.points import Corpora, note_corpora
from data_prep.multilingual import SOURCE_SPLITS, TEST_SETS


@dataclass(frozen=True, kw_only=True)
class Recipe(NegativeConfig, TransferRun):
    """Find the source languages that help a target language, and those that harm it."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    ledger, found = recipe.begin(config, recipe.sources, recipe.targets)
    corpora = Corpora.from_folders(found.sources, found.targets, TEST_SETS, SOURCE_SPLITS)
    note_corpora(ledger, corpora)
    effects = run_negative(config, corpora, ledger.folder, recipe.workers, ledger.say, recipe.backend)
    ledger.publish({"effects": effects}, {"negative": negative_tables(effects)})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
