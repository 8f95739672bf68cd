"""Declares the settings of every stage, importable without torch so that the command line starts at once.

A reason stands beside each default; figures are from the project's own development runs on AN4 and FSDD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.plain import as_values
from asr_transfer.ranges import Count, CountOrNone, Filled, Positive, Range, Ranged, Seed, Share, Speeds, Weight

Units = Literal["characters", "subwords", "words", "phones", "toneless-phones"]
EncoderName = Literal["bilstm", "tdnn", "conformer"]
FEATURE_KINDS = ("log-mel", "kaldi-fbank", "whisper-mel")
Normalisation = Literal["utterance", "utterance-mean", "speech-mean", "fixed", "none"]
Precision = Literal["auto", "fp32", "bf16"]
Outputs = Literal["heads", "phones", "attributes"]

PIECES = 300
"""Subwords of a language where nothing else is said: few, for what is heard seldom is learnt badly."""

MOST_LAYERS, MOST_CHANNELS = 1_000, 100_000
"""More are a slip of the pen or damage: making the network would take for ever."""

Channels = Annotated[int, Range(at_least=1, at_most=MOST_CHANNELS)]
"""A width of a layer."""

Stride = Annotated[int, Range(at_least=1, at_most=4)]
"""A step of a convolution, in frames."""

Warp = Annotated[float, Range(at_least=0, at_most=0.5, remark="no two people differ by more")]
"""A relative change of frequencies, 0 for none."""

Padding = Annotated[float, Range(at_least=0, below=1)]
"""A share of silence beside an utterance, 0 for none."""

Milliseconds = Annotated[float, Range(at_least=1, at_most=1000, unit="milliseconds")]
"""A length of speech that features are computed on."""

KEEP_SOURCE = 200
"""Training utterances kept with a model: at three seconds each ten megabytes, about as much as a small model."""

KEEP_JUDGED = 60
"""Utterances held out to judge on what others lose: of AN4 a fifteenth of the training speech, five or six of 74
speakers, some 1,200 characters. A prediction from them is about a point of the character error rate off; the recipe of
speaker adaptation has the table."""


@dataclass(frozen=True)
class FeatureConfig(Ranged, section="features"):
    """How audio becomes features of time and frequency.

    Attributes:
        mels: number of mel bands.
        window_ms: length of an analysis window in milliseconds.
        hop_ms: step between windows in milliseconds.
        normalisation: way of normalising: `utterance-mean` gives every band of an utterance the mean 0, which takes the
            microphone out; `speech-mean` its louder frames alone, so that silence around them does not count;
            `utterance` gives the mean 0 and the deviation 1, `fixed` shifts and scales all recordings' log-mels alike,
            `none` nothing. On digits of speakers who each had their own microphone, `fixed` was right more often for
            known ones (0.8 against 4.8 % errors) and wrong more often for new ones (40 against 30 %).
        kind: `log-mel` energies, or for models that shall run elsewhere Kaldi's filter banks (`kaldi-fbank`, with the
            normalisation `none` as sherpa-onnx computes them) or Whisper's log-mels (`whisper-mel`).
        remove_offset: whether log-mels are of windows without their mean, so that a recording's constant offset is not
            heard, which programs such as sherpa-onnx take out. Kaldi's filter banks never hear it.
    """

    mels: Annotated[int, Range(at_least=1, at_most=1000)] = 80
    window_ms: Milliseconds = 25.0
    hop_ms: Milliseconds = 10.0
    normalisation: Normalisation = "utterance-mean"
    kind: str = "log-mel"
    remove_offset: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in FEATURE_KINDS:
            raise ConfigError(f"`features.kind` is '{self.kind}'.{nearest_hint(self.kind, FEATURE_KINDS)}")
        if self.remove_offset and self.kind != "log-mel":
            raise ConfigError(
                f"`features.remove_offset` is for log-mels; {self.kind} is computed as its makers do, so leave it out."
            )
        if self.normalisation == "fixed" and self.kind != "log-mel":
            raise ConfigError(
                f"`features.normalisation` fixed shifts and scales log-mels, not {self.kind}; give another, or none."
            )
        whole = (self.window_ms, self.hop_ms, self.normalisation) == (25, 10, "none") and self.mels in (80, 128)
        if self.kind == "whisper-mel" and not whole:
            raise ConfigError(
                "`features.kind` whisper-mel has 80 or 128 `mels`, windows of 25 ms every 10 ms and a scaling of its "
                "own; give the normalisation none and leave the others out."
            )


@dataclass(frozen=True)
class SpecAugmentConfig(Ranged, section="augment"):
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
    frequency_masks: CountOrNone = 1
    frequency_width: CountOrNone = 15
    time_masks: CountOrNone = 1
    time_width: CountOrNone = 15
    time_fraction: Weight = 0.15
    channel: Weight = 0.0
    warp: Warp = 0.0
    silence: Padding = 0.0


@dataclass(frozen=True)
class TopConfig(Ranged, section="top"):
    """What is put on a pretrained encoder that has no output layer: bidirectional LSTMs.

    Attributes:
        layers: number of layers.
        dim: width of a layer in each direction.
        dropout: probability of dropout behind each layer.
        joined: number of neighbouring frames of the encoder that are one frame for the layers on top.
        least_seconds: length up to which silence is put behind shorter recordings, as an encoder that was trained on
            windows of 30 s expects it; 0 for none.
    """

    layers: Annotated[int, Range(at_least=1, at_most=MOST_LAYERS)] = 2
    dim: Channels = 256
    # With this and strong masks 3.9 % of the words of AN4's development speakers were wrong after 400 steps, with half
    # of it and few masks 5.4 %: layers on such states soon know little speech by heart.
    dropout: Annotated[float, Range(at_least=0, below=1)] = 0.4
    joined: Annotated[int, Range(at_least=1, at_most=8)] = 2
    least_seconds: Annotated[float, Range(at_least=0, at_most=30)] = 0.0


@dataclass(frozen=True)
class ModelConfig(Ranged, section="model"):
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
        pretrained: folder of a pretrained model, or its name on the hub, whose encoder takes the place of the network
            that the fields above describe, such as `openai/whisper-tiny`.
        top: layers on a pretrained encoder that comes without output layers.
        pretrained_rate: factor on the learning rate of a pretrained encoder; 0 leaves it as it is, and it then runs
            once over each utterance.
    """

    encoder: EncoderName = "bilstm"
    layers: Annotated[int, Range(at_least=1, at_most=MOST_LAYERS)] = 3
    dim: Channels = 192
    channels: Channels = 256
    strides: tuple[Stride, Stride] = (2, 2)
    dropout: Annotated[float, Range(at_least=0, below=1)] = 0.1
    features: FeatureConfig = field(default_factory=FeatureConfig)
    units: Units = "characters"
    pretrained: Path | None = None
    top: TopConfig = field(default_factory=TopConfig)
    pretrained_rate: Weight = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        of_pretrained = ("top", "pretrained_rate")
        for one in fields(self):
            usual = one.default if one.default_factory is MISSING else one.default_factory()
            if one.name in ("pretrained", "units") or getattr(self, one.name) == usual:
                continue
            if self.pretrained is None and one.name in of_pretrained:
                raise ConfigError(f"`model.{one.name}` needs a pretrained encoder; give `model.pretrained` too.")
            if self.pretrained is not None and one.name not in of_pretrained:
                raise ConfigError(
                    f"`model.{one.name}` describes a network of one's own, in whose place `model.pretrained` puts "
                    "another; leave one of them out (the layers on a pretrained encoder are `model.top`)."
                )

    def own(self) -> ModelConfig:
        """Return the network that starts from scratch: this one, or the default where a pretrained one stands in it."""
        return self if self.pretrained is None else ModelConfig(units=self.units)

    def frames(self, length: int) -> int:
        """Return how many frames of `length` the front end leaves."""
        return subsampled(length, self.strides)


