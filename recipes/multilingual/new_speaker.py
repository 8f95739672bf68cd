"""Tries what helps Mandarin with a speaker who was not trained on: each remedy alone and together.

    python recipes/multilingual/new_speaker.py \
        --config recipes/multilingual/hparams/new_speaker.yaml --out runs/new_speaker

Prepares every corpus that is on disk, trains the source model and a model for each row and seed, and prints one table
per test set: syllables of a woman who is in no training speech, and words of the woman who is. A stopped run goes on
with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from asr_transfer.experiments.core.ledger import read_finished
from asr_transfer.experiments.languages.new_speaker import (
    SYLLABLES,
    NewSpeakerConfig,
    new_speaker_tables,
    run_new_speaker,
    write_syllables,
)
from asr_transfer.experiments.languages.options import LanguageRun
from asr_transfer.experiments.languages.points import Corpora, note_corpora
from data_prep import multilingual
from data_prep.multilingual import SOURCE_SPLITS, TEST_SETS


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


def find(found: multilingual.Corpora, recipe: Recipe, out: Path) -> tuple[Corpora, dict[str, str]]:
    """Return the experiment's corpora and the manifests of further speakers.

    Raises:
        DataError: the words or gcin-voice's syllables are absent.
    """
    for name, what in (("hsk", "the words and syllables"), ("gcin", "the further speakers")):
        if name not in found.targets:
            raise DataError(f"{what} are absent; {multilingual.TARGETS[name].how_to_get(recipe.speech)}.")
    known = {name: folder for name, folder in found.targets.items() if name in TEST_SETS}
    corpora = Corpora.from_folders(found.sources, known, TEST_SETS, SOURCE_SPLITS)
    man, woman = (found.manifest("gcin", split) for split in ("train", "test"))
    taught = [Path(path) for path in corpora.train.values()]
    test = woman if recipe.develop else found.manifest("hsk", "syllables")
    legal = [*taught, man] + ([] if recipe.develop else [woman])
    manifest, lexicon = write_syllables(test, legal, taught, out / "syllables")
    words = {name: path for name, path in corpora.tests.items() if name == "words"}
    further = {"man": str(man)} if recipe.develop else {"man": str(man), "woman": str(woman)}
    tested = replace(corpora, tests={SYLLABLES: str(manifest), **words}, lexica={SYLLABLES: str(lexicon)})
    return tested, further


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    if recipe.source_model is not None:
        read_finished(recipe.source_model)  # before corpora are prepared for nothing
    # Of a source model that is there, the speech it was trained on is not read again.
    ledger, found = recipe.begin(config, sources=() if recipe.source_model is None else None)
    corpora, further = find(found, recipe, ledger.folder)
    note_corpora(ledger, corpora)
    for name, path in further.items():
        ledger.data(name, path, read_manifest(path))
    rows = run_new_speaker(
        config, corpora, further, ledger.folder, recipe.workers, ledger.say, recipe.backend, recipe.source_model
    )
    ledger.publish({"rows": rows}, {"new_speaker": new_speaker_tables(rows)})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
