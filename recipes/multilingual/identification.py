"""Measures how well a finished source model tells its languages apart, and lets it keep what was calibrated.

    python recipes/multilingual/identification.py --source_model runs/curve/sources/all-0 --out runs/identification

Prepares the source corpora that are on disk, and prints for each language the share of recordings that no model was
trained on whose language is identified. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from asr_transfer.cli import script
from asr_transfer.config import to_record
from asr_transfer.data.manifest import read_manifest
from asr_transfer.decoding.recogniser import OFFSETS
from asr_transfer.errors import DataError
from asr_transfer.experiments.languages.points import Corpora
from asr_transfer.experiments.languages.sources import identified
from asr_transfer.experiments.languages.tables import identification_table
from asr_transfer.models.folder import read_config, update_origin
from asr_transfer.runs.record import RunRecord
from data_prep.multilingual import SOURCE_SPLITS, check_wanted, prepare_languages


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Measure how well a source model tells its languages apart.

    Attributes:
        source_model: run folder of a finished source model, such as `sources/all-0` of a curve.
        out: run folder to write.
        speech: folder of the corpora as they were distributed; fetched ones are found without it.
        sources: corpora that the model was trained on, known ones by name and your own by their folder of manifests;
            all that are known and there, where none is named.
        keep: write the offsets into the model, which `transcribe --language auto` then uses.
        workers: parallel processes that prepare corpora.
        overwrite: replace the run that `out` holds.
    """

    source_model: Path
    out: Path
    speech: Path | None = None
    sources: tuple[str, ...] = ()
    keep: bool = False
    workers: int = 2
    overwrite: bool = False


def run(recipe: Recipe) -> None:
    """Identify languages, print the shares and write them to `run.json`."""
    read_config(recipe.source_model / "model")  # before corpora are prepared for nothing
    check_wanted(recipe.speech, recipe.sources, None)
    record = RunRecord(recipe.out, to_record(recipe), overwrite=recipe.overwrite)
    found = prepare_languages(
        recipe.speech, recipe.out / "corpora", record.say, recipe.sources, None, workers=recipe.workers
    )
    corpora = Corpora.from_folders(found.sources, {}, splits=SOURCE_SPLITS)
    for name, path in corpora.source_tests.items():
        record.data(name, path, read_manifest(path))
    shares, offsets = identified(recipe.source_model, corpora)
    if not shares["utterances"]:
        raise DataError(
            f"{recipe.source_model}: the corpora are in fewer than two of the model's languages; name those that it "
            "was trained on with --sources."
        )
    if recipe.keep and offsets:
        update_origin(recipe.source_model / "model", {OFFSETS: offsets})
    record.finish(scores={"identification": shares})
    Console().print(identification_table(shares))


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