def subsampled(frames: int, strides: Sequence[int]) -> int:
    """Return how many of `frames` are left after convolutions of `strides` with half-width padding."""
    for stride in strides:
        frames = (frames - 1) // stride + 1
    return frames


@dataclass(frozen=True)
class TrainerConfig(Ranged, section="trainer"):
    """How a model is trained, whatever it is fed.

    Attributes:
        steps: number of optimiser steps.
        batch_budget: cost of one batch, padding included: frames of speech (100 per second), or items for images. A
            minute of speech trains faster and better than half of one (AN4, equal CPU-seconds), two leave CTC late.
        learning_rate: peak of the learning rate.
        warmup: fraction of the steps with a linearly rising learning rate.
        schedule: course of the learning rate after the warm-up: `cosine` to zero, `constant`, or `inverse`, which is
            (1 + 10 p)^-0.75 at progress p (Ganin et al. 2016).
        weight_decay: weight decay of AdamW, on matrices only.
        optimizer: optimiser: `adamw`, or `sgd`, which without `momentum` is plain, for exact gradient tests.
        momentum: momentum of `sgd`.
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

    steps: Count = 1000
    batch_budget: Count = 6000
    learning_rate: Positive = 3e-3
    warmup: Annotated[float, Range(at_least=0, below=1)] = 0.1
    schedule: Literal["cosine", "constant", "inverse"] = "cosine"
    weight_decay: Weight = 0.01
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: Annotated[float, Range(at_least=0, below=1)] = 0.0
    max_gradient_norm: Weight = 1.0
    accumulate: Count = 1
    precision: Precision = "auto"
    validate_every: CountOrNone = 200
    patience: CountOrNone = 0
    checkpoint_every: CountOrNone = 250
    max_nonfinite: CountOrNone = 10
    seed: Seed = 0
    threads: Count = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience and not self.validate_every:
            raise ConfigError("`trainer.patience` needs `trainer.validate_every` above 0: it counts validations.")
        if self.momentum and self.optimizer != "sgd":
            raise ConfigError("`trainer.momentum` is that of `sgd`; set `trainer.optimizer` to it, or leave it out.")


@dataclass(frozen=True)
class ImageConfig(Ranged, section="model"):
    """A convolutional network for images.

    Attributes:
        channels: output channels of each convolution.
        inputs: channels of the images: 1 for grey, 3 for colour ones.
        size: pixels of a side of the images, where there are dense layers.
        kernel: width of the convolutions.
        padding: whether zeros around the maps keep their size.
        halving: way in which a layer halves the resolution: by its `stride`, or by `pool`, the greatest of four.
        halve: numbers of the layers that halve it, the first being 0; None for all but the first.
        norm: whether there is a BatchNorm behind each convolution and dense layer.
        dense: units of the dense layers behind the convolutions, the first over all positions of the last map; without
            any the map is averaged over its positions.
    """

    channels: Annotated[tuple[Channels, ...], Filled()] = (32, 48)
    inputs: Annotated[int, Range(at_least=1, at_most=4)] = 1
    size: Annotated[int, Range(at_least=1, at_most=1024)] = 28
    kernel: Annotated[int, Range(at_least=1, at_most=15)] = 3
    padding: bool = True
    halving: Literal["stride", "pool"] = "stride"
    halve: tuple[CountOrNone, ...] | None = None
    norm: bool = True
    dense: tuple[Channels, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel % 2 == 0:
            raise ConfigError(f"`model.kernel` must be odd, got {self.kernel}: a layer's maps then keep their size.")
        if self.dense and self.side() < 1:
            raise ConfigError(f"`model.size` is {self.size} pixels, of which these layers leave none; take fewer.")
        if self.halve is not None and max(self.halve, default=0) >= len(self.channels):
            raise ConfigError(
                f"`model.halve` names layer {max(self.halve)}, but `model.channels` has {len(self.channels)}; the "
                "first is 0."
            )

    def halves_at(self, number: int) -> bool:
        """Return whether a layer halves the resolution."""
        return number > 0 if self.halve is None else number in self.halve

    def side(self) -> int:
        """Return the side of the last layer's map; below 1 where nothing is left of the images."""
        side = self.size
        for number in range(len(self.channels)):
            side -= 0 if self.padding else self.kernel - 1
            if self.halves_at(number):
                side = side // 2 if self.halving == "pool" else (side + 1) // 2
        return side


