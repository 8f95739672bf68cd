"""Measures training on images: against a plain loop of torch with the same model, and above frozen blocks, in one run.

Steps per second of the real `Trainer` (batches of bytes made floats, forward, loss, backward, clipping, AdamW, cosine)
stand beside those of a loop written by hand. Then the same trainer with its first blocks frozen, which run at every
step or once over each image (`training/activations.py`): the first epoch, which computes what is stored, is told apart.

All sides run on one thread of one process and take turns every few steps, in alternating order, so that a machine whose
speed drifts slows all of them alike; the medians of the rounds are compared. Seconds are the process's own.

    python benchmarks/images.py [--steps 20] [--count 9] [--out FOLDER]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import copy
import logging
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import jsonargparse
import torch
from torch.nn import functional

from asr_transfer.config import ImageConfig, ImageTrainerConfig
from asr_transfer.data.batching import ArrayData, LengthBuckets
from asr_transfer.errors import AsrTransferError
from asr_transfer.experiments.core.tables import Table, show
from asr_transfer.models.image import ImageModel
from asr_transfer.runs.record import RunRecord
from asr_transfer.training.activations import Stored, above, stored_depth
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.optimisation import scale_at
from asr_transfer.training.streams import Task
from asr_transfer.transfer.plan import Done, Freeze, TransferPlan
from benchmarks.above_zero import require_above_zero
from benchmarks.machine import machine
from benchmarks.paced import PacedTrainer
from benchmarks.targets import met

HEAD = "classes"
CLASSES = 10
SCHEDULE = 2000
"""Steps of the learning-rate schedule, of which only the first are taken here."""
SPEED_WANTED = 0.95
"""Share of the plain loop's steps per second that the trainer takes."""
STORED_WANTED = 3.0
"""Times as fast an epoch is whose frozen blocks ran before."""
TRAINER, LOOP = "Trainer", "plain loop of torch"
FROZEN, STORED = "frozen blocks at every step", "frozen blocks once"


@dataclass(frozen=True)
class Bench:
    """What is trained on.

    Attributes:
        channels: channels of each convolution.
        halve: numbers of the blocks that halve the resolution.
        frozen: number of blocks that are frozen where some are.
        size: pixels of a side, in three colours.
        images: number of images.
        batch: images in a batch.
    """

    channels: tuple[int, ...] = (16, 32, 48, 64, 96)
    halve: tuple[int, ...] = (0, 2, 4)
    frozen: int = 5
    size: int = 32
    images: int = 2048
    batch: int = 64

    def data(self) -> ArrayData:
        """Return noise with labels, as bytes."""
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (self.images, 3, self.size, self.size), generator=generator, dtype=torch.uint8)
        return ArrayData(pixels, torch.randint(0, CLASSES, (self.images,), generator=generator))

    def model(self) -> ImageModel:
        """Return the network with initial weights."""
        torch.manual_seed(0)
        return ImageModel(
            ImageConfig(channels=self.channels, inputs=3, size=self.size, halve=self.halve), {HEAD: CLASSES}
        )

    def config(self) -> ImageTrainerConfig:
        """Return the settings of all sides."""
        return ImageTrainerConfig(steps=SCHEDULE, batch_budget=self.batch, device="cpu")


class Side(Protocol):
    """What takes turns."""

    @property
    def cpu(self) -> float:
        """Processor seconds so far."""
        ...

    def advance(self, steps: int) -> None:
        """Take so many steps."""
        ...


