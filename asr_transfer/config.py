"""Declares the settings of every stage, importable without torch so that the command line starts at once.

A reason stands beside each default; figures are from the project's own development runs on AN4 and FSDD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from asr_transfer.errors import ConfigError, nearest_hint

Units = Literal["characters", "subwords", "words", "phones", "toneless-phones"]
EncoderName = Literal["bilstm", "tdnn", "conformer"]
Normalisation = Literal["utterance", "utterance-mean", "speech-mean", "fixed"]
Precision = Literal["auto", "fp32", "bf16"]
Outputs = Literal["heads", "phones", "attributes"]

PIECES = 300
"""Subwords of a language where nothing else is said: few, for what is heard seldom is learnt badly."""

MOST_LAYERS, MOST_CHANNELS = 1_000, 100_000
"""More are a slip of the pen or damage: making the network would take for ever."""


KEEP_SOURCE = 200
"""Training utterances kept with a model: at three seconds each ten megabytes, about as much as a small model."""

KEEP_JUDGED = 60
"""Utterances held out to judge on what others lose: of AN4 a fifteenth of the training speech, five or six of 74
speakers, some 1,200 characters. A prediction from them is about a point of the character error rate off; the recipe of
speaker adaptation has the table."""


@dataclass(frozen=True)
class FeatureConfig:
    """How audio becomes log-mel features.

    Attributes:
        mels: number of mel bands.
        window_ms: length of an analysis window in milliseconds.
        hop_ms: step between windows in milliseconds.
        normalisation: way of normalising the bands: `utterance-mean` gives every band of an utterance the mean 0, which
            takes the microphone out; `speech-mean` its louder frames alone, so that silence around them does not count;
            `utterance` gives the mean 0 and the deviation 1, `fixed` shifts and scales all recordings alike. On digits
            of speakers who each had their own microphone, `fixed` was right more often for known ones (0.8 against 4.8
            % errors) and wrong more often for new ones (40 against 30 %).
    """

    mels: int = 80
    window_ms: float = 25.0
    hop_ms: float = 10.0
    normalisation: Normalisation = "utterance-mean"

    def __post_init__(self) -> None:
        if not 1 <= self.mels <= 1000:
            raise ConfigError(f"`features.mels` must be from 1 to 1000, got {self.mels}.")
        for name in ("window_ms", "hop_ms"):
            if not 1 <= getattr(self, name) <= 1000:
                raise ConfigError(f"`features.{name}` must be from 1 to 1000 milliseconds, got {getattr(self, name)}.")


@dataclass(frozen=True)
class SpecAugmentConfig:
    """SpecAugment (Park et al. 2019): masks per utterance and their greatest widths; random channels and vocal tracts.

    Attributes:
        frequency_masks: bands masked per utterance.
        frequency_width: greatest width of a band mask, in mel bands.
        time_masks: stretches masked per utterance.
        time_width: greatest width of a time mask, in frames.
        time_fraction: greatest fraction of an utterance that a time mask covers.
        channel: deviation of a random smooth frequency response added to each utterance's normalised log-mels, as if
            another microphone had recorded it; for corpora where every speaker has his own.
        warp: greatest relative change of each utterance's frequencies, as if another vocal tract had spoken it; 0.1 to
            0.2 are usual, 0 for none.
        silence: greatest share of silence that is put beside each utterance or taken away, as the mean of its bands
            sees it, from which features are counted; for corpora that are cut more or less closely.
    """

    # On AN4 (42 minutes, 300 CPU-seconds) two masks of 20 bands and two of 30 frames gave 13.6 % on development
    # speakers, these 9.9 %: small budgets cannot afford strong masks.
    frequency_masks: int = 1
    frequency_width: int = 15
    time_masks: int = 1
    time_width: int = 15
    time_fraction: float = 0.15
    channel: float = 0.0
    warp: float = 0.0
    silence: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 0:
                raise ConfigError(f"`augment.{name}` must not be negative, got {getattr(self, name)}.")
        if self.warp > 0.5:
            raise ConfigError(f"`augment.warp` must be at most 0.5, got {self.warp}; no two people differ by more.")
        if self.silence >= 1:
            raise ConfigError(f"`augment.silence` must be a share below 1, got {self.silence}.")


@dataclass(frozen=True)
class ModelConfig:
    """The acoustic model.

    Attributes:
        encoder: kind of encoder: `bilstm` is the CPU default, `tdnn` learns quickest on the smallest budgets,
            `conformer` is for GPUs.
        layers: encoder layers; the front end's two convolutions come before them.
        dim: width of an encoder layer (per direction for `bilstm`).
        channels: output channels of the front end's convolutions.
        strides: strides of the two front-end convolutions; their product is the subsampling factor.
        dropout: probability of dropout between encoder layers.
        features: features the model listens to.
        units: kind of text that a CTC token is.
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
        for name, most in (("layers", MOST_LAYERS), ("dim", MOST_CHANNELS), ("channels", MOST_CHANNELS)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"`model.{name}` must be from 1 to {most}, got {getattr(self, name)}.")
        if len(self.strides) != 2 or any(stride not in (1, 2, 3, 4) for stride in self.strides):
            raise ConfigError(f"`model.strides` must be two numbers from 1 to 4, got {list(self.strides)}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"`model.dropout` must be from 0 to below 1, got {self.dropout}.")

    def frames(self, length: int) -> int:
        """Return how many frames of `length` the front end leaves."""
        return subsampled(length, self.strides)


def subsampled(frames: int, strides: Sequence[int]) -> int:
    """Return how many of `frames` are left after convolutions of `strides` with half-width padding."""
    for stride in strides:
        frames = (frames - 1) // stride + 1
    return frames


@dataclass(frozen=True)
class TrainerConfig:
    """How a model is trained, whatever it is fed.

    Attributes:
        steps: number of optimiser steps.
        batch_budget: cost of one batch, padding included: frames of speech (100 per second), or items for images. A
            minute of speech trains faster and better than half of one (AN4, equal CPU-seconds), two leave CTC late.
        learning_rate: peak of the learning rate.
        warmup: fraction of the steps with a linearly rising learning rate.
        schedule: course of the learning rate after the warm-up: `cosine` to zero, or `constant`.
        weight_decay: weight decay of AdamW, on matrices only.
        optimizer: optimiser: `adamw`, or plain `sgd` for exact gradient tests.
        max_gradient_norm: greatest norm of the model's gradients and, apart from them, of those of what objectives
            train of their own; longer ones are clipped, 0 switches clipping off.
        accumulate: number of batches per optimiser step.
        precision: number format of the training: `auto` takes the faster one on this machine, measured in a second and
            remembered; `bf16` is 1.3–1.6 times as fast as `fp32` on processors and cards that compute in it, and slower
            on others.
        validate_every: steps between validations; 0 validates at the end only.
        patience: validations without improvement before training stops; 0 never stops early.
        checkpoint_every: steps between checkpoints for resuming, besides those at validations; 0 for none.
        max_nonfinite: greatest number of steps, in all, with a non-finite loss or gradient; with more of them training
            stops.
        seed: random seed of initial weights, batches, dropout and augmentation.
        threads: CPU threads per process; more than one spins on shared cores and is seldom faster.
        device: device to compute on: `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU when there is one.
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
    precision: Precision = "auto"
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
class SubwordConfig:
    """Pieces of words, where units are `subwords`.

    Attributes:
        pieces: number of pieces of a language, or of all languages together where they are shared. There are more where
            the texts have more characters, and fewer where they hold no more pieces.
        pieces_of: number of pieces by language, where it differs from `pieces`.
        shared: whether the languages whose units are subwords have the same pieces, found in all their texts; each
            still has a head of its own.
    """

    pieces: int = PIECES
    pieces_of: Mapping[str, int] = field(default_factory=dict)
    shared: bool = False

    def __post_init__(self) -> None:
        for name, pieces in (("pieces", self.pieces), *((f"pieces_of.{k}", n) for k, n in self.pieces_of.items())):
            if pieces < 1:
                raise ConfigError(f"`subwords.{name}` must be at least 1, got {pieces}.")
        if self.shared and self.pieces_of:
            raise ConfigError("`subwords.pieces_of` is for languages with pieces of their own; leave `shared` out.")


@dataclass(frozen=True)
class SourceConfig:
    """How a speaker-independent model is made.

    Attributes:
        model: the network.
        trainer: its training.
        augment: SpecAugment masks.
        speeds: speed copies of the training speech; [1.0] for none.
        isolated_words: whether every utterance is one word (or phrase) of those trained on; the recogniser then keeps
            them as its lexicon and takes each recording for the likeliest of them.
        units_of: units by language, for languages whose tokens differ from `model.units`.
        subwords: settings of the pieces of words, for units `subwords` alone. None takes the defaults of
            `SubwordConfig`.
        alpha: power of the amount of speech with which a language is sampled: 1 samples the speech as it is, 0 as much
            of every language.
        outputs: kind of output layers: `heads` gives each language an output layer of its own; `phones` all of them one
            layer of phones, of which each language has some; `attributes` the same, each phone scored from its
            articulatory features.
        allophones: YAML file with the allophones, by language, of phonemes that are not a phone of their own.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    isolated_words: bool = False
    units_of: Mapping[str, Units] = field(default_factory=dict)
    subwords: SubwordConfig | None = None
    alpha: float = 0.5
    outputs: Outputs = "heads"
    allophones: Path | None = None

    def __post_init__(self) -> None:
        self._check_outputs()
        if not self.speeds or any(not 0.5 <= speed <= 2 for speed in self.speeds):
            raise ConfigError(f"`speeds` must be factors from 0.5 to 2, got {list(self.speeds)}.")
        if self.isolated_words and self.model.units == "characters":
            raise ConfigError(
                "`isolated_words` needs `model.units` of phones, words or their pieces; characters spell any text."
            )
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"`alpha` must be from 0 to 1, got {self.alpha}.")

    def _check_outputs(self) -> None:
        if self.outputs not in get_args(Outputs):
            raise ConfigError(f"`outputs` is '{self.outputs}'.{nearest_hint(self.outputs, get_args(Outputs))}")
        if self.outputs == "heads":
            if self.allophones is not None:
                raise ConfigError(
                    "`allophones` belong to a shared layer of phones; give `outputs` phones or attributes."
                )
            return
        for name, units in (("model.units", self.model.units), *(("units_of", own) for own in self.units_of.values())):
            if units not in ("phones", "toneless-phones"):
                raise ConfigError(
                    f"`outputs` {self.outputs} is made of phones, but `{name}` is {units}; make it phones."
                )

    def only(self, languages: Iterable[str]) -> SourceConfig:
        """Return the settings for some languages alone: without what is said of others by name."""
        kept = set(languages)
        units = {name: own for name, own in self.units_of.items() if name in kept}
        subwords = self.subwords
        if subwords is not None:
            own = {name: pieces for name, pieces in subwords.pieces_of.items() if name in kept}
            subwords = replace(subwords, pieces_of=own)
            if all(units.get(name, self.model.units) != "subwords" for name in kept):
                subwords = None
        return replace(self, units_of=units, subwords=subwords)


def to_plain(settings: Any) -> dict[str, Any]:
    """Turn a settings dataclass into plain dicts, lists and scalars that YAML and JSON can hold."""
    plain: dict[str, Any] = _plain(asdict(settings))
    return plain


def to_record(command: Any) -> dict[str, Any]:
    """Return a command's settings as a run record takes them: without those that say only how to go about the run.

    Paths stay paths, for a record knows them by what they lead to.
    """
    how = ("resume", "overwrite", "workers", "backend")
    return {name: value for name, value in asdict(command).items() if name not in how}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
