"""Typed settings of every stage, importable without torch so that the command line starts at once.

A reason stands beside each default; figures are from the project's own development runs on AN4 and FSDD.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from asr_transfer.errors import ConfigError, nearest_hint

Units = Literal["characters", "words", "phones", "toneless-phones"]
EncoderName = Literal["bilstm", "tdnn", "conformer"]
Normalisation = Literal["utterance", "utterance-mean", "fixed"]
Precision = Literal["fp32", "bf16"]

T = TypeVar("T")


@dataclass(frozen=True)
class FeatureConfig:
    """How audio becomes log-mel features.

    Attributes:
        mels: number of mel bands.
        window_ms: length of an analysis window in milliseconds.
        hop_ms: step between windows in milliseconds.
        normalisation: `utterance-mean` gives every band of an utterance the mean 0, which takes the microphone out;
            `utterance` the deviation 1 as well, `fixed` shifts and scales all recordings alike. On digits of speakers
            who each had their own microphone, `fixed` was right more often for known ones (0.8 against 4.8 % errors)
            and wrong more often for new ones (40 against 30 %).
    """

    mels: int = 80
    window_ms: float = 25.0
    hop_ms: float = 10.0
    normalisation: Normalisation = "utterance-mean"


@dataclass(frozen=True)
class SpecAugmentConfig:
    """SpecAugment (Park et al. 2019): masks per utterance and their greatest widths; and random channels.

    Attributes:
        frequency_masks: bands masked per utterance.
        frequency_width: greatest width of a band mask, in mel bands.
        time_masks: stretches masked per utterance.
        time_width: greatest width of a time mask, in frames.
        time_fraction: a time mask never exceeds this fraction of the utterance.
        channel: deviation of a random smooth frequency response added to each utterance's normalised log-mels, as if
            another microphone had recorded it; for corpora where every speaker has his own.
    """

    # On AN4 (42 minutes, 300 CPU-seconds) two masks of 20 bands and two of 30 frames gave 13.6 % on development
    # speakers, these 9.9 %: small budgets cannot afford strong masks.
    frequency_masks: int = 1
    frequency_width: int = 15
    time_masks: int = 1
    time_width: int = 15
    time_fraction: float = 0.15
    channel: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 0:
                raise ConfigError(f"`augment.{name}` must not be negative, got {getattr(self, name)}.")


@dataclass(frozen=True)
class ModelConfig:
    """The acoustic model.

    Attributes:
        encoder: `bilstm` is the CPU default, `tdnn` learns quickest on the smallest budgets, `conformer` is for GPUs.
        layers: encoder layers; the front end's two convolutions come before them.
        dim: width of an encoder layer (per direction for `bilstm`).
        channels: output channels of the front end's convolutions.
        strides: strides of the two front-end convolutions; their product is the subsampling factor.
        dropout: between encoder layers.
        features: features the model listens to.
        units: what a CTC token is.
    """

    encoder: EncoderName = "bilstm"
    layers: int = 3
    dim: int = 192
    channels: int = 256
    strides: tuple[int, int] = (2, 2)
    dropout: float = 0.1
    features: FeatureConfig = field(default_factory=FeatureConfig)
    units: Units = "characters"

    def __post_init__(self) -> None:
        for name in ("layers", "dim", "channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`model.{name}` must be at least 1, got {getattr(self, name)}.")
        if len(self.strides) != 2 or any(stride not in (1, 2, 3, 4) for stride in self.strides):
            raise ConfigError(f"`model.strides` must be two numbers from 1 to 4, got {list(self.strides)}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"`model.dropout` must be from 0 to below 1, got {self.dropout}.")


@dataclass(frozen=True)
class TrainerConfig:
    """How a model is trained, whatever it is fed.

    Attributes:
        steps: optimiser steps; the budget.
        batch_budget: cost of one batch, padding included: frames of speech (100 per second), or items for images. A
            minute of speech trains faster and better than half of one (AN4, equal CPU-seconds), two leave CTC late.
        learning_rate: peak of the schedule.
        warmup: fraction of the steps with a linearly rising learning rate.
        schedule: what follows the warm-up: `cosine` to zero, or `constant`.
        weight_decay: AdamW's, on matrices only.
        optimizer: `adamw`, or plain `sgd` for exact gradient tests.
        max_gradient_norm: gradients are clipped to this norm; 0 switches clipping off.
        accumulate: batches per optimiser step.
        precision: `bf16` is 1.3–1.6 times as fast as `fp32` on processors and cards that have it.
        validate_every: steps between validations; 0 validates at the end only.
        patience: validations without improvement before training stops; 0 never stops early.
        checkpoint_every: steps between checkpoints for resuming, besides those at validations; 0 for none.
        max_nonfinite: training stops when more than this many steps in all had a non-finite loss or gradient.
        seed: decides initial weights, batches, dropout and augmentation.
        threads: CPU threads per process; more than one spins on shared cores and is seldom faster.
        device: `auto` takes a GPU when there is one.
    """

    steps: int = 1000
    batch_budget: int = 6000
    learning_rate: float = 3e-3
    warmup: float = 0.1
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = 0.01
    optimizer: Literal["adamw", "sgd"] = "adamw"
    max_gradient_norm: float = 1.0
    accumulate: int = 1
    precision: Precision = "bf16"
    validate_every: int = 200
    patience: int = 0
    checkpoint_every: int = 250
    max_nonfinite: int = 10
    seed: int = 0
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_budget", "accumulate", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`trainer.{name}` must be at least 1, got {getattr(self, name)}.")
        for name in ("validate_every", "patience", "checkpoint_every", "max_nonfinite"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`trainer.{name}` must not be negative, got {getattr(self, name)}.")
        for name in ("weight_decay", "max_gradient_norm"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`trainer.{name}` must not be negative, got {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise ConfigError(f"`trainer.learning_rate` must be above 0, got {self.learning_rate}.")
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"`trainer.warmup` must be a fraction from 0 to below 1, got {self.warmup}.")
        if self.patience and not self.validate_every:
            raise ConfigError("`trainer.patience` needs `trainer.validate_every` above 0: it counts validations.")


@dataclass(frozen=True)
class SourceConfig:
    """How a speaker-independent model is made.

    Attributes:
        model: the network.
        trainer: its training.
        augment: SpecAugment masks.
        speeds: speed copies of the training speech; [1.0] for none.
        isolated_words: every utterance is one word (or phrase) of those trained on: the recogniser keeps them as its
            lexicon and takes what it hears for the likeliest of them.
        units_of: by language, where its tokens are others than `model.units`.
        alpha: languages are sampled in proportion to their speech to this power: 1 as it is, 0 as much of every one.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    isolated_words: bool = False
    units_of: Mapping[str, Units] = field(default_factory=dict)
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not self.speeds or any(not 0.5 <= speed <= 2 for speed in self.speeds):
            raise ConfigError(f"`speeds` must be factors from 0.5 to 2, got {list(self.speeds)}.")
        if self.isolated_words and self.model.units == "characters":
            raise ConfigError("`isolated_words` needs `model.units` of words or phones; characters spell any text.")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"`alpha` must be from 0 to 1, got {self.alpha}.")


