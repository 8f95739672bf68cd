"""Adapts a speaker-independent model to held-out speakers by several methods, and prints what each gained and cost.

    python recipes/speaker_adaptation/run.py --config recipes/speaker_adaptation/hparams/synthetic.yaml --out runs/demo

Prepares the corpus, trains the source models, chooses learning rates on development speakers, and adapts to every test
speaker with several draws of utterances. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.speakers.config import ExperimentConfig
from asr_transfer.experiments.speakers.experiment import run_experiment
from asr_transfer.experiments.speakers.options import SpeakerRun
from asr_transfer.experiments.speakers.rows import adaptation_table, summarise
from asr_transfer.experiments.speakers.systems import write_systems

OTHERS = {
    "source": "their training speakers",
    "target": "the other held-out speakers",
    "dev": "the development split",
}


@dataclass(frozen=True, kw_only=True)
class Recipe(ExperimentConfig, SpeakerRun):
    """Adapt a speaker-independent model to held-out speakers."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `trials.jsonl`, `systems` (a run folder per row) and `run.json`."""
    ledger, manifests, utterances = recipe.begin()
    folds, trials = run_experiment(manifests, recipe, ledger.folder, recipe.workers, ledger.say, recipe.backend)
    rows = summarise(folds, trials)
    write_systems(ledger.folder, folds, trials, utterances, ledger.values)
    ledger.say(f"Speaker adaptation on {recipe.corpus}; others: {OTHERS[recipe.protocol.others]}")
    ledger.publish({"rows": rows}, {"adaptation": [adaptation_table(rows)]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
