"""Shows where a training step's time goes, for each kind of encoder in fp32 and in bf16, in one run.

Processor seconds of the real `Trainer` (see `laps.py`) by part: loading, SpecAugment masks, the forward and backward
pass of each block, CTC, clipping, AdamW, bookkeeping, and SpeechBrain's loop around it. Below stand the floating-point
operations that matrix products, convolutions and LSTMs of a step take, and which share of this processor's own
matrix-product rate the step reaches: products of one size in the same number format, that take turns with the steps.

All sides run on one thread of one process and take turns every few steps, in alternating order, so that a machine whose
speed drifts slows all of them alike.

    python benchmarks/step_profile.py [--an4 DIR] [--rounds 6] [--steps 10] [--quick true] [--out DIR]

The run folder's `run.json`, copied to `docs/results`, fills a table of the pages.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import logging
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import jsonargparse
import torch

from asr_transfer.config import ModelConfig, TrainerConfig
from asr_transfer.errors import AsrTransferError
from asr_transfer.experiments.core.tables import Table, show
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.runs.record import RunRecord
from asr_transfer.training import criteria
from asr_transfer.training.precision import Taken
from asr_transfer.training.streams import Task
from benchmarks.above_zero import require_above_zero
from benchmarks.laps import (
    BACKWARD,
    BETWEEN,
    BOOKKEEPING,
    CLIPPING,
    FORWARD,
    HEAD,
    LOADING,
    LOOP,
    LOSS,
    MASKS,
    OPTIMISER,
    LappedTrainer,
    Laps,
    Operations,
    watched,
)
from benchmarks.machine import machine
from benchmarks.training import MODELS
from benchmarks.training_corpus import Corpus, make_corpus

PRECISIONS: tuple[Taken, ...] = get_args(Taken)
SCHEDULE = 2000
"""Steps of the learning-rate schedule, of which only the first are taken here."""
SIDE = 768
"""Rows and columns of the matrices whose product tells the processor's rate."""
PRODUCTS = 8
"""Products in a turn."""


@dataclass(frozen=True)
class Row:
    """What was measured of an encoder in a precision.

    Attributes:
        encoder: kind of the encoder.
        precision: number format.
        parts: processor milliseconds of a step, by part.
        whole: processor milliseconds of the whole step, measured apart from the parts.
        operations: floating-point operations of a step, by part, in 10⁹.
        products: rate of the processor's matrix products in 10⁹ operations per second.
        share: share of that rate that the whole step reaches.
        speed: audio-seconds (true lengths) per processor second.
    """

    encoder: str
    precision: str
    parts: dict[str, float]
    whole: float
    operations: dict[str, float]
    products: float
    share: float
    speed: float


def new_trainer(corpus: Corpus, model: ModelConfig, precision: Taken, seconds: float, laps: Laps) -> LappedTrainer:
    """Return a trainer of fresh weights, from which only `laps` is told what it does."""
    torch.manual_seed(0)
    network = AcousticModel(model, {"en": len(corpus.tokens)})
    config = TrainerConfig(
        steps=SCHEDULE, precision=precision, batch_budget=round(100 * seconds), validate_every=0, device="cpu"
    )
    return LappedTrainer(
        network,
        [Task("train", watched(corpus.data(corpus.train), laps), criteria.ctc, head="en")],
        config=config,
        durations=[utterance.duration for utterance in corpus.train],
        laps=laps,
    )


class Side:
    """An encoder in a precision, which takes its turns.

    Args:
        corpus: its training utterances are read.
        encoder: name of the model.
        precision: number format.
        seconds: padded audio of a batch.
    """

    def __init__(self, corpus: Corpus, encoder: str, precision: Taken, seconds: float) -> None:
        self.encoder, self.precision = encoder, precision
        self.laps = Laps()
        self.trainer = new_trainer(corpus, MODELS[encoder], precision, seconds, self.laps)
        self.whole, self.steps, self.audio = 0.0, 0, 0.0
        self.counted: dict[str, float] = {}

    def warm_up(self, corpus: Corpus, steps: int, seconds: float) -> None:
        """Take steps that count for nothing, and count the operations of as many in another trainer."""
        self.trainer.advance(steps)
        self.laps.parts.clear()
        with Operations() as counter:
            laps = Laps(lambda: float(counter.get_total_flops()))
            new_trainer(corpus, MODELS[self.encoder], self.precision, seconds, laps).advance(steps)
        audio = self.trainer.audio
        self.counted = {part: count / audio for part, count in laps.parts.items() if count}
        self.trainer.audio = 0.0

    def measure(self, steps: int) -> None:
        """Take a turn."""
        begin = time.process_time()
        self.trainer.advance(steps)
        self.whole += time.process_time() - begin
        self.steps += steps

    def row(self, products: float) -> Row:
        """Return what was measured; `products` is the processor's rate in 10⁹ operations per second."""
        audio = self.trainer.audio
        parts = {part: 1000 * spent / self.steps for part, spent in self.laps.parts.items()}
        operations = {part: count * audio / self.steps / 1e9 for part, count in self.counted.items()}
        share = sum(operations.values()) / (self.whole / self.steps) / products
        whole, speed = 1000 * self.whole / self.steps, audio / self.whole
        return Row(self.encoder, self.precision, parts, whole, operations, products, share, speed)