@dataclass(frozen=True)
class MethodSettings:
    """What the methods can be told; each reads what concerns it.

    Attributes:
        first: encoder layers that count as first, besides the front end.
        rho: weight of the source model's posteriors in `kld`, from 0 (plain fine-tuning) to 1 (no change).
        kld_frames: `all` frames, or only `non-blank` ones.
        alpha: pull of `l2sp` towards the source weights.
        fisher: pull of `ewc` towards the source weights, times each weight's Fisher information.
        rank: of the matrices of `lora`.
        bottleneck: hidden units of a `residual-adapter`.
        code: numbers in a `speaker-code`.
        replay: share of the loss that source utterances have in `replay`.
        confidence: `pseudo-label` keeps utterances that the source model is at least so sure of, from 0 to 1.
    """

    first: int = 1
    rho: float = 0.5
    kld_frames: Literal["all", "non-blank"] = "all"
    alpha: float = 0.01
    fisher: float = 0.1
    rank: int = 8
    bottleneck: int = 16
    code: int = 32
    replay: float = 0.5
    confidence: float = 0.8

    def __post_init__(self) -> None:
        for name in ("first", "alpha", "fisher"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`settings.{name}` must not be negative, got {getattr(self, name)}.")
        for name in ("rank", "bottleneck", "code"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`settings.{name}` must be at least 1, got {getattr(self, name)}.")
        for name in ("rho", "replay", "confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`settings.{name}` must be from 0 to 1, got {getattr(self, name)}.")


@dataclass(frozen=True)
class SutaConfig:
    """How a model is adapted to an utterance.

    Attributes:
        steps: AdamW steps; 0 for none.
        learning_rate: of these. The paper's 2e-5 is for wav2vec 2.0; on small models of spoken digits, with and without
            noise, 3e-4 never took fewer errors away and mostly two to four times as many.
        temperature: divides the logits in both losses, so that sure frames still have a gradient.
        entropy_weight: of the entropy; minimum class confusion has the rest of 1.
    """

    steps: int = 10
    learning_rate: float = 3e-4
    temperature: float = 2.5
    entropy_weight: float = 0.3

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ConfigError(f"`suta.steps` must not be negative, got {self.steps}.")
        if not 0 <= self.learning_rate < float("inf"):
            raise ConfigError(f"`suta.learning_rate` must be a number not below 0, got {self.learning_rate}.")
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"`suta.temperature` must be a number above 0, got {self.temperature}.")
        if not 0 <= self.entropy_weight <= 1:
            raise ConfigError(f"`suta.entropy_weight` must be from 0 to 1, got {self.entropy_weight}.")


@dataclass(frozen=True)
class AdaptConfig:
    """How a recogniser is adapted.

    Attributes:
        steps: optimiser steps; a handful of utterances fits into one batch, so a step sees all of them.
        learning_rate: peak; None takes the method's default.
        batch_budget: frames per batch.
        speeds: speed copies of the utterances.
        augment: SpecAugment masks; None for none.
        strength: how far the weights move from the source's (0) to the adapted ones (1).
        source_budget: frames of source utterances per batch, for methods that mix them in.
        settings: of the methods.
        suta: test-time adaptation, for the method of that name.
        precision: of the training.
        seed: of batches, dropout and masks.
        device: `auto` takes a GPU when there is one.
    """

    steps: int = 40
    learning_rate: float | None = None
    batch_budget: int = 3000
    speeds: tuple[float, ...] = (1.0,)
    augment: SpecAugmentConfig | None = None
    strength: float = 1.0
    source_budget: int = 500
    settings: MethodSettings = field(default_factory=MethodSettings)
    suta: SutaConfig = field(default_factory=SutaConfig)
    precision: Precision = "bf16"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_budget", "source_budget"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`adapt.{name}` must be at least 1, got {getattr(self, name)}.")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ConfigError(f"`adapt.learning_rate` must be above 0, got {self.learning_rate}.")
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"`adapt.strength` must be from 0 to 1, got {self.strength}.")
        if 1.0 not in self.speeds:
            raise ConfigError(f"`adapt.speeds` must contain 1.0, the recordings as they are, got {list(self.speeds)}.")


