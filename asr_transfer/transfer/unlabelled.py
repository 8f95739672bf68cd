"""Learns from the answers to unlabelled items: that they be certain, or what a steadier teacher says."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.models.modes import evaluating
from asr_transfer.training.forward import run
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output, Stream


class EntropyMinimisation(TrainedObjective):
    """Mean entropy of the answers to a stream, so that boundaries leave dense regions (Grandvalet and Bengio 2005).

    Args:
        stream: name of a stream with a head.
    """

    def __init__(self, stream: str) -> None:
        super().__init__()
        self.streams = (stream,)

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the entropy per output position."""
        output = outputs[self.streams[0]]
        logits = output.require_logits()[output.valid()]
        value: torch.Tensor = torch.special.entr(logits.softmax(-1)).sum(-1).mean()
        self.note("entropy", value)
        return value


class SelfTraining(TrainedObjective):
    """Cross-entropy to a teacher's best answer where the teacher is sure of it (French et al. 2018; Sohn et al. 2020).

    The teacher is a moving average of the model (Tarvainen and Valpola 2017). It sees the items as they are, the model
    as its stream augments them, so that the model learns to say of a changed item what is said of it unchanged. The
    sum is divided by all output positions of the batch, items or frames: few sure answers count little.

    Args:
        stream: name of an unlabelled stream with a head; its augmentation leaves frames in their places.
        confidence: least probability of the teacher's best answer.
        decay: share of the average that stays at a step; 0 makes the model its own teacher.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(self, stream: str, confidence: float = 0.9, decay: float = 0.99) -> None:
        super().__init__()
        for name, value in (("confidence", confidence), ("decay", decay)):
            if not 0 <= value < 1:
                raise ConfigError(f"The '{name}' parameter of SelfTraining must be from 0 to below 1, got {value}.")
        self.streams, self.confidence, self.decay = (stream,), confidence, decay
        self.teacher: nn.Module = nn.Identity()
        self._stream: Stream | None = None

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Copy the model as it is."""
        self.teacher, self._stream = copy.deepcopy(model).requires_grad_(False), streams[self.streams[0]]

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the cross-entropy to sure answers, per output position of the batch."""
        assert self._stream is not None
        output = outputs[self.streams[0]]
        valid, logits = output.valid(), output.require_logits()
        plain = self._stream.data.collate(output.batch.items.tolist()).to(logits.device)
        with torch.no_grad(), evaluating(self.teacher):
            answers = run(self.teacher, self._stream, plain).require_logits()
        sure, best = answers[valid].softmax(-1).max(-1)
        taken = sure >= self.confidence
        self.note("taken", taken.float().mean())
        loss = nn.functional.cross_entropy(logits[valid], best, reduction="none")
        return torch.where(taken, loss, 0.0).mean()

    @torch.no_grad()
    def stepped(self, model: nn.Module) -> None:
        """Let the teacher follow; its statistics of BatchNorm, averages themselves, are the model's."""
        for own, new in zip(self.teacher.parameters(), model.parameters(), strict=True):
            own.lerp_(new.to(own.dtype), 1 - self.decay)
        for kept, statistics in zip(self.teacher.buffers(), model.buffers(), strict=True):
            kept.copy_(statistics)
