"""Settings of learning a further language, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from asr_transfer.config import ModelConfig, SpecAugmentConfig, TrainerConfig, Units
from asr_transfer.errors import ConfigError, nearest_hint

Mode = Literal["scratch", "head", "all", "gradual", "joint", "progressive", "progressive-random"]

COLUMNS = ("progressive", "progressive-random")
"""Modes that train a new column beside a frozen one."""

SOURCELESS = ("scratch", "progressive-random")
"""Modes that take nothing from a source model."""


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
        units: what a token of the new head is.
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
        rank: of the connections from the frozen network in `progressive`; None takes 32.
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
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"`language.alpha` must be from 0 to 1, got {self.alpha}.")
        if self.rank is not None and self.rank < 1:
            raise ConfigError(f"`language.rank` must be at least 1, got {self.rank}.")
        if not 0 < self.encoder_rate < float("inf"):
            raise ConfigError(f"`language.encoder_rate` must be above 0, got {self.encoder_rate}; `head` freezes.")
