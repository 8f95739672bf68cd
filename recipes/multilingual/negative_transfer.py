"""Finds the source languages that help Mandarin, and those that harm it.

    python recipes/multilingual/negative_transfer.py \
        --config recipes/multilingual/hparams/negative_transfer.yaml --out runs/negative_transfer

Prepares every corpus that is on disk, leaves each source language out of all and adds each to a base, and prints what
each does, with intervals. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rich.console import Console

from asr_transfer.cli import script
from asr_transfer.experiments.languages.negative import NegativeConfig, run_negative
from asr_transfer.experiments.languages.options import TransferRun
from asr_transfer.experiments.languages.points import Corpora, note_corpora
from asr_transfer.experiments.languages.tables import negative_markdown, negative_table
from data_prep.multilingual import SOURCE_SPLITS, TEST_SETS


@dataclass(frozen=True, kw_only=True)
class Recipe(NegativeConfig, TransferRun):
    """Find the source languages that help a target language, and those that harm it."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    record, found = recipe.begin(config, recipe.sources, recipe.targets)
    corpora = Corpora.from_folders(found.sources, found.targets, TEST_SETS, SOURCE_SPLITS)
    note_corpora(record, corpora)
    effects = run_negative(config, corpora, recipe.out, recipe.workers, record.say, recipe.backend)
    (recipe.out / "table.md").write_text(negative_markdown(effects), encoding="utf-8")
    record.finish(scores={"effects": [effect.to_plain() for effect in effects]})
    Console(width=None if sys.stdout.isatty() else 160).print(negative_table(effects))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
