"""Divides the learning of a language into phases: how long each is, what it trains, and what they amount to
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.models.contract import Model, SpeechModel, paths_with_tensors
from asr_transfer.training.trainer import Result
from asr_transfer.transfer.plan import Action, Freeze, FreezeStatistics, LearningRate


@dataclass(frozen=True)
class Phase:
    """A training of its own.

    Attributes:
        steps: number of the optimiser's steps.
        actions: on the model before it.
    """

    steps: int
    actions: tuple[Action, ...]


def own_parts(model: Model, head: str) -> str:
    """Return what of a model belongs to one head alone, for behind a selector: ` - heads.fr`."""
    return "".join(f" - {path}" for path in model.own_parts(head))


def make_phases(config: LanguageConfig, model: Model, language: str, idle: Sequence[str]) -> list[Phase]:
    """Return steps and actions of each phase.

    Args:
        config: how `language` is learnt.
        model: that is trained.
        language: whose head is new.
        idle: heads without data.

    Raises:
        ConfigError: there are too few steps for `gradual`.
    """
    steps, layers = config.trainer.steps, len(model.layers())
    if config.mode not in ("head", "all", "gradual", "joint"):
        return [Phase(steps, ())]
    alone = "**" + own_parts(model, language)
    if config.mode == "head":
        return [Phase(steps, (Freeze(alone),))]
    trained = model.own_parts(language)
    whole: list[Action] = [Freeze(path) for name in idle for path in model.own_parts(name) if path not in trained]
    if config.encoder_rate != 1:
        whole.append(LearningRate(alone, config.encoder_rate))
    if config.freeze_statistics:
        whole.append(FreezeStatistics())
    if config.mode != "gradual":
        return [Phase(steps, tuple(whole))]
    first = max(1, round(config.head_steps * steps))
    if steps - first < layers + 1:
        raise ConfigError(
            f"`gradual` has {layers + 2} phases on {layers} layers, too many for `trainer.steps` = {steps} and "
            f"`head_steps` = {config.head_steps}; give more steps."
        )
    bounds = [first + (steps - first) * k // (layers + 1) for k in range(layers + 2)]
    phases = [Phase(first, (Freeze(alone),))]
    blocks = model.blocks()
    for opened in range(1, layers + 1):
        upper = [block.path for block in blocks[blocks.index(model.layers()[-opened]) :]]
        closed = Freeze(alone + "".join(f" - {path}" for path in paths_with_tensors(model, upper)))
        phases.append(Phase(bounds[opened] - bounds[opened - 1], (*whole, closed)))
    phases.append(Phase(bounds[-1] - bounds[-2], tuple(whole)))
    return phases


def joined(runs: Sequence[tuple[nn.Module, Result]], monitor: str) -> tuple[SpeechModel, Result]:
    """Return the model of the best phase (the last without validation) and what all phases did together."""
    if len(runs) == 1:
        model, result = runs[0]
        assert isinstance(model, SpeechModel)
        return model, result
    history: list[dict[str, float]] = []
    bests: list[tuple[dict[str, float], nn.Module]] = []
    steps = 0
    for number, (model, result) in enumerate(runs, start=1):
        begun = {"step": float(steps), "phase": float(number)}
        shifted = [
            {**entry, "step": entry["step"] + begun["step"], "phase": begun["phase"]} for entry in result.history
        ]
        history += shifted
        if result.best is not None:
            bests.append((shifted[result.history.index(result.best)], model))
        steps += result.steps
    best, chosen = min(bests, key=lambda pair: (pair[0][monitor], pair[0]["loss"])) if bests else (None, runs[-1][0])
    assert isinstance(chosen, SpeechModel)
    results = [result for _, result in runs]
    return chosen, Result(
        history,
        best,
        steps,
        sum(r.skipped for r in results),
        sum(r.cpu_seconds for r in results),
        sum(r.loading_seconds for r in results),
        sum(r.cost for r in results),
    )
