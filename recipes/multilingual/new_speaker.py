"""Tries what helps Mandarin with a speaker who was not trained on: each remedy alone and together.

    python recipes/multilingual/new_speaker.py \
        --config recipes/multilingual/hparams/new_speaker.yaml --out runs/new_speaker

Prepares every corpus that is on disk, trains the source model and a model for each row and seed, and prints one table
per test set: syllables of a woman who is in no training speech, and words of the woman who is. A stopped run goes on
with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.core.ledger import read_finished
from asr_transfer.experiments.languages.new_speaker import (
    NewSpeakerConfig,
    new_speaker_tables,
    run_new_speaker,
)
from asr_transfer.experiments.languages.new_speaker_corpora import find_speakers
from asr_transfer.experiments.languages.options import LanguageRun
from asr_transfer.experiments.languages.points import note_corpora


@dataclass(frozen=True, kw_only=True)
class Recipe(NewSpeakerConfig, LanguageRun):
    """Try what helps a new language with a speaker never heard.

    Attributes:
        develop: whether to test on the woman of gcin-voice instead of the syllables, with the man alone as further
            speaker; settings are chosen in this way.
        source_model: run folder of a finished source model, such as `sources/all-0` of a curve; none trains one.
    """

    develop: bool = False
    source_model: Path | None = None


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    if recipe.source_model is not None:
        read_finished(recipe.source_model)  # before corpora are prepared for nothing
    # Of a source model that is there, the speech it was trained on is not read again.
    ledger, found = recipe.begin(config, sources=() if recipe.source_model is None else None)
    corpora, further = find_speakers(found, ledger.folder / "syllables", recipe.speech, recipe.develop)
    note_corpora(ledger, corpora)
    for name, path in further.items():
        ledger.data(name, path, read_manifest(path))
    rows = run_new_speaker(
        config, corpora, further, ledger.folder, recipe.workers, ledger.say, recipe.backend, recipe.source_model
    )
    ledger.publish({"rows": rows}, {"new_speaker": new_speaker_tables(rows)})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
