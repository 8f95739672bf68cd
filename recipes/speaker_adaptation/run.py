"""Adapts a speaker-independent model to held-out speakers by several methods, and prints what each gained and cost.

    python recipes/speaker_adaptation/run.py --config recipes/speaker_adaptation/hparams/synthetic.yaml --out runs/demo

Prepares the corpus, trains the source models, chooses learning rates on development speakers, and adapts to every test
speaker with several draws of utterances. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from asr_transfer.cli import script
from asr_transfer.config import to_record
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.speakers.experiment import ExperimentConfig, run_experiment
from asr_transfer.experiments.speakers.rows import markdown, summarise, table, write_systems
from asr_transfer.runs.record import RunRecord
from data_prep.prepare import prepare, require_root


@dataclass(frozen=True, kw_only=True)
class Recipe(ExperimentConfig):
    """Adapt a speaker-independent model to held-out speakers.

    Attributes:
        corpus: name of a corpus (`an4`, `asterisk-fr`), or the folder that holds your own manifests, `train`, `dev`
            and `test` or just `all`, as `protocol.hold_out` needs them.
        out: run folder to write.
        root: folder of the corpus as it was distributed; none for `synthetic`, fetched corpora and your own manifests.
        workers: parallel processes, of one thread each.
        resume: whether to go on with a run that was stopped.
        overwrite: whether to replace the run that `out` holds.
    """

    corpus: str
    out: Path
    root: Path | None = None
    workers: int = 2
    resume: bool = False
    overwrite: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `trials.jsonl`, `systems` (a run folder per row) and `run.json`."""
    if not recipe.resume:
        require_root(recipe.corpus, recipe.root)  # before a run is deleted for one that cannot begin
    record = RunRecord(recipe.out, to_record(recipe), resume=recipe.resume, overwrite=recipe.overwrite)
    manifests = prepare(recipe.corpus, recipe.root, recipe.out / "corpus")
    utterances = {}
    for name, path in manifests.items():
        split = read_manifest(path)
        utterances.update({u.id: u for u in split})
        record.data(name, path, split)
    folds, trials = run_experiment(manifests, recipe, recipe.out, recipe.workers, record.say)
    rows = summarise(folds, trials)
    (recipe.out / "table.md").write_text(markdown(rows), encoding="utf-8")
    write_systems(recipe.out, folds, trials, utterances, record.values)
    record.finish(scores={"rows": [row.to_plain() for row in rows]})
    others = "their training speakers" if recipe.protocol.others == "source" else "the other held-out speakers"
    Console(width=None if sys.stdout.isatty() else 160).print(
        table(rows, f"Speaker adaptation on {recipe.corpus}; others: {others}")
    )


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
