"""Compare what others are predicted to lose by an adaptation with what they lose, for several methods.

    python recipes/speaker_adaptation/forgetting.py --config recipes/speaker_adaptation/hparams/forgetting_fsdd.yaml \
        --root ../shared/speech/fsdd --out runs/forgetting_fsdd

Prepares the corpus, trains the source models without the speech that is judged on, adapts them to test speakers by each
method, and prints predictions beside what was measured. A stopped run goes on with --resume. Raises nothing: mistakes
are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.speakers.predicted import PredictedConfig, forgetting_table, run_predicted
from data_prep.prepare import prepare, require_root

QUICK_STEPS, QUICK_ADAPTATION = 60, 10
"""Steps of a source model and of an adaptation with `--quick`: enough to see that everything runs."""


@dataclass(frozen=True, kw_only=True)
class Recipe(PredictedConfig, ExperimentRun):
    """Compare what others are predicted to lose by an adaptation with what they lose.

    Attributes:
        corpus: name of a corpus, or the folder that holds your own manifests.
        root: folder of the corpus as it was distributed; none for fetched corpora and your own manifests.
        quick: one speaker, one draw and few steps, to see that everything runs; the figures mean nothing.
    """

    corpus: str
    root: Path | None = None
    quick: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md` and `run.json`."""
    if not recipe.resume:
        require_root(recipe.corpus, recipe.root)  # before a run is deleted for one that cannot begin
    ledger = recipe.open()
    if recipe.quick:
        trainer = replace(recipe.source.trainer, steps=QUICK_STEPS)
        recipe = replace(
            recipe,
            speakers=1,
            protocol=replace(recipe.protocol, draws=1),
            source=replace(recipe.source, trainer=trainer),
            adapt=replace(recipe.adapt, steps=QUICK_ADAPTATION),
        )
    manifests = prepare(recipe.corpus, recipe.root, recipe.out / "corpus")
    for name, path in manifests.items():
        ledger.data(name, path, read_manifest(path))
    cases = run_predicted(manifests, recipe, recipe.out, recipe.workers, ledger.say, recipe.backend)
    table = forgetting_table({recipe.corpus: cases}, recipe.choice.tolerance)
    ledger.publish({"cases": cases}, {"forgetting": [table]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
