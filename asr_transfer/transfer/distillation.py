"""Holds a model near the posteriors of a frozen teacher (output-conservative, KLD; Yu et al. 2013, Li et al. 2018)."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import nn

from asr_transfer.data.batching import Batch, sequential
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import ConfigError
from asr_transfer.training.forward import run
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.training.views import Views


class Distillation:
    """Cross-entropy from a teacher's posteriors to the model's: Σ_t CE(p_teacher,t , p_t), per output position.

    With weight ρ beside a task of weight 1 - ρ this is KLD-regularised adaptation: the gradient at the logits is
    p - [(1 - ρ) y + ρ p_teacher], with CTC's occupancies in place of y for CTC. The teacher's posteriors of every item
    (and of each of its speed copies) are computed once, before the first step, on unaugmented inputs, and kept as
    `Views` keep them, exactly: an hour of 10,000 tokens has 7 GB, of which memory holds one and a file the rest.

    Args:
        teacher: model under the contract; None takes the model as it is when training starts.
        stream: name of the task whose outputs are held.
        frames: `all`, or `non-blank` for positions where the teacher's best token is not the blank, which would
            otherwise dominate the sum. Both are divided by the number of all positions.
        blank: index of the blank.
        cache: the teacher's posteriors by utterance id and speed, which this reads and completes; give the same to all
            trainings with one teacher, head and set of recordings. The teacher then hears each utterance alone, so
            that the posteriors are the same bits in whatever company, and whoever computes them.

    Raises:
        ConfigError: `frames` is neither, or with a cache the stream does not hold utterances.
    """

    taps: Sequence[str] = ()
    replaces_weight_decay = False

    def __init__(
        self,
        teacher: nn.Module | None,
        stream: str,
        frames: Literal["all", "non-blank"] = "all",
        blank: int = 0,
        cache: Views | None = None,
    ) -> None:
        if frames not in ("all", "non-blank"):
            raise ConfigError(
                f"The 'frames' parameter of Distillation must be 'all' or 'non-blank', got '{frames}' instead."
            )
        self.teacher, self.stream, self.frames, self.blank = teacher, stream, frames, blank
        self.cache = cache
        self.streams: Sequence[str] = (stream,)
        self._kept: Views | None = None
        self._keys: Sequence[Hashable] = ()
        self._device = torch.device("cpu")

    @torch.no_grad()
    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Run the teacher over the whole stream once."""
        stream = streams[self.stream]
        if not isinstance(stream, Task):
            raise ConfigError(f"Distillation needs a task, but the stream '{self.stream}' has no head.")
        teacher = (self.teacher if self.teacher is not None else copy.deepcopy(model)).eval()
        device = next(model.parameters()).device
        teacher.to(device)
        self._device = device
        if self.cache is not None:
            self._kept, self._keys = self.cache, self._complete(self.cache, teacher, stream)
            return
        self._kept, self._keys = Views(half=False), range(len(stream.data.costs()))
        for item, posteriors in _run(teacher, stream, device):
            self._kept.keep(item, posteriors)

    def _complete(self, cache: Views, teacher: nn.Module, task: Task) -> Sequence[Hashable]:
        """Let the teacher hear what the cache lacks, and return the key of each item."""
        if not isinstance(task.data, Spoken):
            raise ConfigError(
                f"Distillation's 'cache' keeps posteriors of utterances, but the stream '{task.name}' holds none; "
                "leave it out."
            )
        keys = [(u.id, speed) for u in task.data.utterances for speed in task.data.speeds]
        for item, key in enumerate(keys):
            if key not in cache:
                ((_, posteriors),) = _posteriors(teacher, task, task.data.collate([item]).to(self._device))
                cache.keep(key, posteriors)
        return keys

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the cross-entropy per output position of the stream's batch."""
        output = outputs[self.stream]
        own = output.require_logits().log_softmax(-1)
        own = own.reshape(len(own), -1, own.shape[-1])
        target = self.target(output.batch.items, own.shape[1]).to(own.dtype)
        return -(target * own).sum() / output.count()

    def target(self, items: torch.Tensor, frames: int) -> torch.Tensor:
        """Return (batch, frames, tokens) teacher posteriors of `items`; zero at padding and at positions left out."""
        assert self._kept is not None
        blocks = [self._kept.get(self._keys[item])[:frames] for item in items.tolist()]
        target = blocks[0].new_zeros(len(blocks), frames, blocks[0].shape[1])
        for row, block in zip(target, blocks, strict=True):
            row[: len(block)] = block
        target = target.to(self._device)
        return target * (target.argmax(-1) != self.blank)[:, :, None] if self.frames == "non-blank" else target


def _run(teacher: nn.Module, task: Task, device: torch.device) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield every item with its (positions, tokens) posteriors, batch by batch."""
    for batch in sequential(task.data, budget=task.budget or 6_000):
        yield from _posteriors(teacher, task, batch.to(device))


def _posteriors(teacher: nn.Module, task: Task, batch: Batch) -> list[tuple[int, torch.Tensor]]:
    """Return each item of a batch with its posteriors."""
    output = run(teacher, task, batch)
    posteriors = output.require_logits().softmax(-1).cpu()
    counts = output.valid().reshape(len(batch.items), -1).sum(1).tolist()
    return [
        (item, block.reshape(-1, block.shape[-1])[:count].clone())
        for item, block, count in zip(batch.items.tolist(), posteriors, counts, strict=True)
    ]
