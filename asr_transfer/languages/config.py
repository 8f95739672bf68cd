"""Declares the settings of learning a further language, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, TypeVar

from asr_transfer.config import (
    ModelConfig,
    Normalisation,
    SourceConfig,
    SpecAugmentConfig,
    TrainerConfig,
    Units,
)
from asr_transfer.errors import ConfigError
from asr_transfer.ranges import Count, Range, Ranged, Share, Speeds, Weight

Features = TypeVar("Features")
"""Settings of features, or inputs of frames."""

Mode = Literal["scratch", "head", "top", "all", "gradual", "joint", "progressive", "progressive-random"]


Part = Annotated[float, Range(above=0, below=1)]
"""A share that leaves something for the rest."""


@dataclass(frozen=True)
class LanguageConfig(Ranged, section="language"):
    """How a recogniser learns a language.

    Attributes:
        mode: `scratch` trains a new network of the source's architecture. The others begin with the source's layers and
            a new head: `head` trains the head alone and leaves every other tensor as it is, normalisation statistics
            included; `top` trains the layers on a published encoder too, which stays as it is; `all` trains all layers,
            and where those on a published encoder are new, these alone in the first half of the steps; `gradual` the
            head first, then from the top layer down one more at a time; `joint` all layers, on the source's languages
            as well. `progressive` leaves the source as it is and trains a new network beside it that listens to its
            layers; `progressive-random` is its control, beside a frozen network of random weights.
        units: kind of text that a token of the new head is.
        trainer: the training; `gradual` shares the steps out among its phases, each with a schedule of its own.
        augment: SpecAugment masks; None for none.
        speeds: speed copies of the training speech.
        model: the network that the source must be; without a source, the network that is made. None takes the source's.
        head_steps: share of the steps in which `gradual` trains the head alone.
        source_share: share of the source's languages in the speech of `joint`.
        alpha: among themselves these are sampled in proportion to their speech to this power.
        encoder_rate: factor on the learning rate of all but the new head.
        published_rate: factor on the learning rate of a published encoder, on which own layers stand.
        freeze_statistics: whether to keep the source's normalisation statistics also where its layers are trained.
        keep_head: whether to go on from a head of the language that the source has already; new symbols are added.
            Otherwise a new head takes its place.
        monitor: figure of the development speech by which the best weights are chosen; on little speech the word error
            rate stays near 1 for long, and the character error rate tells more.
        rank: rank of the connections from the frozen network in `progressive`; None takes 32.
        normalisation: normalisation of the features, where the layers shall be trained on another one than the source
            was; None takes the source's.
        speaker_alpha: the speakers of the training speech are sampled in proportion to their speech to this power: 1
            as it is, 0 as much of every one.
        speaker_adversarial: weight of the loss of a discriminator that names the speaker of an utterance, whose
            gradient is reversed, so that what the encoder gives says less of who speaks (Meng et al. 2018).
        pieces: number of pieces of words, where units are `subwords`; None takes 300.
    """

    mode: Mode = "all"
    units: Units = "characters"
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    augment: SpecAugmentConfig | None = field(default_factory=SpecAugmentConfig)
    speeds: Speeds = (0.9, 1.0, 1.1)
    model: ModelConfig | None = None
    head_steps: Part = 0.3
    source_share: Part = 0.5
    alpha: Share = 0.5
    encoder_rate: Annotated[float, Range(above=0, remark="`head` freezes")] = 1.0
    published_rate: Annotated[float, Range(above=0, remark="`top` leaves it as it is")] = 0.01
    freeze_statistics: bool = False
    keep_head: bool = False
    monitor: Literal["wer", "cer", "loss"] = "wer"
    rank: Count | None = None
    normalisation: Normalisation | None = None
    speaker_alpha: Share = 1.0
    speaker_adversarial: Weight = 0.0
    pieces: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model is not None and self.model.pretrained is not None:
            raise ConfigError("`language.model` is a network of one's own; give a pretrained model as the source.")
        if self.pieces is not None and self.units != "subwords":
            raise ConfigError(f"`language.pieces` is for the units `subwords`, not for {self.units}; leave it out.")
        if self.normalisation is not None and self.mode in ("head", "progressive"):
            raise ConfigError(
                f"`language.mode` {self.mode} leaves the source's layers as they are, which know only the features "
                "that they were trained on; leave `language.normalisation` out or use the mode all."
            )
        if self.mode == "joint" and self.by_speaker:
            raise ConfigError(
                "`language.speaker_alpha` and `language.speaker_adversarial` do not go with the mode joint, where "
                "languages share the batches; use the mode all."
            )

    @property
    def by_speaker(self) -> bool:
        """Return whether training tells the speakers apart."""
        return self.speaker_alpha != 1 or self.speaker_adversarial > 0

    def as_source(self) -> SourceConfig:
        """Return the settings by which several languages are trained at once, which need `model`."""
        assert self.model is not None
        augment = self.augment or SpecAugmentConfig(frequency_masks=0, time_masks=0)
        model = replace(self.model, units=self.units)
        return SourceConfig(model=model, trainer=self.trainer, augment=augment, speeds=self.speeds, alpha=self.alpha)

    def features(self, source: Features) -> Features:
        """Return the features that the new language is learnt from, after those of the network it begins with."""
        if self.normalisation is None:
            return source
        changed: Features = replace(source, normalisation=self.normalisation)  # type: ignore[type-var]
        return changed
