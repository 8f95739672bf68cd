"""Measures a training step on ten languages at once, against a monolingual step on the same frames, in one run.

The corpus is cut into as many parts as there are languages, each with tokens and a head of its own. Sampled as the
speech is, the mixture's batches hold the very utterances of the monolingual run's, so that what differs is the cost of
several languages alone: dealing items to them, joining their inputs, a head and a CTC loss each. Both sides take turns
step by step in alternating order; the ratios of processor seconds are taken over rounds of steps.

    python benchmarks/multilingual.py [--languages 10] [--an4 DIR] [--rounds 20]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import logging
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import jsonargparse
import torch
from rich.console import Console
from rich.table import Table

from asr_transfer.config import SpecAugmentConfig, TrainerConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.training.session import speech_task
from asr_transfer.training.streams import Mixture, Task
from benchmarks.above_zero import require_above_zero
from benchmarks.machine import machine
from benchmarks.paced import PacedTrainer, Side, spread, step_ratios, take_turns
from benchmarks.training import MODELS, SCHEDULE
from benchmarks.training_corpus import Corpus, make_corpus

MORE = 3
"""Symbols by which each language's tokens are more than those of the one before."""


def side(label: str, corpus: Corpus, model: str, groups: int, budget: int) -> Side:
    """Return a trainer on the corpus cut into `groups` languages; on one, it is a plain task."""
    size = -(-len(corpus.train) // groups)
    tasks: list[Task] = []
    for number in range(groups):
        # Letters of the private use area stand for symbols that other alphabets have and these transcripts do not.
        others = [chr(0xE000 + index) for index in range(MORE * number)]
        tokens = Tokens([*corpus.tokens.symbols[1:], *others])
        part = corpus.train[number * size : (number + 1) * size]
        data = Spoken(part, corpus.store, tokens, (1.0,), SpecAugmentConfig())
        tasks.append(speech_task(f"l{number}", data, f"l{number}"))
    torch.manual_seed(0)
    network = AcousticModel(MODELS[model], {task.head: len(task.data.tokens) for task in tasks})  # type: ignore
    config = TrainerConfig(steps=SCHEDULE, batch_budget=budget, validate_every=0)
    streams: Sequence[Task | Mixture] = tasks if groups == 1 else [Mixture("all", tuple(tasks), alpha=1.0)]
    trainer = PacedTrainer(network, streams, config=config, durations=[0.0] * size)
    return Side(label, trainer, trainer.advance)


def main(languages: int = 10, an4: Path | None = None, rounds: int = 20, steps: int = 5, budget: int = 6000) -> None:
    """Measure the step and print a table.

    Args:
        languages: number of languages in the mixture.
        an4: the AN4 corpus; default `$ASR_TRANSFER_SPEECH/an4` or `../shared/speech/an4`, else generated noise.
        rounds: number of rounds of `steps` each.
        steps: optimiser steps in a round.
        budget: frames per batch.
    """
    require_above_zero(languages=languages, rounds=rounds, steps=steps, budget=budget)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    console = Console(width=max(110, Console().width))
    table = Table(title=f"A step on {languages} languages, {budget / 100:.0f} seconds of speech", title_justify="left")
    for column in ("encoder", "monolingual, ms", "mixed, ms", "mixed / monolingual (target 1.10)", "range"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    with tempfile.TemporaryDirectory() as work:
        corpus = make_corpus(an4, Path(work), MODELS["bilstm"].strides, (1.0,))
        for model in MODELS:
            alone = side("monolingual", corpus, model, 1, budget)
            mixed = side("mixed", corpus, model, languages, budget)
            take_turns([alone, mixed], rounds, steps)
            median, extent = spread(step_ratios(alone, mixed), 3)
            table.add_row(model, *(f"{1000 * _seconds(s) / steps:.0f}" for s in (alone, mixed)), median, extent)
    console.print(f"{corpus.name}: {len(corpus.train)} utterances")
    console.print(table)
    console.print(machine())


def _seconds(one: Side) -> float:
    """Return the median processor seconds of a round."""
    return statistics.median(cpu for cpu, _, _ in one.rounds)


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
