"""Recognises words from a few recordings of each, across speakers, refuses others, and prints how often that works.

    python recipes/zero_shot_words/keywords.py --config recipes/zero_shot_words/hparams/keywords.yaml --out runs/k

Trains a source model that never heard the words, and tries each way on its vectors, on log-mels, and on a published
model's. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.words.keywords import KeywordsConfig, keyword_table, run_keywords
from data_prep.prepare import find_named


@dataclass(frozen=True, kw_only=True)
class Recipe(KeywordsConfig, ExperimentRun):
    """Recognise words from a few recordings of each, across speakers, and refuse others.

    Attributes:
        speech: Folder of the corpora as they were distributed; fetched ones are found without it.
    """

    speech: Path | None = None


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `source` and `points` (run folders) and `run.json`."""
    ledger = recipe.open()
    config = recipe.settled()
    names = (config.corpus, *config.source_corpora)
    folders = find_named(names, ledger.folder / "corpora", recipe.speech, ledger.say)
    rows = run_keywords(config, folders, ledger.folder, recipe.workers, recipe.backend)
    ledger.publish({"ways": rows}, {"ways": [keyword_table(rows, config)]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
