"""Learn every language from every other one with a few minutes of speech, and print what each source was worth.

    python recipes/multilingual/transfer_table.py \
        --config recipes/multilingual/hparams/transfer_table.yaml --out runs/transfer_table

Prepares every corpus that is on disk, trains a source model of half of each language, and from each a model of each
language; self-transfer and two starts from scratch are the controls. A stopped run goes on with --resume. Raises
nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from asr_transfer.cli import script
from asr_transfer.config import to_record
from asr_transfer.evaluation.record import RunRecord
from asr_transfer.languages.pairs import Manifests, PairsConfig, run_pairs
from asr_transfer.languages.tables import pairs_markdown, pairs_table
from asr_transfer.training.workers import Backend
from data_prep.multilingual import prepare_languages


@dataclass(frozen=True, kw_only=True)
class Recipe(PairsConfig):
    """Learn every language from every other one.

    Attributes:
        out: run folder to write.
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        corpora: which corpora are used; none takes all that are there and have a development set.
        quick: a small experiment of the same kind, to see it work.
        workers: parallel processes, of one thread each.
        backend: processes of this machine, or a Ray cluster.
        resume: go on with a run that was stopped.
        overwrite: replace the run that `out` holds.
    """

    out: Path
    speech: Path | None = None
    corpora: tuple[str, ...] = ()
    quick: bool = False
    workers: int = 2
    backend: Backend = "processes"
    resume: bool = False
    overwrite: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    record = RunRecord(recipe.out, to_record(config), resume=recipe.resume, overwrite=recipe.overwrite)
    found = prepare_languages(recipe.speech, recipe.out / "corpora", record.say)
    folders = {**found.sources, **found.targets}
    chosen = [name for name in folders if name in recipe.corpora or not recipe.corpora]
    there = Manifests.by_language({name: folders[name] for name in chosen}, found.languages)
    pairs, rates = run_pairs(config, there, recipe.out, recipe.workers, record.say, recipe.backend)
    text = f"{pairs_markdown(pairs)}\nError rates with intervals, against self-transfer:\n\n{rates.markdown()}"
    (recipe.out / "table.md").write_text(text, encoding="utf-8")
    record.finish(scores={"pairs": [pair.to_plain() for pair in pairs], "rates": rates.to_plain()})
    Console(width=None if sys.stdout.isatty() else 160).print(pairs_table(pairs))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
