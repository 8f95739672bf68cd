"""Find words of sentences that no training text held, by a lexicon or a list of hot words, and print what that costs.

    python recipes/zero_shot_words/sentences.py --config recipes/zero_shot_words/hparams/sentences.yaml \\
        --model runs/model --corpus data/corpus --out runs/sentences

Takes a trained model of characters or pieces of words (or of phones, with a lexicon) and a corpus with the manifests
train, dev and test. The weights of the searches are chosen on speech that the model was not trained on and that is not
scored. A stopped run goes on with --resume.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cli import script
from asr_transfer.config import to_record
from asr_transfer.experiments.core.ledger import Ledger
from asr_transfer.experiments.sentences.experiment import UnheardConfig, read_inputs, run_unheard


@dataclass(frozen=True, kw_only=True)
class Recipe(UnheardConfig):
    """Find words of sentences that no training text held.

    Attributes:
        out: Run folder to write.
        resume: Whether to go on with a run that was stopped; searches that are finished are not run again.
        overwrite: Whether to replace the run that `out` holds.
    """

    out: Path
    resume: bool = False
    overwrite: bool = False


def run(recipe: Recipe) -> None:
    """Run the experiment and write tables, hypotheses of every search, lexicon, language model and `run.json`."""
    inputs = read_inputs(recipe)  # before a run is deleted for one that cannot begin
    ledger = Ledger(recipe.out, to_record(recipe), resume=recipe.resume, overwrite=recipe.overwrite)
    run_unheard(recipe, inputs, ledger)


if __name__ == "__main__":
    sys.exit(script(Recipe, run))