@dataclass(frozen=True)
class ImageTrainerConfig(TrainerConfig, section="trainer"):
    """How a model of images is trained; see `TrainerConfig`. Small convolutions are no faster in bf16."""

    batch_budget: Count = 64
    learning_rate: Positive = 2e-3
    warmup: Annotated[float, Range(at_least=0, below=1)] = 0.0
    max_gradient_norm: Weight = 5.0
    precision: Precision = "fp32"
    validate_every: CountOrNone = 0
    checkpoint_every: CountOrNone = 0


@dataclass(frozen=True)
class SubwordConfig(Ranged, section="subwords"):
    """Pieces of words, where units are `subwords`.

    Attributes:
        pieces: number of pieces of a language, or of all languages together where they are shared. There are more where
            the texts have more characters, and fewer where they hold no more pieces.
        pieces_of: number of pieces by language, where it differs from `pieces`.
        shared: whether the languages whose units are subwords have the same pieces, found in all their texts; each
            still has a head of its own.
    """

    pieces: Count = PIECES
    pieces_of: Mapping[str, Count] = field(default_factory=dict)
    shared: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shared and self.pieces_of:
            raise ConfigError("`subwords.pieces_of` is for languages with pieces of their own; leave `shared` out.")


@dataclass(frozen=True)
class SpeakerAdaptiveConfig(Ranged, section="speaker_adaptive"):
    """Speaker-adaptive training: a share of the speech is heard by what is its speaker's own, trained with the model.

    Attributes:
        kind: part that each training speaker has of his own: `lhuc`, scales of the hidden units (Swietojanski et al.
            2016); `speaker-code`, a vector that shifts every layer, whose matrices are kept with the model; or `film`,
            a summary of how the speaker sounds, without transcripts, that scales and shifts every layer (FiLM; Perez
            et al. 2018).
        share: share of the utterances of each batch that are heard so; the rest keep the model good for everybody.
        code: numbers in a `speaker-code` or in the summary of `film`.
        pace: factor on the learning rate of what is the speakers' own.
    """

    kind: Literal["lhuc", "speaker-code", "film"] = "lhuc"
    share: Share = 0.5
    code: Count = 32
    # On digits with two development speakers left out, 304 of 1,000 words were wrong before an adaptation, 350 after
    # plain training; after `lhuc` on one, three and five recordings 414, 343 and 309 of 1,200, for 429, 360 and 328.
    # At 3, with speed copies as one speaker, nothing was gained.
    pace: Positive = 10.0


