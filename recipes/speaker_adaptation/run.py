"""Adapt a speaker-independent model to held-out speakers by several methods, and print what each gained and cost.

    python recipes/speaker_adaptation/run.py --config recipes/speaker_adaptation/hparams/synthetic.yaml --out runs/demo

Prepares the corpus, trains the source models, chooses learning rates on development speakers, and adapts to every test
speaker with several draws of utterances. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.speakers.experiment import ExperimentConfig, run_experiment
from asr_transfer.experiments.speakers.rows import adaptation_table, summarise
from asr_transfer.experiments.speakers.systems import write_systems
from data_prep.prepare import prepare, require_root


@dataclass(frozen=True, kw_only=True)
class Recipe(ExperimentConfig, ExperimentRun):
    """Adapt a speaker-independent model to held-out speakers.

    Attributes:
        corpus: name of a corpus (`an4`, `asterisk-fr`), or the folder that holds your own manifests, `train`, `dev`
            and `test` or just `all`, as `protocol.hold_out` needs them.
        root: folder of the corpus as it was distributed; none for `synthetic`, fetched corpora and your own manifests.
    """

    corpus: str
    root: Path | None = None


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `trials.jsonl`, `systems` (a run folder per row) and `run.json`."""
    if not recipe.resume:
        require_root(recipe.corpus, recipe.root)  # before a run is deleted for one that cannot begin
    ledger = recipe.open()
    manifests = prepare(recipe.corpus, recipe.root, recipe.out / "corpus")
    utterances = {}
    for name, path in manifests.items():
        split = read_manifest(path)
        utterances.update({u.id: u for u in split})
        ledger.data(name, path, split)
    folds, trials = run_experiment(manifests, recipe, recipe.out, recipe.workers, ledger.say, recipe.backend)
    rows = summarise(folds, trials)
    write_systems(recipe.out, folds, trials, utterances, ledger.values)
    ledger.publish({"rows": rows}, {"adaptation": [adaptation_table(rows)]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
