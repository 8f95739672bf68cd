"""Asks how transferable each layer of a network for images is, and whether speech wants the reverse.

    python recipes/images/transferability.py --config recipes/images/hparams/transferability.yaml \
        --out runs/transferability

Copies the first layers of a network into another, frozen or not, between halves of the classes that are alike and that
are not (Yosinski et al. 2014). A stopped run goes on with --resume. Raises nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.images.classifiers import images_of
from asr_transfer.experiments.images.sets import noted
from asr_transfer.experiments.images.transferability import TransferabilityConfig, run_transferability
from asr_transfer.experiments.images.transferability_rows import (
    curve_plot,
    finding_table,
    findings_of,
    rows_of,
    sides_of,
    sides_plot,
    speech_records,
    stage_table,
    transferability_tables,
)
from asr_transfer.textfiles import write_text


@dataclass(frozen=True, kw_only=True)
class Recipe(TransferabilityConfig, ExperimentRun):
    """Asks how transferable each layer of a network for images is.

    Attributes:
        speech: Records of the recipe of speaker adaptation, whose figures stand beside those of images.
    """

    speech: tuple[Path, ...] = ()


def run(recipe: Recipe) -> None:
    """Run the experiment and write tables, `curve.svg`, `sides.svg`, `points` (a run folder each) and `run.json`."""
    ledger = recipe.open()
    records = speech_records(recipe.speech)
    for split in ("train", "test"):
        images = images_of(recipe.images or recipe.name, split)
        place = recipe.images or recipe.name
        ledger.data(f"{recipe.name} {split}", place, noted(images))
    found, stages = run_transferability(recipe, ledger.folder, recipe.workers, recipe.backend)
    rows, findings, sides = rows_of(found), findings_of(found), sides_of(found, records, stages)
    write_text(ledger.folder / "curve.svg", curve_plot(rows).svg())
    write_text(ledger.folder / "sides.svg", sides_plot(sides).svg())
    both = finding_table(
        sides,
        "Errors where the first layers are trained and the last copied, less those of the reverse, in points:",
        "points",
        "Of older records the speakers were not kept apart, so that there is no interval.",
    )
    tables = {
        "transferability": transferability_tables(rows, findings),
        "sides": [*([stage_table(stages)] if stages else []), both],
    }
    ledger.publish({"rows": rows, "findings": findings, "sides": sides}, tables)


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
