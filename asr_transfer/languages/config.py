"""Settings of learning a further language, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from asr_transfer.config import (
    FeatureConfig,
    ModelConfig,
    Normalisation,
    SourceConfig,
    SpecAugmentConfig,
    TrainerConfig,
    Units,
)
from asr_transfer.errors import ConfigError, nearest_hint

Mode = Literal["scratch", "head", "all", "gradual", "joint", "progressive", "progressive-random"]


@dataclass(frozen=True)
class LanguageConfig:
    """How a recogniser learns a language.

    Attributes:
        mode: `scratch` trains a new network of the source's architecture. The others begin with the source's layers and
            a new head: `head` trains the head alone and leaves every other tensor as it is, normalisation statistics
            included; `all` trains all layers; `gradual` the head first, then from the top layer down one more at a
            time; `joint` all layers, on the source's languages as well. `progressive` leaves the source as it is and
            trains a new network beside it that listens to its layers; `progressive-random` is its control, beside a
            frozen network of random weights.
        units: kind of text that a token of the new head is.
        trainer: the training; `gradual` shares the steps out among its phases, each with a schedule of its own.
        augment: SpecAugment masks; None for none.
        speeds: speed copies of the training speech.
        model: the network that the source must be; without a source, the network that is made. None takes the source's.
        head_steps: share of the steps in which `gradual` trains the head alone.
        source_share: share of the source's languages in the speech of `joint`.
        alpha: among themselves these are sampled in proportion to their speech to this power.
        encoder_rate: factor on the learning rate of all but the new head.
        freeze_statistics: keep the source's normalisation statistics also where its layers are trained.
        keep_head: where the source has a head of the language already, go on from it; new symbols are added. Otherwise
            a new head takes its place.
        monitor: figure of the development speech by which the best weights are chosen; on little speech the word error
            rate stays near 1 for long, and the character error rate tells more.
        rank: rank of the connections from the frozen network in `progressive`; None takes 32.
        normalisation: normalisation of the features, where the layers shall be trained on another one than the source
            was; None takes the source's.
        speaker_alpha: the speakers of the training speech are sampled in proportion to their speech to this power: 1
            as it is, 0 as much of every one.
        speaker_adversarial: weight of the loss of a discriminator that names the speaker of an utterance, whose
            gradient is reversed, so that what the encoder gives says less of who speaks (Meng et al. 2018).
        pieces: how many, where units are `subwords`; None takes 300.
    """

    mode: Mode = "all"
    units: Units = "characters"
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    augment: SpecAugmentConfig | None = field(default_factory=SpecAugmentConfig)
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    model: ModelConfig | None = None
    head_steps: float = 0.3
    source_share: float = 0.5
    alpha: float = 0.5
    encoder_rate: float = 1.0
    freeze_statistics: bool = False
    keep_head: bool = False
    monitor: Literal["wer", "cer", "loss"] = "wer"
    rank: int | None = None
    normalisation: Normalisation | None = None
    speaker_alpha: float = 1.0
    speaker_adversarial: float = 0.0
    pieces: int | None = None

    def __post_init__(self) -> None:
        for name, known in (("mode", get_args(Mode)), ("units", get_args(Units)), ("monitor", ("wer", "cer", "loss"))):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise ConfigError(f"`language.{name}` is '{value}'.{nearest_hint(value, known)}")
        if not self.speeds or any(not 0.5 <= speed <= 2 for speed in self.speeds):
            raise ConfigError(f"`language.speeds` must be factors from 0.5 to 2, got {list(self.speeds)}.")
        for name in ("head_steps", "source_share"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"`language.{name}` must be between 0 and 1, got {getattr(self, name)}.")
        for name in ("alpha", "speaker_alpha"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`language.{name}` must be from 0 to 1, got {getattr(self, name)}.")
        self._check_speakers()
        if self.rank is not None and self.rank < 1:
            raise ConfigError(f"`language.rank` must be at least 1, got {self.rank}.")
        if self.pieces is not None and (self.pieces < 1 or self.units != "subwords"):
            raise ConfigError(f"`language.pieces` must be at least 1 and is for `subwords`, got {self.pieces}.")
        if not 0 < self.encoder_rate < float("inf"):
            raise ConfigError(f"`language.encoder_rate` must be above 0, got {self.encoder_rate}; `head` freezes.")

    def _check_speakers(self) -> None:
        if self.normalisation is not None:
            if self.normalisation not in get_args(Normalisation):
                hint = nearest_hint(self.normalisation, get_args(Normalisation))
                raise ConfigError(f"`language.normalisation` is '{self.normalisation}'.{hint}")
            if self.mode in ("head", "progressive"):
                raise ConfigError(
                    f"`language.mode` {self.mode} leaves the source's layers as they are, which know only the features "
                    "that they were trained on; leave `language.normalisation` out or use the mode all."
                )
        if not 0 <= self.speaker_adversarial < float("inf"):
            raise ConfigError(f"`language.speaker_adversarial` must not be negative, got {self.speaker_adversarial}.")
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

    def features(self, source: FeatureConfig) -> FeatureConfig:
        """Return the features that the new language is learnt from, after those of the network it begins with."""
        return source if self.normalisation is None else replace(source, normalisation=self.normalisation)
