"""Adds up a validation: per task its mean loss and its metric, under names that can be monitored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from asr_transfer.training.streams import Metric, Mixture, Output, Stream, Task


@dataclass
class Tally:
    """Figures of one validation task: mean loss per output position, and the task's metric."""

    task: Task
    loss: float = 0.0
    count: int = 0
    metric: Metric | None = field(init=False)

    def __post_init__(self) -> None:
        self.metric = self.task.metric() if self.task.metric else None

    def update(self, output: Output) -> torch.Tensor:
        """Take in a batch and return its mean loss."""
        loss, count = self.task.criterion(output)
        self.loss += float(loss)
        self.count += int(count)
        if self.metric is not None:
            self.metric.update(output)
        return (loss / count).detach().cpu()

    def summary(self) -> dict[str, float]:
        """Return `loss` and the metric's figures."""
        return {"loss": self.loss / max(1, self.count), **(self.metric.summary() if self.metric else {})}


def figures(tallies: Sequence[Tally], checks: Sequence[Stream | Mixture] = ()) -> dict[str, float]:
    """Return all figures by name.

    They are prefixed by the task's name when there are several tasks. Of each mixture the means over its tasks follow,
    prefixed by its name unless it is all there is.

    Args:
        tallies: tallies of all tasks.
        checks: the tasks and mixtures that these came from.
    """
    several = len(tallies) > 1
    named = {}
    for tally in tallies:
        prefix = f"{tally.task.name}." if several else ""
        named.update({prefix + key: value for key, value in tally.summary().items()})
    for check in checks:
        if several and isinstance(check, Mixture):
            tasks = {task.name for task in check.tasks}
            own = [tally.summary() for tally in tallies if tally.task.name in tasks]
            prefix = f"{check.name}." if len(checks) > 1 else ""
            for key in own[0]:
                if all(key in summary for summary in own):
                    named[prefix + key] = sum(summary[key] for summary in own) / len(own)
    return named
