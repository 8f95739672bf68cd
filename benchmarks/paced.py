"""Trains a few steps at a time, by the real trainer with a clock, so that sides of a comparison can take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from asr_transfer.training.trainer import Trainer


class PacedTrainer(Trainer):
    """The real trainer, a few steps at a time, with its clock."""

    def __init__(self, *args: Any, durations: list[float], **options: Any) -> None:
        super().__init__(*args, **options)
        self.durations = durations
        self.audio = self.stepping = 0.0
        self._begun = False

    @property
    def cpu(self) -> float:
        """Processor seconds of training: loading and steps, validation not counted."""
        return self.progress.loading_seconds + self.stepping

    @property
    def data(self) -> float:
        """The part of `cpu` spent on making batches."""
        return self.progress.loading_seconds

    def advance(self, steps: int) -> None:
        """Take `steps` optimiser steps."""
        self.fit([0], torch.utils.data.DataLoader(_Next(self, steps), batch_size=None))

    def on_fit_start(self) -> None:
        """Make the optimiser at the first call only."""
        if not self._begun:
            super().on_fit_start()
            self._begun = True

    def fit_batch(self, batch: Any) -> torch.Tensor:
        """Take the trainer's own step, and time it."""
        begin = time.process_time()
        loss = super().fit_batch(batch)
        self.stepping += time.process_time() - begin
        self.audio += sum(self.durations[item] for part in batch for b in part.values() for item in b.items.tolist())
        return loss


class _Next(torch.utils.data.IterableDataset[Any]):
    def __init__(self, trainer: PacedTrainer, steps: int) -> None:
        self._trainer, self._steps = trainer, steps

    def __iter__(self) -> Iterator[Any]:
        first = self._trainer.optimizer_step
        for step in range(first, first + self._steps):
            yield self._trainer._load(step)


@dataclass
class Side:
    """Something that is timed in rounds.

    Attributes:
        name: name in the table.
        clock: has `cpu`, `data` and `audio`, growing.
        advance: function that takes a number of optimiser steps.
        rounds: (cpu, data, audio) seconds of each measured round.
    """

    name: str
    clock: Any
    advance: Callable[[int], None]
    rounds: list[tuple[float, float, float]] = field(default_factory=list)

    def measure(self, steps: int, keep: bool = True) -> None:
        """Take a turn of `steps` that counts as a round."""
        before = self.clock.cpu, self.clock.data, self.clock.audio
        self.advance(steps)
        after = self.clock.cpu, self.clock.data, self.clock.audio
        if keep:
            self.rounds.append((after[0] - before[0], after[1] - before[1], after[2] - before[2]))

    def speeds(self) -> list[float]:
        """Return audio-seconds per processor-second of each round."""
        return [audio / cpu for cpu, _, audio in self.rounds]

    def data_share(self) -> float:
        """Return the share of processor time spent on data, over all rounds."""
        return sum(r[1] for r in self.rounds) / sum(r[0] for r in self.rounds)


def ratios(first: Side, second: Side) -> list[float]:
    """Return by round how many times as many audio-seconds per processor-second `first` takes."""
    return [a / b for a, b in zip(first.speeds(), second.speeds(), strict=True)]


def step_ratios(first: Side, second: Side) -> list[float]:
    """Return by round how many times as long a step of `second` takes as one of `first`."""
    return [b[0] / a[0] for a, b in zip(first.rounds, second.rounds, strict=True)]


def spread(values: Sequence[float], digits: int) -> tuple[str, str]:
    """Return median and range as text."""
    return f"{statistics.median(values):.{digits}f}", f"{min(values):.{digits}f} … {max(values):.{digits}f}"


def take_turns(sides: Sequence[Side], rounds: int, steps: int) -> None:
    """Time sides step by step in turns, and sum each one's steps up to rounds, after a round for warming up."""
    for number in range((rounds + 1) * steps):
        first = number // 2 % len(sides)
        turns = [*sides[first:], *sides[:first]]
        for side in turns if number % 2 else reversed(turns):
            side.measure(1, keep=number >= steps)
    for side in sides:
        side.rounds = [
            (sum(r[0] for r in part), sum(r[1] for r in part), sum(r[2] for r in part))
            for part in (side.rounds[first : first + steps] for first in range(0, rounds * steps, steps))
        ]