class Products:
    """Matrix products, which take turns with the steps to tell what the processor can do."""

    def __init__(self, side: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._pair = torch.randn(2, side, side, generator=generator)
        self._work = 2 * side**3
        self.spent = dict.fromkeys(PRECISIONS, 0.0)
        self.done = dict.fromkeys(PRECISIONS, 0)

    def measure(self, precision: Taken, count: int) -> None:
        """Take a turn of so many products."""
        one, other = self._pair.to(torch.bfloat16) if precision == "bf16" else self._pair
        one @ other  # finds its memory
        begin = time.process_time()
        for _ in range(count):
            one @ other
        self.spent[precision] += time.process_time() - begin
        self.done[precision] += count

    def rate(self, precision: Taken) -> float:
        """Return 10⁹ operations per processor second."""
        return self._work * self.done[precision] / self.spent[precision] / 1e9


def profile(
    corpus: Corpus, encoders: Sequence[str], rounds: int, steps: int, seconds: float, size: int = SIDE
) -> list[Row]:
    """Measure each encoder in each precision.

    Args:
        corpus: its training utterances are read.
        encoders: names of models.
        rounds: turns of every side.
        steps: optimiser steps in a turn.
        seconds: padded audio of a batch.
        size: rows and columns of the matrices that tell the processor's rate.
    """
    sides = [Side(corpus, encoder, precision, seconds) for encoder in encoders for precision in PRECISIONS]
    products = Products(size)
    for side in sides:
        side.warm_up(corpus, steps, seconds)
    for number in range(rounds):
        for side in sides[:: 1 if number % 2 else -1]:
            side.measure(steps)
            products.measure(side.precision, PRODUCTS)
    return [side.row(products.rate(side.precision)) for side in sides]


def named(part: str) -> str:
    """Return a part's name for readers: the number of a layer for its path."""
    way, comma, place = part.partition(", ")
    last = place.rpartition(".")[2]
    if last.isdigit():
        return f"{way}, layer {int(last) + 1}"
    return f"{way}{comma}{'front end' if last == 'frontend' else last}"


def order(part: str) -> tuple[int, str]:
    """Return where a part stands in the table: as the step runs, backward as forward."""
    places = (LOADING, MASKS, FORWARD, BACKWARD, CLIPPING, OPTIMISER, BOOKKEEPING, LOOP)
    way, _, place = part.partition(", ")
    first = {"frontend": "0", "encoder.projection": "1", "encoder.norm": "3", HEAD: "4", LOSS: "5", BETWEEN: "6"}
    return places.index(way), first.get(place, f"2{place}")


def tabled(rows: Sequence[Row], note: str) -> Table:
    """Return the table: a column for each encoder and precision, a row for each part."""
    parts = sorted({part for row in rows for part in row.parts}, key=order)
    lines: list[tuple[str, list[str]]] = [
        (named(part), [f"{row.parts[part]:.1f}" if part in row.parts else "–" for row in rows]) for part in parts
    ]
    lines += [
        ("the whole step, ms", [f"{row.whole:.1f}" for row in rows]),
        ("operations, 10⁹", [f"{sum(row.operations.values()):.1f}" for row in rows]),
        ("their rate, 10⁹ per s", [f"{row.share * row.products:.0f}" for row in rows]),
        ("matrix products' rate", [f"{row.products:.0f}" for row in rows]),
        ("share of that, %", [f"{100 * row.share:.0f}" for row in rows]),
        ("audio-seconds per CPU-second", [f"{row.speed:.0f}" for row in rows]),
    ]
    headings = ("CPU-milliseconds of a step", *(f"{row.encoder}, {row.precision}" for row in rows))
    return Table(headings, tuple((name, *cells) for name, cells in lines), note=note)


def main(
    an4: Path | None = None,
    encoders: list[str] | None = None,
    rounds: int = 6,
    steps: int = 10,
    seconds: float = 60.0,
    quick: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Show where a training step's time goes, and print one table.

    Args:
        an4: the AN4 corpus; default `$ASR_TRANSFER_SPEECH/an4` or `../shared/speech/an4`, else generated noise.
        encoders: kinds of encoders; default all.
        rounds: number of turns of every side.
        steps: optimiser steps in a turn.
        seconds: padded audio of a batch.
        quick: whether to take a single turn of three steps of batches of ten seconds, for a trial.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    require_above_zero(rounds=rounds, steps=steps, seconds=seconds)
    chosen = list(MODELS) if encoders is None else encoders
    if unknown := [name for name in chosen if name not in MODELS]:
        raise SystemExit(f"step_profile.py: `--encoders` names {unknown[0]}; there are {', '.join(MODELS)}.")
    size = SIDE
    if quick:
        rounds, steps, seconds, size = 1, 3, 10.0, SIDE // 3
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    settings = {"an4": an4, "encoders": chosen, "rounds": rounds, "steps": steps, "seconds": seconds}
    record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
    with tempfile.TemporaryDirectory() as work:
        corpus = make_corpus(an4, Path(work), MODELS["bilstm"].strides, (1.0,))
        rows = profile(corpus, chosen, rounds, steps, seconds, size)
    table = tabled(rows, f"{corpus.name}, {seconds:g} s of padded audio in a batch; {machine()}.")
    show([table])
    if record is not None:
        record.finish(scores={"steps": [asdict(row) for row in rows]}, tables={"steps": [table.to_plain()]})


if __name__ == "__main__":
    try:
        jsonargparse.auto_cli(main, as_positional=False)
    except AsrTransferError as error:
        sys.exit(f"step_profile.py: {error}")