@dataclass(frozen=True)
class ChoiceConfig:
    """How `auto` chooses a method on the speaker's own utterances.

    Attributes:
        folds: of the cross-validation; fewer utterances are left out one by one.
        with_source: methods tried where source utterances are given, the usual choice first.
        without_source: methods tried where there are none, the usual choice first.
        rates: factors on each method's own learning rate.
        strengths: tried with every training, at no cost but listening to the held-out utterances.
        prior_strength: taken of the first method, unless something else is better by more than chance; where source
            utterances are mixed in, the full strength is.
        refit: where they are, the chosen method is trained for so many times the steps on all recordings: on digits,
            100 steps instead of 40 took a fifth more errors away from 20 recordings on, and nothing was forgotten.
        refit_speeds: speed copies of the recordings in that training; none for those of the trials.
        judged: held-out utterances after which no more folds are run.
        tolerance: greatest rise of the character error rate on source utterances.
        check_seconds: source speech kept from training to watch that on.
    """

    folds: int = 5
    with_source: tuple[str, ...] = ("first-layers+replay", "front-end+replay", "full+replay")
    without_source: tuple[str, ...] = ("front-end", "first-layers", "full", "lhuc")
    rates: tuple[float, ...] = (1.0,)
    strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    prior_strength: float = 0.75
    refit: float = 2.5
    refit_speeds: tuple[float, ...] = ()
    judged: int = 20
    tolerance: float = 0.01
    check_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"`choice.folds` must be at least 2, got {self.folds}.")
        for name in ("rates", "strengths"):
            values = getattr(self, name)
            if not values or any(not value > 0 for value in values):
                raise ConfigError(f"`choice.{name}` must hold numbers above 0, got {list(values)}.")
        if self.refit < 1:
            raise ConfigError(f"`choice.refit` must be at least 1, got {self.refit}.")
        if self.refit_speeds and 1.0 not in self.refit_speeds:
            raise ConfigError(f"`choice.refit_speeds` must contain 1.0, got {list(self.refit_speeds)}.")
        if self.judged < 1:
            raise ConfigError(f"`choice.judged` must be at least 1, got {self.judged}.")
        if max(self.strengths) > 1:
            raise ConfigError(f"`choice.strengths` must not exceed 1, got {list(self.strengths)}.")


def cache_folder() -> Path:
    """Return where computed features are kept: `$ASR_TRANSFER_CACHE`, else `~/.cache/asr-transfer`."""
    return Path(os.environ.get("ASR_TRANSFER_CACHE", "~/.cache/asr-transfer")).expanduser()


def to_plain(settings: Any) -> dict[str, Any]:
    """Turn a settings dataclass into plain dicts, lists and scalars that YAML and JSON can hold."""
    plain: dict[str, Any] = _plain(asdict(settings))
    return plain


def to_record(command: Any) -> dict[str, Any]:
    """Return a command's settings as a run record keeps them: without those that say only how to go about the run."""
    how = ("resume", "overwrite", "workers", "backend")
    return {name: value for name, value in to_plain(command).items() if name not in how}


def from_plain(kind: type[T], values: dict[str, Any], where: str) -> T:
    """Build a settings dataclass from plain values, as read from a model folder's `config.yaml`.

    Raises:
        ConfigError: `values` holds an unknown key; `where` is named in the message.
    """
    fields: dict[str, Any] = {name: f for name, f in kind.__dataclass_fields__.items()}  # type: ignore[attr-defined]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown key `{key}`.{nearest_hint(key, fields)}")
        if key == "features" and isinstance(value, dict):
            value = from_plain(FeatureConfig, value, where)
        arguments[key] = tuple(value) if isinstance(value, list) else value
    return kind(**arguments)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
