"""The phases in which a language is learnt: how long each is, what it trains, and what they amount to together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.attributes import PhoneModel
from asr_transfer.models.shared_private import SharedPrivateModel
from asr_transfer.training.trainer import Result
from asr_transfer.transfer.plan import Action, Freeze, FreezeStatistics, LearningRate


@dataclass(frozen=True)
class Phase:
    """A training of its own.

    Attributes:
        steps: of the optimiser.
        actions: on the model before it.
    """

    steps: int
    actions: tuple[Action, ...]


def own_parts(model: AcousticModel, head: str) -> str:
    """Return what of a model belongs to one head alone, for behind a selector: ` - heads.fr`.

    Where languages share their phones that is the layer of phones, which is all that makes a head of them.
    """
    if isinstance(model, PhoneModel):
        return " - phones"
    return f" - heads.{head}" + (f" - private.{head}" if isinstance(model, SharedPrivateModel) else "")


def make_phases(config: LanguageConfig, model: AcousticModel, language: str, idle: Sequence[str]) -> list[Phase]:
    """Return steps and actions of each phase.

    Args:
        config: how `language` is learnt.
        model: that is trained.
        language: whose head is new.
        idle: heads without data.

    Raises:
        ConfigError: there are too few steps for `gradual`.
    """
    steps, layers = config.trainer.steps, model.config.layers
    if config.mode not in ("head", "all", "gradual", "joint"):
        return [Phase(steps, ())]
    alone = "**" + own_parts(model, language)
    if config.mode == "head":
        return [Phase(steps, (Freeze(alone),))]
    whole: list[Action] = [] if isinstance(model, PhoneModel) else [Freeze(f"heads.{name}") for name in idle]
    if isinstance(model, SharedPrivateModel):
        whole += [Freeze(f"private.{name}") for name in idle]
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
    for opened in range(1, layers + 1):
        closed = Freeze(f"{alone} - encoder.norm - encoder.layers[-{opened}:]")
        phases.append(Phase(bounds[opened] - bounds[opened - 1], (*whole, closed)))
    phases.append(Phase(bounds[-1] - bounds[-2], tuple(whole)))
    return phases


def joined(runs: Sequence[tuple[nn.Module, Result]], monitor: str) -> tuple[AcousticModel, Result]:
    """Return the model of the best phase (the last without validation) and what all phases did together."""
    if len(runs) == 1:
        model, result = runs[0]
        assert isinstance(model, AcousticModel)
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
    assert isinstance(chosen, AcousticModel)
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
