"""Splits one training step of the real trainer among its parts: loading, masks, each block both ways, CTC, and so on.

Nothing of the trainer's loop is repeated here. Its methods, the model's blocks, the criterion and the optimiser tell
when a part begins, and whatever is counted (`time.process_time`, or the operations of a `FlopCounterMode`) goes to the
part that is under way, so that the parts add up to the whole. The backward pass tells by its gradients: once that of a
block's output is there, the block's own backward pass begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from speechbrain import Stage
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from asr_transfer.data.batching import Batch
from asr_transfer.data.inputs import Inputs
from asr_transfer.data.speech import Spoken
from asr_transfer.models.contract import SpeechModel, paths_with_tensors
from asr_transfer.training.streams import Output
from benchmarks.paced import PacedTrainer

LOADING, MASKS, LOSS, BOOKKEEPING, LOOP = "loading", "SpecAugment masks", "CTC", "bookkeeping", "SpeechBrain's loop"
CLIPPING, OPTIMISER, BETWEEN, HEAD = "clipping", "optimiser", "between blocks", "head"
FORWARD, BACKWARD = "forward", "backward"


class Laps:
    """Sums up what a meter counts, by part.

    Args:
        meter: function that returns a number that never falls.

    Attributes:
        parts: sum of each part so far.
    """

    def __init__(self, meter: Callable[[], float] = time.process_time) -> None:
        self.parts: dict[str, float] = {}
        self._meter, self._part, self._since = meter, LOOP, meter()

    def enter(self, part: str) -> str:
        """End the part that is under way, begin another, and return the one that ended."""
        now, ended = self._meter(), self._part
        self.parts[ended] = self.parts.get(ended, 0.0) + now - self._since
        self._part, self._since = part, now
        return ended

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count what is enclosed under `part`, and what follows as before."""
        outer = self.enter(part)
        yield
        self.enter(outer)

    def skip(self) -> None:
        """Leave out what was counted since the last part began."""
        self._since = self._meter()


class LappedTrainer(PacedTrainer):
    """The real trainer, which says when a part of its step begins.

    Args:
        model: model with named blocks.
        laps: sums by part.
        arguments, options: the trainer's.
    """

    def __init__(self, model: SpeechModel, *arguments: Any, laps: Laps, **options: Any) -> None:
        self.laps = laps
        super().__init__(model, *arguments, **options)
        for path in paths_with_tensors(model, [block.path for block in model.blocks()]):
            _watch(laps, model.get_submodule(path), path)
        for name in model.head_names():
            _watch(laps, model.head(name), HEAD)

    def advance(self, steps: int) -> None:
        """Take `steps` optimiser steps; what happens between two calls counts nowhere."""
        self.laps.skip()
        super().advance(steps)
        self.laps.enter(LOOP)

    def on_fit_start(self) -> None:
        """Watch the optimiser, which the trainer makes here."""
        fresh = not self._begun
        super().on_fit_start()
        if fresh:
            outer: list[str] = []
            self.optimizer.register_step_pre_hook(lambda *_: outer.append(self.laps.enter(OPTIMISER)))
            self.optimizer.register_step_post_hook(lambda *_: self.laps.enter(outer.pop()))  # type: ignore[arg-type]

    def fit_batch(self, batch: Any) -> torch.Tensor:
        """Take the trainer's own step; what no other part claims is bookkeeping."""
        with self.laps.within(BOOKKEEPING):
            return super().fit_batch(batch)

    def compute_forward(self, batch: Mapping[str, Batch], stage: Stage) -> dict[str, Output]:
        """Run the model; its blocks count for themselves."""
        with self.laps.within(f"{FORWARD}, {BETWEEN}"):
            return super().compute_forward(batch, stage)

    def compute_objectives(self, predictions: Mapping[str, Output], batch: Any, stage: Stage) -> torch.Tensor:
        """Compute the loss, and have its backward pass tell when it begins."""
        with self.laps.within(f"{FORWARD}, {LOSS}"):
            loss = super().compute_objectives(predictions, batch, stage)
            _tell(loss, lambda: self.laps.enter(f"{BACKWARD}, {LOSS}"))
        return loss

    @contextmanager
    def _around(self, batch: Mapping[str, Batch], share: float) -> Iterator[None]:
        # Forward and backward pass: the last block's ends here.
        with super()._around(batch, share):
            yield
        self.laps.enter(BOOKKEEPING)

    def _load(self, step: int) -> list[dict[str, Batch]]:
        with self.laps.within(LOADING):
            return super()._load(step)

    def _clip(self, parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
        with self.laps.within(CLIPPING):
            return super()._clip(parameters)


class _MaskedInputs:
    """Inputs of a store, whose masks count for themselves."""

    def __init__(self, inputs: Inputs, laps: Laps) -> None:
        self._inputs, self._laps = inputs, laps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inputs, name)

    def augment(self, *arguments: Any) -> torch.Tensor:
        """Change inputs at random; see `Inputs.augment`."""
        with self._laps.within(MASKS):
            return self._inputs.augment(*arguments)


def watched(data: Spoken, laps: Laps) -> Spoken:
    """Return the same data, whose masks count for themselves."""
    store = copy(data.store)
    store.inputs = _MaskedInputs(store.inputs, laps)  # type: ignore[assignment]
    return data.fed(store)


def _watch(laps: Laps, module: nn.Module, name: str) -> None:
    """Have a module tell when its forward and its backward pass begin, and when the forward one ends."""
    outer: list[str] = []

    def begin(*_: Any) -> None:
        outer.append(laps.enter(f"{FORWARD}, {name}"))

    def end(_: nn.Module, __: Any, result: Any) -> None:
        _tell(result[0] if isinstance(result, tuple) else result, lambda: laps.enter(f"{BACKWARD}, {name}"))
        laps.enter(outer.pop())

    module.register_forward_pre_hook(begin)
    module.register_forward_hook(end)


def _tell(value: torch.Tensor, begin: Callable[[], object]) -> None:
    """Call `begin` as soon as the gradient of `value` is there, and leave the gradient as it is."""

    def tell(_: torch.Tensor) -> None:
        begin()

    if value.requires_grad:
        value.register_hook(tell)


class Operations(FlopCounterMode):
    """Counts floating-point operations of matrix products, convolutions and LSTMs while it is entered."""

    def __init__(self) -> None:
        rnn = torch.ops.aten.mkldnn_rnn_layer, torch.ops.aten.mkldnn_rnn_layer_backward
        super().__init__(display=False, custom_mapping={rnn[0]: _lstm, rnn[1]: _lstm_backward})


def _lstm(
    inputs: Sequence[int], by_input: Sequence[int], by_hidden: Sequence[int], *_: Any, out_shape: Any, **__: Any
) -> int:
    """Return the operations of an LSTM over (time, batch, channels): four gates of the input and the last state."""
    return 2 * inputs[0] * inputs[1] * by_input[0] * (by_input[1] + by_hidden[1])


def _lstm_backward(*shapes: Any, out_shape: Any, **rest: Any) -> int:
    """Return those of its backward pass: the gradients of the inputs and those of the weights."""
    return 2 * _lstm(*shapes, out_shape=out_shape, **rest)
