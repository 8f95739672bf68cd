"""Measures how well a finished source model tells its languages apart, and lets it keep what was calibrated.

    python recipes/multilingual/identification.py --source_model runs/curve/sources/all-0 --out runs/identification

Prepares the source corpora that are on disk, and prints for each language the share of recordings that no model was
trained on whose language is identified. A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.decoding.folder import OFFSETS
from asr_transfer.errors import DataError
from asr_transfer.experiments.core.options import RunFolder
from asr_transfer.experiments.core.tables import show
from asr_transfer.experiments.languages.identification import identification_table, identified
from asr_transfer.experiments.languages.points import Corpora
from asr_transfer.models.configuration import read_config
from asr_transfer.models.folder import update_origin
from asr_transfer.ranges import Count
from data_prep.multilingual import SOURCE_SPLITS, check_wanted, prepare_languages


@dataclass(frozen=True, kw_only=True)
class Recipe(RunFolder):
    """Measure how well a source model tells its languages apart.

    Attributes:
        source_model: run folder of a finished source model, such as `sources/all-0` of a curve.
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        sources: corpora that the model was trained on, known ones by name and your own by their folder of manifests;
            all that are known and there, where none is named.
        keep: whether to write the offsets into the model, which `transcribe --language auto` then uses.
        workers: parallel processes that prepare corpora.
    """

    source_model: Path
    speech: Path | None = None
    sources: tuple[str, ...] = ()
    keep: bool = False
    workers: Count = 2


def run(recipe: Recipe) -> None:
    """Identify languages, print the shares and write them to `run.json`."""
    read_config(recipe.source_model / "model")  # before corpora are prepared for nothing
    check_wanted(recipe.speech, recipe.sources, None)
    ledger = recipe.open()
    found = prepare_languages(
        recipe.speech, ledger.folder / "corpora", ledger.say, recipe.sources, None, workers=recipe.workers
    )
    corpora = Corpora.from_folders(found.sources, {}, splits=SOURCE_SPLITS)
    for name, path in corpora.source_tests.items():
        ledger.data(name, path, read_manifest(path))
    if ledger.finished_before:
        return show(ledger.tables())
    shares, offsets = identified(recipe.source_model, corpora)
    if not shares["utterances"]:
        raise DataError(
            f"{recipe.source_model}: the corpora are in fewer than two of the model's languages; name those that it "
            "was trained on with --sources."
        )
    if recipe.keep and offsets:
        update_origin(recipe.source_model / "model", {OFFSETS: offsets})
    ledger.publish({"identification": shares}, {"identification": [identification_table(shares)]})


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
