"""Compares what others are predicted to lose by an adaptation with what they lose, for several methods.

    python recipes/speaker_adaptation/forgetting.py --config recipes/speaker_adaptation/hparams/forgetting_fsdd.yaml \
        --root ../shared/speech/fsdd --out runs/forgetting_fsdd

Prepares the corpus, trains the source models without the speech that is judged on, adapts them to test speakers by each
method, and prints predictions beside what was measured. A stopped run goes on with --resume. Raises nothing: mistakes
are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.speakers.options import SpeakerRun
from asr_transfer.experiments.speakers.predicted import PredictedConfig, forgetting_table, run_predicted


@dataclass(frozen=True, kw_only=True)
class Recipe(PredictedConfig, SpeakerRun):
    """Compare what others are predicted to lose by an adaptation with what they lose.

    Attributes:
        quick: Whether to take one speaker, one draw and few steps, to see that everything runs; the figures mean
            nothing.
    """

    quick: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `cases.jsonl` and `run.json`."""
    ledger, manifests, _ = recipe.begin()
    config = recipe.shortened() if recipe.quick else recipe
    cases = run_predicted(manifests, config, ledger.folder, recipe.workers, ledger.say, recipe.backend)
    table = forgetting_table({recipe.corpus: cases}, recipe.choice.tolerance)
    ledger.publish({"cases": cases}, {"forgetting": [table]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
