"""Describes few labelled images, or spoken words, by what was learnt from unlabelled data of another kind.

    python recipes/images/self_taught.py --config recipes/images/hparams/mnist_self_taught.yaml \
        --out runs/mnist_self_taught
    python recipes/images/self_taught.py --config recipes/images/hparams/fsdd_self_taught.yaml \
        --source_root ../shared/speech/an4 --target_root ../shared/speech/fsdd --out runs/fsdd_self_taught

Images need the fetched `mnist`, `photographs` and `fonts`. A stopped run goes on with --resume. Raises nothing:
mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.core.options import ExperimentRun
from asr_transfer.experiments.images.self_taught import run_self_taught
from asr_transfer.experiments.images.self_taught_config import SelfTaughtConfig
from asr_transfer.experiments.images.self_taught_material import ImageMaterial, Material, SpeechMaterial
from asr_transfer.experiments.images.self_taught_rows import self_taught_tables
from data_prep.prepare import prepare, require_root


@dataclass(frozen=True, kw_only=True)
class Recipe(SelfTaughtConfig, ExperimentRun):
    """Describe few labelled items by what was learnt from unlabelled data of another kind.

    Attributes:
        source_corpus: Corpus of unlabelled speech (`an4`); none for images.
        source_root: Folder of that corpus as it was distributed.
        target_corpus: Corpus of words by speaker (`fsdd`); none for images.
        target_root: Folder of that corpus as it was distributed.
    """

    source_corpus: str | None = None
    source_root: Path | None = None
    target_corpus: str | None = None
    target_root: Path | None = None


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder for each source and seed) and `run.json`."""
    corpora = {
        "source": (recipe.source_corpus, recipe.source_root),
        "target": (recipe.target_corpus, recipe.target_root),
    }
    for corpus, root in corpora.values():
        if corpus is not None:
            require_root(corpus, root)
    ledger, config = recipe.open(), recipe.settled()
    material: Material = ImageMaterial()
    if recipe.source_corpus is not None and recipe.target_corpus is not None:
        found = {}
        for side, (corpus, root) in corpora.items():
            manifests = prepare(str(corpus), root, ledger.folder / "corpora" / side)
            found[side] = manifests.get("train") or next(iter(manifests.values()))
            ledger.data(side, found[side], read_manifest(found[side]))
        material = SpeechMaterial(str(found["source"]), str(found["target"]))
    rows, clusters = run_self_taught(config, material, ledger.folder, recipe.workers, recipe.backend)
    tables = self_taught_tables(rows, clusters, config)
    ledger.publish({"ways": rows, "clusters": clusters}, tables)


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
