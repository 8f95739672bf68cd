"""Declares what is adapted to, how, and how the rates of it are learnt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from asr_transfer.config import SourceConfig, TrainerConfig
from asr_transfer.ranges import Count, Filled, Positive, Ranged, Seed


@dataclass(frozen=True, kw_only=True)
class RatesOf(Ranged, section="rates"):
    """Adaptations whose rates are learnt.

    Attributes:
        learn: number of speakers, languages or classes that the rates are learnt on.
        test: number of others that the learnt rates are tried on. The source model is trained on all that are left.
        items: number of recordings or images of each that are adapted to.
        steps: steps of an adaptation.
        learning_rate: peak of its learning rate, which the factors multiply.
        updates: number of updates of the factors, of which each sees `together` adaptations.
        together: number of adaptations in an update.
        batch_budget: frames or images that are judged behind an adaptation.
        factor_rate: learning rate of the factors' logarithms.
        batches: number of adaptations that the learnt rates are tried on.
    """

    learn: Count = 2
    test: Count = 1
    items: Count = 5
    steps: Count = 10
    learning_rate: Positive = 2e-4
    updates: Count = 60
    together: Count = 2
    batch_budget: Count = 1000
    factor_rate: Positive = 0.05
    batches: Count = 20

    def training(self, seed: int, device: str = "cpu") -> TrainerConfig:
        """Return the training of the factors."""
        return TrainerConfig(
            steps=self.updates,
            batch_budget=self.batch_budget,
            learning_rate=self.factor_rate,
            weight_decay=0.0,
            accumulate=self.together,
            precision="fp32",
            validate_every=0,
            checkpoint_every=0,
            seed=seed,
            device=device,
        )

    def shortened(self) -> RatesOf:
        """Return the same with few updates, to see that everything runs."""
        return replace(self, updates=2, batches=2, steps=2)


@dataclass(frozen=True, kw_only=True)
class SpeechRates(RatesOf, section="rates"):
    """Adaptations of speech to speakers or to languages.

    Attributes:
        corpora: names of corpora, or folders of manifests.
        source: settings of the source model.
    """

    corpora: Annotated[tuple[str, ...], Filled()]
    source: SourceConfig = field(default_factory=SourceConfig)

    def shortened(self) -> SpeechRates:
        """See `RatesOf.shortened`."""
        source = replace(self.source, trainer=replace(self.source.trainer, steps=20))
        return replace(self, updates=2, batches=2, steps=2, source=source)


@dataclass(frozen=True, kw_only=True)
class ImageRates(RatesOf, section="rates"):
    """Adaptations to classes of images, scikit-learn's digits of 8 by 8 pixels.

    Attributes:
        channels: channels of each layer.
        source_steps: steps of the source model's training on the other classes.
    """

    channels: tuple[Count, ...] = (16, 32, 32)
    source_steps: Count = 150


@dataclass(frozen=True, kw_only=True)
class RatesConfig(Ranged):
    """Learned rates of adaptations, by layer.

    Attributes:
        speakers: adaptations to speakers; None for none.
        languages: adaptations to languages, each with a new output layer; None for none.
        images: adaptations to classes of images, with a new output layer; None for none.
        seeds: seeds of who is left out, of the source model and of the adaptations.
        quick: Whether to take few steps, to see that everything runs; the figures mean nothing.
    """

    speakers: SpeechRates | None = None
    languages: SpeechRates | None = None
    images: ImageRates | None = None
    seeds: Annotated[tuple[Seed, ...], Filled()] = (0, 1, 2)
    quick: bool = False

    def asked(self) -> dict[str, RatesOf]:
        """Return what is asked for by name."""
        named = {name: getattr(self, name) for name in ("speakers", "languages", "images")}
        found = {name: own for name, own in named.items() if own is not None}
        return {name: own.shortened() if self.quick else own for name, own in found.items()}
