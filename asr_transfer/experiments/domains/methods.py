"""Lists the ways to go from a labelled source to an unlabelled target: objectives, streams and statistics of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.training.objective import Objective, Weight
from asr_transfer.transfer.adda import AdversarialDiscriminative
from asr_transfer.transfer.adversarial import DomainAdversarial, Level
from asr_transfer.transfer.confusion import DomainConfusion, SoftLabels
from asr_transfer.transfer.coral import CovarianceAlignment
from asr_transfer.transfer.discrepancy import MeanDiscrepancy
from asr_transfer.transfer.translation import ImageTranslation
from asr_transfer.transfer.unlabelled import EntropyMinimisation, SelfTraining

SOURCE, TARGET, FEW = "source", "target", "few"
TAP = "encoder"
BOTH = (SOURCE, TARGET)
CORAL, MMD, ENTROPY = 10.0, 3.0, 1.0
"""Weights beside the loss of the source's labels."""
PACE = 3.0
"""Factor on a discriminator's learning rate: one that follows the features closely gives them a better direction."""

Statistics = Literal["source", "joint", "apart"]
"""Whose statistics BatchNorm layers keep: the source's alone, one set for both, or a set for each."""

Objectives = Callable[[int, Level], Sequence[tuple[Weight, Objective]]]
"""What is added to the source's loss, given the seed and what a vector is: a frame of speech, or an item."""


def late(weight: float) -> Callable[[float], float]:
    """Return a weight that is 0 in the first half of the training and rises to `weight` in the second."""
    return lambda progress: max(0.0, weight * (2 * progress - 1))


@dataclass(frozen=True)
class DomainMethod:
    """A way to go from a source to a target.

    Attributes:
        title: words for a table.
        statistics: domains whose statistics BatchNorm layers keep.
        objectives: additions to the source's loss.
        norm: whether the network has BatchNorm layers.
        from_source: whether it begins with the model that was trained on the source alone, for as many steps more.
        recalibrated: whether the statistics are taken anew from the target behind the training.
        augment: whether the target's images are moved a little and of another contrast.
        held: whether the head is frozen and the source's labels are not trained on.
        labels: labelled images of each of the target's classes that it is given.
        target_only: whether it is trained on the target with all its labels: the bound.
        translates: whether it writes images anew, which takes several times as long and is not done to speech.
        listening: whether each speaker is heard by the statistics of his recordings so far, which is done to speech
            alone: the target is not read before it is judged.
    """

    title: str
    statistics: Statistics = "apart"
    objectives: Objectives = lambda seed, level: ()
    norm: bool = True
    from_source: bool = False
    recalibrated: bool = False
    augment: bool = False
    held: bool = False
    labels: int = 0
    target_only: bool = False
    translates: bool = False
    listening: bool = False

    def domain(self, side: str) -> str | None:
        """Return the domain whose statistics normalise the items of a side when they are judged."""
        if self.statistics == "apart" or (self.recalibrated and side == TARGET):
            return side
        return None

    def streams(self) -> dict[str, str | None]:
        """Return the domain of each side's streams in training."""
        return {side: side if self.statistics == "apart" else None for side in (SOURCE, TARGET)}

    def reads_target(self) -> bool:
        """Return whether the target's items without labels are read in training."""
        return not self.target_only and (self.statistics != "source" or bool(self.objectives(0, "utterance")))


def _dann(seed: int, level: Level) -> list[tuple[Weight, Objective]]:
    return [(1.0, DomainAdversarial(TAP, BOTH, level, pace=PACE, seed=seed))]


def _confusion(weight: float, seed: int, level: Level) -> tuple[Weight, Objective]:
    return weight, DomainConfusion(TAP, BOTH, level, pace=PACE, seed=seed)


def _adda(seed: int, level: Level) -> list[tuple[Weight, Objective]]:
    return [(1.0, AdversarialDiscriminative(TAP, BOTH, level, seed=seed))]


METHODS: dict[str, DomainMethod] = {
    "source-only": DomainMethod("source only", "source"),
    "source-only-no-norm": DomainMethod("source only, no BatchNorm", "source", norm=False),
    "adabn": DomainMethod("AdaBN", "source", from_source=True, recalibrated=True),
    "listening": DomainMethod("own statistics so far, while listening", "source", from_source=True, listening=True),
    "joint": DomainMethod("target in the same statistics, nothing aligned", "joint"),
    "apart": DomainMethod("statistics per domain, nothing aligned"),
    "coral": DomainMethod(
        "CORAL", objectives=lambda seed, level: [(CORAL, CovarianceAlignment(TAP, (SOURCE, TARGET), level))]
    ),
    "mmd": DomainMethod(
        "MMD (DAN)", objectives=lambda seed, level: [(MMD, MeanDiscrepancy(TAP, (SOURCE, TARGET), level))]
    ),
    "confusion": DomainMethod("domain confusion", objectives=lambda seed, level: [_confusion(1.0, seed, level)]),
    "adda": DomainMethod("ADDA", from_source=True, held=True, objectives=_adda),
    "dann-joint": DomainMethod("DANN, one set of statistics", "joint", _dann),
    "dann-no-norm": DomainMethod("DANN, no BatchNorm", "source", _dann, norm=False),
    "dann": DomainMethod("DANN", objectives=_dann),
    "dann-entropy": DomainMethod(
        "DANN + entropy",
        objectives=lambda seed, level: [*_dann(seed, level), (late(ENTROPY), EntropyMinimisation(TARGET))],
    ),
    "self-training": DomainMethod(
        "self-training", objectives=lambda seed, level: [(1.0, SelfTraining(TARGET))], augment=True
    ),
    "dann-self-training": DomainMethod(
        "DANN + self-training",
        objectives=lambda seed, level: [*_dann(seed, level), (late(1.0), SelfTraining(TARGET))],
        augment=True,
    ),
    "few-labels": DomainMethod("ten labels a class, fine-tuned", from_source=True, labels=10),
    "soft-labels": DomainMethod(
        "ten labels a class, soft labels and confusion",
        from_source=True,
        labels=10,
        objectives=lambda seed, level: [(0.5, SoftLabels(SOURCE, FEW)), _confusion(0.5, seed, level)],
    ),
    "unit": DomainMethod(
        "UNIT", objectives=lambda seed, level: [(1.0, ImageTranslation(SOURCE, TARGET, seed=seed))], translates=True
    ),
    "munit": DomainMethod(
        "MUNIT",
        objectives=lambda seed, level: [(1.0, ImageTranslation(SOURCE, TARGET, style=8, seed=seed))],
        translates=True,
    ),
    "target-trained": DomainMethod("trained on the target's labels", "source", target_only=True),
}
"""Ways by name. Weights were chosen on the target's images that are held apart; see the recipe's page."""


def require_known(methods: Sequence[str]) -> None:
    """Refuse names of ways that there are not.

    Raises:
        ConfigError: one is unknown.
    """
    for name in methods:
        if name not in METHODS:
            raise ConfigError(f"`methods` has '{name}', which is not known.{nearest_hint(name, METHODS)}")
