"""Teaches a model a language from minutes of speech, adapts it to a speaker, and gives it words: a user's whole path.

    python recipes/own_language/run.py --config recipes/own_language/hparams/synthetic.yaml --out runs/own_language

Trains a source model without the languages, learns each from several amounts of speech, and prints what each step
gains and what it costs the others. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.own_language.config import OwnLanguageConfig
from asr_transfer.experiments.own_language.corpora import find_speech
from asr_transfer.experiments.own_language.experiment import note_speech, run_path, with_source
from asr_transfer.experiments.own_language.rows import path_table


@dataclass(frozen=True, kw_only=True)
class Recipe(OwnLanguageConfig, ExperimentRun):
    """Teach a model a language, adapt it to a speaker of it, and give it words.

    Attributes:
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        sources: corpora to learn from, without the languages that are learnt; all that are known and there, where none
            is named.
        targets: corpora of the languages that are learnt; languages with others are left out. All where none is named.
        source_model: run folder of a finished source model, instead of training one.
        quick: a small experiment of the same kind, to see it work.
    """

    speech: Path | None = None
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    source_model: Path | None = None
    quick: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder for each step) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    ledger = recipe.open(config)
    if recipe.source_model:
        config = with_source(config, recipe.source_model)
    out = ledger.folder
    sources = None if recipe.source_model else recipe.sources
    speech = find_speech(config, out / "corpora", ledger.say, recipe.speech, sources, recipe.targets, recipe.workers)
    note_speech(ledger, speech)
    rows = run_path(config, speech, out, recipe.workers, ledger.say, recipe.backend, recipe.source_model)
    ledger.publish({"rows": rows}, {"path": [path_table(config, rows)]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
