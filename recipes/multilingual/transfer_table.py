"""Learns every language from every other one with a few minutes of speech, and prints what each source was worth.

    python recipes/multilingual/transfer_table.py \
        --config recipes/multilingual/hparams/transfer_table.yaml --out runs/transfer_table

Prepares every corpus that is on disk, trains a source model of half of each language, and from each a model of each
language; self-transfer and two starts from scratch are the controls. A stopped run goes on with --resume. Raises
nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.data.manifest import read_manifest
from asr_transfer.experiments.languages.options import LanguageRun
from asr_transfer.experiments.languages.pairs import Manifests, PairsConfig, pairs_tables, rates_table, run_pairs
from data_prep.multilingual import SOURCES, TARGETS
from data_prep.prepare import CORPORA


@dataclass(frozen=True, kw_only=True)
class Recipe(PairsConfig, LanguageRun):
    """Learn every language from every other one.

    Attributes:
        corpora: corpora that are used, known ones by name and your own by their folder of manifests; none takes all
            that are there, are in one of `languages`, and have a development set.
    """

    corpora: tuple[str, ...] = ()


def spoken(corpus: str, languages: Sequence[str]) -> bool:
    """Return whether a known corpus is in one of the languages; none named stands for all."""
    return not languages or CORPORA[corpus].language in languages


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    wanted = recipe.corpora or [name for name in (*SOURCES, *TARGETS) if spoken(name, config.languages)]
    targets = [name for name in wanted if name in TARGETS]
    sources = [name for name in wanted if name not in TARGETS]
    ledger, found = recipe.begin(config, sources or None, targets or None)  # None: none of that kind
    there = Manifests.by_language({**found.sources, **found.targets}, found.languages)
    for language, own in there.items():
        for split, manifests in (("train", own.train), ("dev", own.dev), ("test", own.test)):
            for name, path in manifests.items():
                ledger.data(f"{language} {name} {split}", path, read_manifest(path))
    pairs, rates = run_pairs(config, there, ledger.folder, recipe.workers, ledger.say, recipe.backend)
    tables = {"pairs": pairs_tables(pairs), "rates": [rates_table(rates)]}
    ledger.publish({"pairs": pairs, "rates": rates.to_plain()}, tables)


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
