"""Remembers what a trainer knows between steps besides weights and optimiser, and keeps it in its checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks
from torch import nn

from asr_transfer.errors import ConfigError


@register_checkpoint_hooks
@dataclass
class Progress:
    """History, best weights and counters of a training run.

    Attributes:
        history: one entry per validation.
        best: the entry with the lowest monitored figure.
        best_weights: the model's state at `best`.
        validations_since_best: number of validations since `best`, for early stopping.
        skipped: steps with a non-finite loss or gradient.
        cpu_seconds, loading_seconds, cost: sums so far, as in `trainer.Result`.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None
    best_weights: dict[str, torch.Tensor] | None = None
    validations_since_best: int = 0
    skipped: int = 0
    cpu_seconds: float = 0.0
    loading_seconds: float = 0.0
    cost: int = 0

    def note(self, figures: dict[str, float], monitor: str, model: nn.Module) -> None:
        """Add a validation; keep the model's state when `monitor` improved (ties: the lower loss, then the earlier)."""
        if monitor not in figures:
            raise ConfigError(f"the validation gives no figure '{monitor}' to monitor, only {', '.join(figures)}.")
        self.history.append(figures)

        def rank(entry: dict[str, float]) -> tuple[float, float]:
            # NaN compares as False with everything: as a first entry it would stay the best for ever.
            first, second = (float("inf") if math.isnan(x) else x for x in (entry[monitor], entry.get("loss", 0.0)))
            return first, second

        if self.best is None or rank(figures) < rank(self.best):
            self.best, self.validations_since_best = figures, 0
            self.best_weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        else:
            self.validations_since_best += 1

    @mark_as_saver
    def _save(self, path: Path) -> None:
        torch.save(self.__dict__, path)

    @mark_as_loader
    def _load(self, path: Path, end_of_epoch: bool) -> None:
        self.__dict__.update(torch.load(path, map_location="cpu", weights_only=True))