@dataclass(frozen=True)
class MetaConfig(Ranged, section="meta"):
    """Meta-learning behind the plain training: each batch is judged after an adaptation to other speech of its speaker.

    Attributes:
        way: gradient that is taken: `fomaml`, that of the model behind the adaptation (first-order MAML, Finn et al.
            2017), or `reptile`, the way to there (Nichol et al. 2018).
        method: method of `adapt` that the model is made for, such as `full` or `lhuc`, which does no more than say what
            is trained.
        share: share of the batches that are judged behind an adaptation; the rest keep the model good without any.
        inner_steps: number of the adaptation's steps; 0 is plain training.
        inner_rate: peak of the adaptation's learning rate; None takes the method's.
        recordings: number of recordings that it adapts to; speakers with less than twice as many are left out.
        steps: number of optimiser steps.
        speakers: number of speakers in each.
        batch_budget: frames of each speaker's batch behind the adaptation.
        learning_rate: peak of the learning rate.
        learn_rates: whether to learn a factor on the adaptation's learning rate for each block (Meta-SGD, Li et al.
            2017), which `adapt` takes as `settings.rates`.
        rates_pace: factor on the learning rate at which these are learnt.
    """

    # On digits with two development speakers left out, `lhuc` on one, three and five recordings left 332, 285 and 257
    # of 1,200 words wrong, for 356, 310 and 276 after plain training of as much time, and 429, 360 and 328 without
    # either. Reptile was behind plain training.
    way: Literal["fomaml", "reptile"] = "fomaml"
    method: str = "full"
    # With all batches behind an adaptation, 449 of 500 words of an unadapted speaker were wrong, for 156.
    share: Share = 0.5
    inner_steps: CountOrNone = 10
    inner_rate: Positive | None = None
    recordings: Count = 5
    steps: Count = 70
    speakers: Count = 4
    batch_budget: Count = 500
    learning_rate: Positive = 3e-4
    learn_rates: bool = False
    rates_pace: Positive = 100.0


