"""Holds the settings of recognising unseen classes, and the ways that are compared."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from asr_transfer.config import ImageTrainerConfig
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.images.zero_shot_fits import ATTRIBUTES, WORDS, FitSettings
from asr_transfer.ranges import Count, Filled, Range, Ranged, Seed

SET = "cifar10"
IMAGENET = "conse-imagenet"
"""ConSE from the network's own probabilities of ImageNet's classes: nothing at all is fitted."""


WAYS: dict[str, tuple[str, str]] = {
    "dap": (ATTRIBUTES, "DAP"),
    "iap": (ATTRIBUTES, "IAP"),
    "embedding-attributes": (ATTRIBUTES, "embedding, hinge"),
    "pull-attributes": (ATTRIBUTES, "embedding, pull alone"),
    "devise-attributes": (ATTRIBUTES, "DeViSE"),
    "eszsl-attributes": (ATTRIBUTES, "ESZSL"),
    "conse-attributes": (ATTRIBUTES, "ConSE"),
    "relation-attributes": (ATTRIBUTES, "relation network"),
    "embedding-words": (WORDS, "embedding, hinge"),
    "pull-words": (WORDS, "embedding, pull alone"),
    "devise-words": (WORDS, "DeViSE"),
    "eszsl-words": (WORDS, "ESZSL"),
    "conse-words": (WORDS, "ConSE"),
    "relation-words": (WORDS, "relation network"),
    IMAGENET: (WORDS, "ConSE, ImageNet's probabilities"),
}
"""Kind of class vectors, and title, of each way."""


UNSEEN = 2
"""Classes that stay unseen at once."""


@dataclass(frozen=True, kw_only=True)
class ZeroShotConfig(Ranged):
    """Recognition of classes without an example, on CIFAR-10: every two classes stay unseen in turn.

    Attributes:
        size: Pixels of a side that images are enlarged to for the network.
        images: Training images of each class, drawn anew with each seed.
        pool: Training images of each class that they are drawn from.
        test_images: Test images of each class.
        held_out: Whether training images that no way is fitted on are judged in place of the test images; settings are
            chosen on these.
        folds: Pairs of seen classes that play unseen ones, at least, for each unseen pair, to find the constant.
        pairs: Number of pairs of classes that stay unseen, from the first; 0 for all.
        fits: Settings of the ways.
        trainer: Training of those that are trained.
        seeds: Random seeds of the images that are drawn, of initial weights and of batches.
        quick: Whether to take few images, steps and pairs, to see that everything runs; the figures mean nothing.
    """

    size: Annotated[int, Range(at_least=32, at_most=512)] = 80
    images: Annotated[int, Range(at_least=5)] = 100
    pool: Annotated[int, Range(at_least=5)] = 150
    test_images: Annotated[int, Range(at_least=1)] = 100
    held_out: bool = False
    folds: Count = 2
    pairs: Annotated[int, Range(at_least=0)] = 0
    fits: FitSettings = field(default_factory=FitSettings)
    trainer: ImageTrainerConfig = field(
        default_factory=lambda: ImageTrainerConfig(steps=100, max_gradient_norm=0.0, weight_decay=0.1)
    )
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images > self.pool:
            raise ConfigError(f"`images` is {self.images}, but the `pool` has {self.pool} of each class; take fewer.")
        if self.trainer.max_gradient_norm:
            raise ConfigError(
                "`trainer.max_gradient_norm` must be 0: ways that share a training would shorten each other's steps."
            )

    def settled(self) -> ZeroShotConfig:
        """Return the settings that are run: few images, steps and pairs where it is to be quick."""
        if not self.quick:
            return self
        few = min(self.images, 10)
        trainer = replace(self.trainer, steps=5)
        fits = replace(self.fits, relation=replace(self.fits.relation, steps=5))
        small = replace(self, images=few, pool=few, test_images=5, folds=1, pairs=3, seeds=self.seeds[:2])
        return replace(small, trainer=trainer, fits=fits)
