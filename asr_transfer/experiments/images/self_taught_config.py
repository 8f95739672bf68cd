"""Holds the settings of self-taught learning, and the ways to describe an item."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from asr_transfer.config import ImageTrainerConfig
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.images.patches import Grid
from asr_transfer.ranges import Count, Filled, Range, Ranged, Seed

Source = Literal["photographs", "characters", "digits", "speech"]


RAW = "raw"
WAYS = {
    RAW: "raw",
    "pca": "PCA",
    "k-means": "k-means",
    "autoencoder": "autoencoder",
    "random": "sparse codes, random basis",
    "sparse": "sparse codes",
}
"""Titles of the ways to describe an item."""


@dataclass(frozen=True, kw_only=True)
class SelfTaughtConfig(Ranged):
    """Few labelled items described by what was learnt from unlabelled data of another kind.

    Attributes:
        sources: Kinds of unlabelled data: `photographs`, `characters` of fonts and other `digits`; of speech `speech`.
        patch: Rows and columns of a patch.
        stride: Step between patches.
        regions: Rows and columns of the regions that features are averaged over.
        kept: Directions of the whitened patches.
        patches: Unlabelled patches that are learnt from.
        maps: Unlabelled images or recordings that they come from, at most.
        features: Features of a patch, the same number of each way.
        active: Share of sparse codes that are not 0.
        labels: Labelled items of each class.
        test_items: Items that are judged.
        held_out: Whether items of the kind of the labelled ones are judged in place of the test items; settings are
            chosen on these.
        autoencoder: Training of the autoencoder.
        classifier: Training of the linear classifiers.
        clustered: Target items, and as many of each source, that are clustered without any label; 0 for none.
        feature_clusters: Clusters of the features.
        weights: Weights of the auxiliary items; 0 is the target alone.
        seeds: Random seeds of items, of initial weights and of batches.
        quick: Whether to take few of everything, to see that it runs; the figures mean nothing.
    """

    sources: Annotated[tuple[Source, ...], Filled(distinct=True)] = ("photographs", "characters", "digits")
    patch: tuple[Count, Count] = (8, 8)
    stride: Count = 3
    regions: tuple[Count, Count] = (2, 2)
    kept: Count = 48
    patches: Annotated[int, Range(at_least=200)] = 8000
    maps: Count = 2000
    features: Annotated[int, Range(at_least=4)] = 64
    active: Annotated[float, Range(above=0, below=1)] = 0.08
    labels: Annotated[tuple[Count, ...], Filled(distinct=True)] = (2, 10)
    test_items: Count = 500
    held_out: bool = False
    autoencoder: ImageTrainerConfig = field(default_factory=lambda: ImageTrainerConfig(steps=300, batch_budget=128))
    classifier: ImageTrainerConfig = field(
        default_factory=lambda: ImageTrainerConfig(steps=150, batch_budget=100, weight_decay=0.1)
    )
    clustered: Annotated[int, Range(at_least=0)] = 200
    feature_clusters: Count = 32
    weights: tuple[Annotated[float, Range(at_least=0)], ...] = (0.0, 0.3, 1.0)
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clustered and 0 not in self.weights:
            raise ConfigError("`weights` lacks 0, the target alone, which the others are compared with; add it.")

    def settled(self) -> SelfTaughtConfig:
        """Return the settings that are run: few of everything where it is to be quick."""
        if not self.quick:
            return self
        return replace(
            self,
            patches=200,
            maps=20,
            features=8,
            labels=self.labels[:1],
            test_items=20,
            autoencoder=replace(self.autoencoder, steps=5),
            classifier=replace(self.classifier, steps=5),
            clustered=min(self.clustered, 20),
            feature_clusters=4,
            seeds=self.seeds[:2],
        )

    def grid(self) -> Grid:
        """Return where patches are taken."""
        return Grid(*self.patch, self.stride, self.regions)
