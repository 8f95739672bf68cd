"""Learns every language from every other one with a few minutes of speech, and prints what each source was worth.

    python recipes/multilingual/transfer_table.py \
        --config recipes/multilingual/hparams/transfer_table.yaml --out runs/transfer_table

Prepares every corpus that is on disk, trains a source model of half of each language, and from each a model of each
language; self-transfer and two starts from scratch are the controls. A stopped run goes on with --resume. Raises
nothing: mistakes are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.languages.options import LanguageRun
from asr_transfer.experiments.languages.pairs import (
    Manifests,
    PairsConfig,
    note_manifests,
    pairs_tables,
    rates_table,
    run_pairs,
)
from data_prep.multilingual import by_role


@dataclass(frozen=True, kw_only=True)
class Recipe(PairsConfig, LanguageRun):
    """Learn every language from every other one.

    Attributes:
        corpora: corpora that are used, known ones by name and your own by their folder of manifests; none takes all
            that are there, are in one of `languages`, and have a development set.
    """

    corpora: tuple[str, ...] = ()


def run(recipe: Recipe) -> None:
    """Run the experiment and write `table.md`, `points` (a run folder each) and `run.json`."""
    config = recipe.shortened() if recipe.quick else recipe
    sources, targets = by_role(recipe.corpora, config.languages)
    ledger, found = recipe.begin(config, sources or None, targets or None)  # None: none of that kind
    there = Manifests.by_language({**found.sources, **found.targets}, found.languages)
    note_manifests(ledger, there)
    pairs, rates = run_pairs(config, there, ledger.folder, recipe.workers, ledger.say, recipe.backend)
    tables = {"pairs": pairs_tables(pairs), "rates": [rates_table(rates)]}
    ledger.publish({"pairs": pairs, "rates": rates.to_plain()}, tables)


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
