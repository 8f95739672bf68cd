"""Builds what a trainer takes of an adaptation method or a combination: one plan, objectives and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr_transfer.adaptation.methods import default_learning_rate, find_methods
from asr_transfer.adaptation.settings import MethodSettings
from asr_transfer.models.adapters.speaker_parts import sizes_of
from asr_transfer.models.contract import Model, paths_with_tensors
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.transfer.plan import Action, Add, Copy, Freeze, FreezeStatistics, LearningRate, TransferPlan


@dataclass(frozen=True)
class BuiltMethod:
    """A method or combination, ready for a trainer.

    Attributes:
        plan: plan of the transfer.
        objectives: objectives with their weights.
        task_weight: weight of the loss of the speaker's utterances.
        source_weight: weight of the loss of source utterances; 0 reads none.
    """

    plan: TransferPlan
    objectives: Sequence[tuple[Weight, Objective]]
    task_weight: float
    source_weight: float


def build(name: str, source: Model, settings: MethodSettings, head: str | None = None) -> BuiltMethod:
    """Return what a method or combination does with a source model.

    All methods start from the source model's weights and keep its normalisation statistics, and what it holds.

    Args:
        name: name of the method or combination.
        source: model to adapt.
        settings: settings of the methods.
        head: head that is adapted: what only the other heads need is frozen; None for any.

    Raises:
        ConfigError: the name is unknown or mixes what does not go together, or settings do not fit the model.
    """
    actions: list[Action] = [Copy("**", source), FreezeStatistics()]
    objectives: list[tuple[Weight, Objective]] = []
    task_weight, source_weight = 1.0, 0.0
    found = find_methods(name)
    # The profile that all goes on from stays as it is, unless what it is of is trained further.
    further = {method.name for method in found if method.role == "added"}
    starts: list[str] = []
    for method in found:
        ingredients = method.build(source, settings)
        actions += ingredients.actions
        if method.role == "start":
            kinds = [action.spec.kind for action in ingredients.actions if isinstance(action, Add)]
            starts += [f"adapters.{kind}" for kind in kinds if kind not in further]
        objectives += ingredients.objectives
        task_weight *= ingredients.task_weight
        source_weight += ingredients.source_weight
    left = [*source.held(), *sizes_of(source), *([] if head is None else _of_other_heads(source, head)), *starts]
    if not default_learning_rate(name):
        actions.append(Freeze("**"))
    elif left:
        actions.append(Freeze(" | ".join(left)))
    actions += [LearningRate(selector, factor) for selector, factor in settings.rates.items()]
    return BuiltMethod(TransferPlan(*actions), objectives, task_weight, source_weight)


def _of_other_heads(source: Model, head: str) -> list[str]:
    """Return the paths of what other heads need and this one does not."""
    own = set(source.own_parts(head))
    paths = dict.fromkeys(path for name in source.head_names() if name != head for path in source.own_parts(name))
    return paths_with_tensors(source, [path for path in paths if path not in own])
