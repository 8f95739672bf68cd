"""Lists the ways to go from a labelled source to an unlabelled target: objectives, streams and statistics of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from asr_transfer.training.objective import Objective, Weight
from asr_transfer.transfer.adda import AdversarialDiscriminative
from asr_transfer.transfer.adversarial import DomainAdversarial
from asr_transfer.transfer.confusion import DomainConfusion, SoftLabels
from asr_transfer.transfer.coral import CovarianceAlignment
from asr_transfer.transfer.discrepancy import MeanDiscrepancy
from asr_transfer.transfer.unlabelled import EntropyMinimisation, SelfTraining

SOURCE, TARGET, FEW = "source", "target", "few"
TAP = "encoder"
CORAL, MMD, ENTROPY = 10.0, 1.0, 0.1
"""Weights beside the loss of the source's labels."""

Statistics = Literal["source", "joint", "apart"]
"""Whose statistics BatchNorm layers keep: the source's alone, one set for both, or a set for each."""

Objectives = Callable[[int], Sequence[tuple[Weight, Objective]]]


def late(weight: float) -> Callable[[float], float]:
    """Return a weight that is 0 in the first half of the training and rises to `weight` in the second."""
    return lambda progress: max(0.0, weight * (2 * progress - 1))


@dataclass(frozen=True)
class DomainMethod:
    """A way to go from a source to a target.

    Attributes:
        title: words for a table.
        statistics: whose statistics BatchNorm layers keep.
        objectives: what is added to the source's loss, given the seed.
        norm: whether the network has BatchNorm layers.
        from_source: whether it begins with the model that was trained on the source alone, for as many steps more.
        recalibrated: whether the statistics are taken anew from the target behind the training.
        augment: whether the target's images are moved a little and of another contrast.
        held: whether the head is frozen and the source's labels are not trained on.
        labels: labelled images of each of the target's classes that it is given.
        target_only: whether it is trained on the target with all its labels: the bound.
    """

    title: str
    statistics: Statistics = "apart"
    objectives: Objectives = lambda seed: ()
    norm: bool = True
    from_source: bool = False
    recalibrated: bool = False
    augment: bool = False
    held: bool = False
    labels: int = 0
    target_only: bool = False


def _dann(seed: int) -> list[tuple[Weight, Objective]]:
    return [(1.0, DomainAdversarial(TAP, (SOURCE, TARGET), seed=seed))]


METHODS: dict[str, DomainMethod] = {
    "source-only": DomainMethod("source only", "source"),
    "source-only-no-norm": DomainMethod("source only, no BatchNorm", "source", norm=False),
    "adabn": DomainMethod("AdaBN", "source", from_source=True, recalibrated=True),
    "joint": DomainMethod("target in the same statistics, nothing aligned", "joint"),
    "apart": DomainMethod("statistics per domain, nothing aligned"),
    "coral": DomainMethod("CORAL", objectives=lambda seed: [(CORAL, CovarianceAlignment(TAP, (SOURCE, TARGET)))]),
    "mmd": DomainMethod("MMD (DAN)", objectives=lambda seed: [(MMD, MeanDiscrepancy(TAP, (SOURCE, TARGET)))]),
    "confusion": DomainMethod(
        "domain confusion", objectives=lambda seed: [(1.0, DomainConfusion(TAP, (SOURCE, TARGET), seed=seed))]
    ),
    "adda": DomainMethod(
        "ADDA",
        from_source=True,
        held=True,
        objectives=lambda seed: [(1.0, AdversarialDiscriminative(TAP, (SOURCE, TARGET), seed=seed))],
    ),
    "dann-joint": DomainMethod("DANN, one set of statistics", "joint", _dann),
    "dann-no-norm": DomainMethod("DANN, no BatchNorm", "source", _dann, norm=False),
    "dann": DomainMethod("DANN", objectives=_dann),
    "dann-entropy": DomainMethod(
        "DANN + entropy", objectives=lambda seed: [*_dann(seed), (late(ENTROPY), EntropyMinimisation(TARGET))]
    ),
    "self-training": DomainMethod("self-training", objectives=lambda seed: [(1.0, SelfTraining(TARGET))], augment=True),
    "dann-self-training": DomainMethod(
        "DANN + self-training",
        objectives=lambda seed: [*_dann(seed), (late(1.0), SelfTraining(TARGET))],
        augment=True,
    ),
    "few-labels": DomainMethod("ten labels a class, fine-tuned", from_source=True, labels=10),
    "soft-labels": DomainMethod(
        "ten labels a class, soft labels and confusion",
        from_source=True,
        labels=10,
        objectives=lambda seed: [
            (0.5, SoftLabels(SOURCE, FEW)),
            (0.5, DomainConfusion(TAP, (SOURCE, TARGET), seed=seed)),
        ],
    ),
    "target-trained": DomainMethod("trained on the target's labels", "source", target_only=True),
}
"""Ways by name. Weights were chosen on the target's images that are held apart; see the recipe's page."""
