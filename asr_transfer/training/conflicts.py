"""Names all of a trainer's options that do not go together, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from asr_transfer.config import TrainerConfig
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.training.streams import Mixture, Stream, Task, members
from asr_transfer.training.validation import Tally
from asr_transfer.training.validation import figures as validation_figures


def refuse_conflicts(
    config: TrainerConfig,
    streams: Sequence[Stream | Mixture],
    objectives: Sequence[tuple[Weight, Objective]],
    validation: Sequence[Task | Mixture],
    monitor: str | None,
) -> None:
    """Check what a trainer is given.

    Raises:
        ConfigError: options conflict; all conflicts are named at once.
    """
    problems: list[str] = []
    flat = [stream for group in streams for stream in members(group)]
    tasks = [task for check in validation for task in members(check) if isinstance(task, Task)]
    names = [stream.name for stream in flat]
    mixtures = [[group.name for group in groups if isinstance(group, Mixture)] for groups in (streams, validation)]
    checks = [task.name for task in tasks]
    for kind, given in (("streams", names + mixtures[0]), ("validation tasks", checks + mixtures[1])):
        problems += [f"two {kind} are called '{name}'" for name in sorted({n for n in given if given.count(n) > 1})]
    problems += [
        f"the stream '{stream.name}' has no items" for stream in [*flat, *tasks] if not len(stream.data.costs())
    ]
    for _, objective in objectives:
        method = type(objective).__name__
        problems += [
            f"{method} reads the stream '{name}', which is not given.{nearest_hint(name, names)}"
            for name in objective.streams
            if name not in names
        ]
        if objective.replaces_weight_decay and config.weight_decay:
            problems.append(f"{method} replaces weight decay; set `trainer.weight_decay` to 0")
    if config.patience and not validation:
        problems.append("`trainer.patience` needs validation data")
    if config.patience and validation and monitor is None:
        problems.append("`trainer.patience` needs a figure to monitor, but the validation is only watched")
    known = ["train_loss", *validation_figures([Tally(task) for task in tasks], validation)]
    if validation and monitor is not None and monitor not in known:
        problems.append(f"the validation gives no figure '{monitor}' to monitor.{nearest_hint(monitor, known)}")
    if problems:
        raise ConfigError("; ".join(problem.rstrip(".") for problem in problems) + ".")
