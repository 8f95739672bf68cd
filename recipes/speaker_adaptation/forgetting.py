"""Compares what others are predicted to lose by an adaptation with what they lose, for several methods.

    python recipes/speaker_adaptation/forgetting.py --config recipes/speaker_adaptation/hparams/forgetting_fsdd.yaml \
        --root ../shared/speech/fsdd --out runs/forgetting_fsdd

Prepares the corpus, trains the source models without the speech that is judged on, adapts them to test speakers by each
method, and prints predictions beside what was measured. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from asr_transfer.cli import script
from asr_transfer.config import to_record
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.speakers.predicted import (
    PredictedConfig,
    agreements,
    predicted_markdown,
    run_predicted,
    to_plain,
)
from asr_transfer.runs.record import RunRecord
from data_prep.prepare import prepare, require_root

QUICK_STEPS, QUICK_ADAPTATION = 60, 10
"""Steps of a source model and of an adaptation with `--quick`: enough to see that everything runs."""


@dataclass(frozen=True, kw_only=True)
class Recipe(PredictedConfig):
    """Compare what others are predicted to lose by an adaptation with what they lose.

    Attributes:
        corpus: name of a corpus, or the folder that holds your own manifests.
        out: run folder to write.
        root: folder of the corpus as it was distributed; none for fetched corpora and your own manifests.
        workers: parallel processes, of one thread each.
        quick: one speaker, one draw and few steps, to see that everything runs; the figures mean nothing.
        overwrite: replace the run that `out` holds.
    """

    corpus: str
    out: Path
    root: Path | None = None
    workers: int = 2
    quick: bool = False
    overwrite: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md` and `run.json`."""
    require_root(recipe.corpus, recipe.root)  # before a run is deleted for one that cannot begin
    record = RunRecord(recipe.out, to_record(recipe), overwrite=recipe.overwrite)
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
        record.data(name, path, read_manifest(path))
    cases = run_predicted(manifests, recipe, recipe.out, recipe.workers, record.say)
    table = predicted_markdown({recipe.corpus: agreements(cases, recipe.choice.tolerance)})
    (recipe.out / "table.md").write_text(table, encoding="utf-8")
    record.finish(scores={"cases": to_plain(cases)})
    Console(width=None if sys.stdout.isatty() else 160).print(Markdown(table))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
