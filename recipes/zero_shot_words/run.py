"""Recognises words that a model was never trained on, by their phones and a lexicon, and prints how often that works.

    python recipes/zero_shot_words/run.py --config recipes/zero_shot_words/hparams/synthetic.yaml --out runs/words

Trains a model of phones for each seed, from scratch or from a source model, or takes models that are trained, and looks
for the test words in lexica of rising size. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.words.experiment import UnseenConfig, run_unseen


@dataclass(frozen=True, kw_only=True)
class Recipe(UnseenConfig, ExperimentRun):
    """Recognise words that a model was never trained on."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `hypotheses.jsonl`, `data`, `models` (a folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    config.require_folders()  # before a run is deleted for one that cannot begin
    ledger = recipe.open(config)
    found = run_unseen(config, ledger, recipe.workers, recipe.backend)
    ledger.publish(found.scores(), found.tables(recipe.top))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
