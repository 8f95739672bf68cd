"""Divides the learning of a language into phases: how long each is, what it trains, and what they amount to
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from asr_transfer.errors import ConfigError
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.models.contract import SpeechModel, paths_with_tensors
from asr_transfer.training.trainer import Result
from asr_transfer.transfer.plan import Action, Freeze, FreezeStatistics, LearningRate


@dataclass(frozen=True)
class Phase:
    """A training of its own.

    Attributes:
        steps: Number of the optimiser's steps.
        actions: Steps of the transfer plan, on the model before it.
    """

    steps: int
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Learner:
    """A model that is about to learn a language.

    Attributes:
        model: Model before anything is copied into it.
        language: Name of the language, and of its head.
        idle: Heads of other languages, of which no speech is trained on.
        new: Blocks with initial weights, which nothing is copied into, as on a bare published encoder.
    """

    model: SpeechModel
    language: str
    idle: Sequence[str] = ()
    new: Sequence[str] = ()

    @property
    def shared(self) -> str:
        """Return a selector of all but what belongs to the language's head alone: `** - heads.fr`."""
        return "**" + "".join(f" - {path}" for path in self.model.own_parts(self.language))

    @property
    def known(self) -> str:
        """Return a selector of what the source has trained."""
        return self.shared + "".join(f" - {path}" for path in self.new)

    def layers(self, config: LanguageConfig) -> tuple[Action, ...]:
        """Return what trains all layers, and leaves heads without speech as they are."""
        trained = self.model.own_parts(self.language)
        actions: list[Action] = [
            Freeze(path) for name in self.idle for path in self.model.own_parts(name) if path not in trained
        ]
        if config.encoder_rate != 1:
            actions.append(LearningRate(self.known, config.encoder_rate))
        if published := self.model.published():
            actions.append(LearningRate(" | ".join(block.path for block in published), config.published_rate))
        if config.freeze_statistics:
            actions.append(FreezeStatistics())
        return tuple(actions)


def everything(learner: Learner, config: LanguageConfig) -> list[Phase]:
    """Train whatever the model itself does not hold still."""
    return [Phase(config.trainer.steps, ())]


def head_alone(learner: Learner, config: LanguageConfig) -> list[Phase]:
    """Train the language's head and nothing else."""
    return [Phase(config.trainer.steps, (Freeze(learner.shared),))]


def top_alone(learner: Learner, config: LanguageConfig) -> list[Phase]:
    """Train the language's head and the layers on a published encoder."""
    paths = [block.path for block in learner.model.blocks()[len(learner.model.published()) :]]
    tops = [] if learner.new or config.encoder_rate == 1 else [LearningRate(" | ".join(paths), config.encoder_rate)]
    return [Phase(config.trainer.steps, (Freeze(learner.shared + "".join(f" - {path}" for path in paths)), *tops))]


def all_layers(learner: Learner, config: LanguageConfig) -> list[Phase]:
    """Train all layers at once; where some have initial weights, at first only those."""
    if not learner.new:
        return [Phase(config.trainer.steps, learner.layers(config))]
    (first,) = top_alone(learner, config)
    half = -(-config.trainer.steps // 2)
    return [replace(first, steps=half), Phase(max(1, config.trainer.steps - half), learner.layers(config))]


def from_the_top(learner: Learner, config: LanguageConfig) -> list[Phase]:
    """Train the head first, then from the top layer down one more in each phase.

    Raises:
        ConfigError: There are too few steps.
    """
    model, steps, layers = learner.model, config.trainer.steps, len(learner.model.layers())
    first = max(1, round(config.head_steps * steps))
    if steps - first < layers + 1:
        raise ConfigError(
            f"`gradual` has {layers + 2} phases on {layers} layers, too many for `trainer.steps` = {steps} and "
            f"`head_steps` = {config.head_steps}; give more steps."
        )
    bounds = [first + (steps - first) * k // (layers + 1) for k in range(layers + 2)]
    phases = [Phase(first, (Freeze(learner.shared),))]
    blocks, whole = model.blocks(), learner.layers(config)
    for opened in range(1, layers + 1):
        upper = [block.path for block in blocks[blocks.index(model.layers()[-opened]) :]]
        closed = Freeze(learner.shared + "".join(f" - {path}" for path in paths_with_tensors(model, upper)))
        phases.append(Phase(bounds[opened] - bounds[opened - 1], (*whole, closed)))
    return [*phases, Phase(bounds[-1] - bounds[-2], whole)]


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