class Loop:
    """A loop as one writes it by hand: batches, loss, clipping, AdamW, cosine.

    Args:
        model: network, which is trained.
        data: images with labels.
        config: settings of the trainer.
        order: order of the trainer's batches.
    """

    def __init__(self, model: ImageModel, data: ArrayData, config: ImageTrainerConfig, order: LengthBuckets) -> None:
        self.model, self.data, self.config = model.train(), data, config
        matrices = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self.order = order
        self.step, self.cpu = 0, 0.0

    def advance(self, steps: int) -> None:
        """Take so many steps."""
        begin = time.process_time()
        for _ in range(steps):
            items = torch.from_numpy(self.order.batch(self.step))
            inputs, targets = self.data.inputs[items].float() / 255, self.data.targets[items]
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate * scale_at(self.step, self.config)
            hidden, _ = self.model(inputs)
            loss = functional.cross_entropy(self.model.head(HEAD)(hidden), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_gradient_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.step += 1
        self.cpu += time.process_time() - begin


def sides(bench: Bench) -> dict[str, Side]:
    """Return what takes turns, by name, all from the same weights."""
    data, config, model = bench.data(), bench.config(), bench.model()
    task = Task("images", data, cross_entropy, head=HEAD)

    def trainer(model: ImageModel, frozen: int = 0, once: bool = False) -> PacedTrainer:
        plan = TransferPlan(*([Freeze(" | ".join(block.path for block in model.blocks()[:frozen]))] if frozen else []))
        applied = plan.apply(model)
        depth = stored_depth(model, masked=False) if once else 0
        tasks = Stored(model).feed_all([task], depth)
        seen = [1.0] * bench.images
        return PacedTrainer(above(model, depth), tasks, plan=Done(applied), config=config, durations=seen)

    whole = trainer(copy.deepcopy(model))
    return {
        TRAINER: whole,
        LOOP: Loop(copy.deepcopy(model), data, config, whole._buckets[task.name]),
        FROZEN: trainer(copy.deepcopy(model), bench.frozen),
        STORED: trainer(copy.deepcopy(model), bench.frozen, once=True),
    }


def rounds(running: Mapping[str, Side], steps: int, count: int) -> dict[str, list[float]]:
    """Return the steps per processor second of each side in each round, by name, in alternating order."""
    speeds: dict[str, list[float]] = {name: [] for name in running}
    for number in range(count):
        for name in list(running) if number % 2 else reversed(list(running)):
            before = running[name].cpu
            running[name].advance(steps)
            speeds[name].append(steps / (running[name].cpu - before))
    return speeds


def ratio(speeds: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """Return how many times as fast one side is as another: the median over rounds."""
    return statistics.median(a / b for a, b in zip(speeds[one], speeds[other], strict=True))


def main(
    steps: int = 20,
    count: int = 9,
    bench: Bench = Bench(),
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Measure and print.

    Args:
        steps: steps of a side before the next has its turn.
        count: number of rounds, of which the median is taken.
        bench: network and images.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    require_above_zero(steps=steps, count=count)
    logging.disable(logging.INFO)
    settings = {"steps": steps, "count": count, "bench": asdict(bench)}
    try:
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    running = sides(bench)
    epoch = -(-bench.images // bench.batch)
    first: dict[str, float] = {}
    for name, side in running.items():  # kernels are built, and frozen blocks run once over each image
        side.advance(epoch)
        first[name] = side.cpu
    speeds = rounds(running, steps, count)
    table = speeds_table(speeds, first, bench)
    show([table])
    if record is not None:
        record.finish(scores={"steps_per_second": speeds, "first_epoch": first}, tables={"images": [table.to_plain()]})


def speeds_table(speeds: Mapping[str, Sequence[float]], first: Mapping[str, float], bench: Bench) -> Table:
    """Return steps per processor-second, and what an epoch takes, with the targets.

    Args:
        speeds: steps per processor-second of each side, in each round.
        first: processor-seconds of each side's first epoch, which builds kernels or stores outputs.
        bench: network and images.
    """
    epoch = -(-bench.images // bench.batch)
    wanted = {TRAINER: (LOOP, SPEED_WANTED), STORED: (FROZEN, STORED_WANTED)}
    lines = []
    for name, own in speeds.items():
        speed = statistics.median(own)
        beside = ("", "", "", "")
        if name in wanted:
            other, least = wanted[name]
            reached = ratio(speeds, name, other)
            beside = (f"{reached:.2f}", other, f"≥ {least:g}", met(reached >= least))
        lines.append((name, f"{speed:.1f}", f"{epoch / speed:.2f}", f"{first[name]:.2f}", *beside))
    headings = ("training", "steps per CPU-second", "CPU-seconds per epoch", "the first epoch", "times as fast", "as",
                "target", "met")  # fmt: skip
    what = f"{bench.images} images of {bench.size} × {bench.size}, batches of {bench.batch}, {bench.frozen} of "
    return Table(headings, tuple(lines), note=f"{what}{len(bench.channels)} blocks frozen where some are; {machine()}.")


if __name__ == "__main__":
    jsonargparse.auto_cli(main, as_positional=False)