@dataclass(frozen=True)
class SourceConfig(Ranged):
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
        speaker_adaptive: speaker-adaptive training, of a model that is made to be adapted; None for none.
        meta: meta-learning behind the plain training, of a model that is made to be adapted; None for none.
        warp_normalised: whether to train a second time, from new initial weights, with each training speaker heard
            through the warp of his frequencies under which the first model understands him best (Lee and Rose 1996).
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    speeds: Speeds = (0.9, 1.0, 1.1)
    isolated_words: bool = False
    units_of: Mapping[str, Units] = field(default_factory=dict)
    subwords: SubwordConfig | None = None
    alpha: Share = 0.5
    outputs: Outputs = "heads"
    allophones: Path | None = None
    speaker_adaptive: SpeakerAdaptiveConfig | None = None
    meta: MetaConfig | None = None
    warp_normalised: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_outputs()
        for name in ("speaker_adaptive", "meta"):
            if getattr(self, name) is not None and self.model.pretrained is not None:
                raise ConfigError(f"`{name}` needs a network of one's own; leave it or `model.pretrained` out.")
        if self.meta is not None and self.meta.way == "reptile" and self.meta.learn_rates:
            raise ConfigError("`meta.learn_rates` needs `meta.way` fomaml: Reptile judges nothing after an adaptation.")
        if self.isolated_words and self.model.units == "characters":
            raise ConfigError(
                "`isolated_words` needs `model.units` of phones, words or their pieces; characters spell any text."
            )

    def _check_outputs(self) -> None:
        if self.outputs != "heads" and self.model.pretrained is not None:
            raise ConfigError(f"`outputs` {self.outputs} needs a network of one's own; leave `model.pretrained` out.")
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


ProfileKind = Literal["lhuc", "lin", "lora"]
"""Kinds of adapters that the profiles of training speakers are of."""

WARPS = (
    0.72, 0.76, 0.80, 0.84, 0.88, 0.92, 0.96, 1.00, 1.04, 1.08, 1.12, 1.16, 1.20, 1.24, 1.28, 1.32, 1.36, 1.40,
)  # fmt: skip
"""Factors on all frequencies, as vocal tracts of other lengths have them, that are tried for a speaker."""

_LATER: tuple[tuple[str, Any], ...] = (
    ("blocks", ""),
    ("kind", "log-mel"),
    ("pretrained", None),
    ("top", as_values(TopConfig())),
    ("pretrained_rate", 0.0),
    ("published_rate", 0.01),
    ("remove_offset", False),
    ("token_by_token", ["lora", "lhuc"]),
    ("on_published", ["full", "first-layers"]),
    ("warps", list(WARPS)),
    ("warp_width", None),
    ("online_profile", None),
    ("warp", True),  # of models of that time, which keep no training speakers' factors, there is none to look for
    ("adabn", True),  # of records of that time none chose among methods without transcripts
    ("speaker_profiles", None),
    ("directions", None),
    ("prior", 0.1),
    ("softness", 0.1),
    ("title", ""),
    ("settings", None),
    ("strength", None),
    ("writing", None),
    ("speaker_adaptive", None),
    ("meta", None),
    ("warp_normalised", False),
    ("rates", {}),
    ("momentum", 0.0),
    ("judged", "train"),
)
"""Settings that came later, where they say what held before: records and model folders leave them out, so that earlier
runs go on and earlier models keep their checksums."""


def without_later(values: Any) -> Any:
    """Return plain settings without those that came later and say what held before."""
    if isinstance(values, dict):
        return {key: without_later(item) for key, item in values.items() if (key, item) not in _LATER}
    return [without_later(item) for item in values] if isinstance(values, list) else values


def to_record(command: Any) -> dict[str, Any]:
    """Return a command's settings as a run record takes them: without those that say only how to go about the run.

    Paths stay paths, for a record knows them by what they lead to.
    """
    how = ("resume", "overwrite", "workers", "backend")
    named = {one.name: as_values(getattr(command, one.name)) for one in fields(command) if one.name not in how}
    kept: dict[str, Any] = without_later(named)
    return kept
