"""Compares the error that `adapt` forecasts for more recordings with what more recordings give.

    python recipes/speaker_adaptation/calibration.py --config recipes/speaker_adaptation/hparams/calibration_fsdd.yaml \
        --root ../shared/speech/fsdd --out runs/calibration_fsdd

Prepares the corpus, trains the source models, and for every test speaker forecasts from few recordings and measures
with more. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.speakers.calibrated import calibration_plot, calibration_table
from asr_transfer.experiments.speakers.foretold import ForetoldConfig, run_foretold
from asr_transfer.experiments.speakers.options import SpeakerRun
from asr_transfer.textfiles import write_text


@dataclass(frozen=True, kw_only=True)
class Recipe(ForetoldConfig, SpeakerRun):
    """Compare the error that is forecast for more recordings with what they give."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `calibration.svg`, `cases.jsonl` and `run.json`."""
    ledger, manifests, _ = recipe.begin()
    cases = run_foretold(manifests, recipe, ledger.folder, recipe.workers, ledger.say, recipe.backend)
    write_text(ledger.folder / "calibration.svg", calibration_plot({recipe.corpus: cases}).svg())
    ledger.publish({"cases": cases}, {"calibration": [calibration_table({recipe.corpus: cases})]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
