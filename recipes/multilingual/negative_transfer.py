"""Find the source languages that help Mandarin, and those that harm it.

    python recipes/multilingual/negative_transfer.py \
        --config recipes/multilingual/hparams/negative_transfer.yaml --out runs/negative_transfer

Prepares every corpus that is on disk, leaves each source language out of all and adds each to a base, and prints what
each does, with intervals. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from asr_transfer.cli import script
from asr_transfer.config import to_record
from asr_transfer.evaluation.record import RunRecord
from asr_transfer.languages.negative import NegativeConfig, run_negative
from asr_transfer.languages.points import Corpora
from asr_transfer.languages.tables import negative_markdown, negative_table
from asr_transfer.training.workers import Backend
from data_prep.multilingual import SOURCE_SPLITS, TEST_SETS, prepare_languages


@dataclass(frozen=True, kw_only=True)
class Recipe(NegativeConfig):
    """Find the source languages that help a target language, and those that harm it.

    Attributes:
        out: run folder to write.
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        sources: corpora to learn from, known ones by name and your own by their folder of manifests; all that are
            known and there, where none is named.
        targets: corpora of the target language, named in the same way.
        quick: a small experiment of the same kind, to see it work.
        workers: parallel processes, of one thread each.
        backend: processes of this machine, or a Ray cluster.
        resume: go on with a run that was stopped.
        overwrite: replace the run that `out` holds.
    """

    out: Path
    speech: Path | None = None
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("hsk", "aishell")
    quick: bool = False
    workers: int = 2
    backend: Backend = "processes"
    resume: bool = False
    overwrite: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    record = RunRecord(recipe.out, to_record(config), resume=recipe.resume, overwrite=recipe.overwrite)
    found = prepare_languages(recipe.speech, recipe.out / "corpora", record.say, recipe.sources, recipe.targets)
    corpora = Corpora.from_folders(found.sources, found.targets, TEST_SETS, SOURCE_SPLITS)
    effects = run_negative(config, corpora, recipe.out, recipe.workers, record.say, recipe.backend)
    (recipe.out / "table.md").write_text(negative_markdown(effects), encoding="utf-8")
    record.finish(scores={"effects": [effect.to_plain() for effect in effects]})
    Console(width=None if sys.stdout.isatty() else 160).print(negative_table(effects))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
