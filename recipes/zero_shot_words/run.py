"""Recognise words that a model was never trained on, by their phones and a lexicon, and print how often that works.

    python recipes/zero_shot_words/run.py --config recipes/zero_shot_words/hparams/synthetic.yaml --out runs/words

Trains a model of phones for each seed, from scratch or from a source model, or takes models that are trained, and looks
for the test words in lexica of rising size. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from asr_transfer.cli import script
from asr_transfer.config import to_record
from asr_transfer.experiments.words.experiment import UnseenConfig, run_unseen
from asr_transfer.experiments.words.tables import figures_markdown, figures_table, words_markdown, words_table
from asr_transfer.runs.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Recipe(UnseenConfig):
    """Recognise words that a model was never trained on.

    Attributes:
        out: Run folder to write.
        workers: Parallel processes, of one thread each.
        resume: Whether to go on with a run that was stopped.
        overwrite: Whether to replace the run that `out` holds.
    """

    out: Path
    workers: int = 2
    resume: bool = False
    overwrite: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `hypotheses.jsonl`, `data`, `models` (a folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    config.require_folders()  # before a run is deleted for one that cannot begin
    record = RunRecord(recipe.out, to_record(config), resume=recipe.resume, overwrite=recipe.overwrite)
    found = run_unseen(config, record, recipe.workers)
    text = f"{figures_markdown(found.figures)}\n{words_markdown(found.rows, recipe.top)}"
    (recipe.out / "table.md").write_text(text, encoding="utf-8")
    record.finish(scores=found.to_plain())
    title = f"Words of {recipe.corpus} never trained on, {len(found.models)} model(s)"
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(words_table(found.rows, title, recipe.top))
    console.print(figures_table(found.figures, "At a glance"))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
