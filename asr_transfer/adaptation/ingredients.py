"""Names what each adaptation method adds to plain fine-tuning: steps of a plan, objectives and weights.

Every function makes the ingredients of one method for a source model and settings; nothing here touches the trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.errors import ConfigError
from asr_transfer.models.adapters import AdapterSpec
from asr_transfer.models.adapters.codes import codes_of
from asr_transfer.models.adapters.modulation import modulation_of
from asr_transfer.models.contract import Block, Model, SpeechModel, paths_with_tensors
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.transfer.distillation import Distillation
from asr_transfer.transfer.ewc import EWC
from asr_transfer.transfer.l2sp import L2SP
from asr_transfer.transfer.plan import Action, Add, Freeze

STREAM = "speaker"
"""Name of the task that holds the new speaker's utterances."""


@dataclass
class Ingredients:
    """What a method adds to plain fine-tuning.

    Attributes:
        actions: steps of the transfer plan, after copying the source model.
        objectives: objectives with their weights.
        task_weight: factor on the loss of the speaker's utterances.
        source_weight: weight of the loss on source utterances.
    """

    actions: list[Action] = field(default_factory=list)
    objectives: list[tuple[Weight, Objective]] = field(default_factory=list)
    task_weight: float = 1.0
    source_weight: float = 0.0


def everything(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to train all that the source has."""
    return Ingredients()


def first_layers(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to train the front end and the first layers."""
    layers, blocks = source.layers(), source.blocks()
    if settings.first >= len(layers):
        raise ConfigError(
            f"`settings.first` is {settings.first} but the encoder has {len(layers)} layers; leave one to freeze."
        )
    behind = blocks[blocks.index(layers[settings.first]) :]
    return _frozen(source, behind, with_heads=True)


def front_end(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to train the front end alone."""
    front = source.front_end()
    if not paths_with_tensors(source, [block.path for block in front]):
        raise ConfigError(
            f"`front-end` trains the front end, but {type(source).__name__} has none with weights; name another method."
        )
    return _frozen(source, [block for block in source.blocks() if block not in front], with_heads=True)


def last_layers(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to train what lies behind the first layers."""
    layers, blocks = source.layers(), source.blocks()
    if settings.first > len(layers):
        raise ConfigError(f"`settings.first` is {settings.first} but the encoder has {len(layers)} layers; lower it.")
    below = blocks[: blocks.index(layers[settings.first - 1]) + 1] if settings.first else source.front_end()
    return _frozen(source, below)


def head(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to train the output layer alone."""
    if not source.heads.state_dict() and not any(source.own_parts(name) for name in source.heads):
        raise ConfigError(
            f"`head` trains the output layer alone, but that of {type(source).__name__} has no weights of its own; "
            "name another method."
        )
    return _frozen(source, source.blocks())


def _frozen(source: Model, blocks: Sequence[Block], with_heads: bool = False) -> Ingredients:
    """Return what keeps some blocks, and perhaps the heads, as they are."""
    paths = [block.path for block in blocks]
    if with_heads:
        own = (path for name in source.heads for path in source.own_parts(name))
        # Heads may have no weights of their own: then what makes them is kept.
        paths += ["heads"] if source.heads.state_dict() else dict.fromkeys(own)
    # What belongs to no block is held too: these methods train what they name and nothing else.
    kept = [*paths_with_tensors(source, paths), *source.outside()]
    return Ingredients([Freeze(" | ".join(kept))] if kept else [])


def kld(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to hold the outputs."""
    held: tuple[Weight, Objective] = (settings.rho, Distillation(source, STREAM, settings.kld_frames))
    return Ingredients([], [held], 1.0 - settings.rho)


def l2sp(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to hold the weights."""
    # Without a reference the penalty holds what training starts from: the source weights, or an adapter's no-op.
    return Ingredients([], [(1.0, L2SP(settings.alpha))])


def ewc(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to hold the weights by their Fisher information."""
    # `adapt` takes the Fisher information on source utterances where there are some, which no stream here holds.
    return Ingredients([], [(1.0, EWC(settings.fisher, STREAM))])


def replay(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to mix source utterances in."""
    return Ingredients(task_weight=1.0 - settings.replay, source_weight=settings.replay)


def added(kind: str, size: Callable[[MethodSettings], int]) -> Callable[[Model, MethodSettings], Ingredients]:
    """Return what makes the ingredients that train an adapter alone, of a size that the settings say."""

    def ingredients(source: Model, settings: MethodSettings) -> Ingredients:
        return Ingredients([Add(AdapterSpec(kind, size(settings)), settings.blocks), Freeze("** - adapters")])

    return ingredients


def speaker_code(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to train a code of the speaker alone."""
    # Where codes were trained with the model, nothing but a new speaker's code is learnt.
    trained = codes_of(source)
    size = settings.code if trained is None else trained.size
    return added("speaker-code", lambda _: size)(source, settings)


def warp(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to warp the frequencies."""
    # `adapt` chooses the factor and sets it before the plan is applied, for it is no weight that could be trained.
    return Ingredients([Add(AdapterSpec("warp")), Freeze("adapters.warp")])


def start(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to go on from a profile."""
    # `adapt` puts the profile on before the plan is applied; what else is trained goes on from there.
    space = source.speakers if isinstance(source, SpeechModel) else None
    return Ingredients([Add(space.spec)] if space else [])


def film(source: Model, settings: MethodSettings) -> Ingredients:
    """Return what it takes to modulate by a speaker's summary."""
    # `adapt` puts the summary on before the plan is applied, for it is computed and not trained.
    part = modulation_of(source)
    return Ingredients([Add(AdapterSpec(FILM, part.size))] if part else [])
