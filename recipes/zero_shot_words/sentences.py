"""Finds words of sentences that no training text held, by a lexicon or a list of hot words, and prints what that costs.

    python recipes/zero_shot_words/sentences.py --config recipes/zero_shot_words/hparams/sentences.yaml \\
        --model runs/model --corpus data/corpus --out runs/sentences

Takes a trained model of characters or pieces of words (or of phones, with a lexicon) and a corpus with the manifests
train, dev and test. The weights of the searches are chosen on speech that the model was not trained on and that is not
scored. A stopped run goes on with --resume.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asr_transfer.cli import script
from asr_transfer.experiments.core.options import RunFolder
from asr_transfer.experiments.sentences.experiment import UnheardConfig, read_inputs, run_unheard


@dataclass(frozen=True, kw_only=True)
class Recipe(UnheardConfig, RunFolder):
    """Find words of sentences that no training text held."""


def run(recipe: Recipe) -> None:
    """Run the experiment and write tables, hypotheses of every search, lexicon, language model and `run.json`."""
    inputs = read_inputs(recipe)  # before a run is deleted for one that cannot begin
    run_unheard(recipe, inputs, recipe.open())


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
