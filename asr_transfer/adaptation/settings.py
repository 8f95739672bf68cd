"""Declares the settings of speaker adaptation and of the automatic choice of a method, importable without torch.

A reason stands beside each default; figures are from the project's own development runs on AN4 and FSDD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from asr_transfer.config import WARPS, Precision, SpecAugmentConfig
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import ConfigError
from asr_transfer.ranges import Count, CountOrNone, Filled, Positive, Range, Ranged, Seed, Share, Speed, Speeds, Weight


@dataclass(frozen=True)
class MethodSettings(Ranged, section="settings"):
    """What the methods can be told; each reads what concerns it.

    Attributes:
        first: encoder layers that count as first, besides the front end.
        rho: weight of the source model's posteriors in `kld`, from 0 (plain fine-tuning) to 1 (no change).
        kld_frames: frames that `kld` counts: `all`, or only `non-blank` ones.
        alpha: pull of `l2sp` towards the source weights.
        fisher: pull of `ewc` towards the source weights, times each weight's Fisher information on source utterances.
        rank: rank of the matrices of `lora`.
        bottleneck: hidden units of a `residual-adapter`.
        code: numbers in a `speaker-code`; on a model that was trained with codes there are as many as it has.
        blocks: selector of the blocks that `lhuc`, `lora`, `residual-adapter` and `speaker-code` act on, such as
            `encoder.layers[:2]`; empty for all that the kind can act on.
        rates: factor on the learning rate by selector, such as `encoder.layers[0]`, of what a method trains; those that
            `train` learnt stand in the model's `config.yaml`.
        replay: share of the loss that source utterances have in `replay`.
        confidence: least confidence of the source model, from 0 to 1, in an utterance that `pseudo-label` keeps.
        labels: way in which the source model makes the texts of `pseudo-label`: `plain`, as it is, or `suta`, adapted
            to each recording first. Its plain texts teach it little, for they are what it does already.
        warps: factors on all frequencies that `warp` tries, besides 1.
        warp_width: deviation of the logarithms of the factors that speakers have, around no warp; None takes that of
            the training speakers, which comes with the model, and at least 0.1. 0 leaves no warp possible.
        directions: number of directions of the training speakers' profiles that `eigen-profile` takes; None takes as
            many as served best when they were made.
        prior: weight of how the training speakers' profiles lie in `eigen-profile`, beside the speech; infinite gives
            the mean profile. A model knows its training speakers, whose profiles lie closer than those of new ones: on
            three utterances of 14 development speakers of AN4, 1 took 0.4 % off the loss on others, and 0.1 took 3.4 %.
        softness: factor on the nats by which one training speaker is likelier than another in `mixture-profile`.
    """

    first: CountOrNone = 1
    rho: Share = 0.5
    kld_frames: Literal["all", "non-blank"] = "all"
    alpha: Weight = 0.01
    fisher: Weight = 0.1
    rank: Count = 8
    bottleneck: Count = 16
    code: Count = 32
    blocks: str = ""
    rates: Mapping[str, Positive] = field(default_factory=dict)
    replay: Share = 0.5
    confidence: Share = 0.8
    labels: Literal["plain", "suta"] = "suta"
    warps: Annotated[tuple[Annotated[float, Range(at_least=0.5, at_most=2)], ...], Filled(rising=True)] = WARPS
    warp_width: Weight | None = None
    directions: CountOrNone | None = None
    prior: Annotated[float, Range(at_least=0, infinite=True)] = 0.1
    softness: Weight = 0.1


@dataclass(frozen=True)
class AdaptConfig(Ranged, section="adapt"):
    """How a recogniser is adapted.

    Attributes:
        steps: number of optimiser steps; a handful of utterances fits into one batch, so a step sees all of them.
        learning_rate: peak of the learning rate; None takes the method's default.
        batch_budget: frames per batch.
        speeds: speed copies of the utterances.
        augment: SpecAugment masks; None for none.
        strength: distance that the weights move, from the source's (0) to the adapted ones (1).
        source_budget: frames of source utterances per batch, for methods that mix them in; None takes 500, on a
            published encoder under our own layers or heads 1,500. There, with one minute of each of three development
            characters of a game, 500 left 995 of 3,883 characters wrong and 2,373 of 7,766 of others (before: 1,196 and
            2,392), 1,500 left 952 and 2,338 in 1.6 times the processor time, 3,000 left 939 and 2,286 in 2.5 times.
        settings: settings of the methods.
        suta: test-time adaptation, for the method of that name.
        precision: number format of the training; `auto` takes the faster one on this machine, measured in a second and
            remembered.
        seed: random seed of batches, dropout and masks.
        device: device to compute on: `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU when there is one.
    """

    steps: Count = 40
    learning_rate: Positive | None = None
    batch_budget: Count = 3000
    speeds: Speeds = (1.0,)
    augment: SpecAugmentConfig | None = None
    strength: Share = 1.0
    source_budget: Count | None = None
    settings: MethodSettings = field(default_factory=MethodSettings)
    suta: SutaConfig = field(default_factory=SutaConfig)
    precision: Precision = "auto"
    seed: Seed = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if 1.0 not in self.speeds:
            raise ConfigError(f"`adapt.speeds` must contain 1.0, the recordings as they are, got {list(self.speeds)}.")


@dataclass(frozen=True)
class ChoiceConfig(Ranged, section="choice"):
    """How `auto` chooses a method on the speaker's own utterances.

    Attributes:
        folds: number of parts in the cross-validation; fewer utterances are left out one by one.
        with_source: methods tried where source utterances are given, the usual choice first.
        without_source: methods tried where there are none, the usual choice first. On ten digits of two development
            speakers (four draws) and eight sentences of three of AN4, half of the way by `first-layers` left the least
            of the criterion of them, 0.50 and 0.68, where three quarters by `front-end` left 0.56 and 0.78.
        token_by_token: methods tried on a model of sequence to sequence, of which the best is taken; where source
            utterances are given, with `replay`. Unless `settings` say otherwise the first layers are those of the
            encoder, and what is added to the model is added to its decoder. On three minutes of four characters of a
            game, half of the way by Whisper-tiny's encoder took three times as many errors away as its decoder.
        on_published: methods tried on a published encoder under our own layers or heads; where source utterances are
            given, with `replay`. On 70 recordings of each of three development characters of a game, Whisper-tiny's
            encoder with replay, `full` left 723 of 3,883 characters wrong, the encoder's first two layers 769,
            `front-end` 884. On a Czech actor `first-layers`, tried beside it for 40 % of the time, was never taken.
        without_transcripts: methods tried where no recording has a transcript; they must read none.
        rates: factors on each method's own learning rate.
        strengths: strengths tried with every training, each at the cost of recognising the held-out utterances.
        prior_strength: strength taken of the first method, unless something else is better by more than chance. Where
            source utterances are mixed in, the full strength is taken.
        refit: factor on the steps of the last training, on all recordings, where source utterances are mixed in: on
            digits, 100 steps instead of 40 took a fifth more errors away from 20 recordings on, and nothing was
            forgotten.
        refit_speeds: speed copies of the recordings in that training; none for those of the trials.
        judged: number of held-out utterances after which no more folds are run.
        tolerance: greatest rise of the character error rate on source speech that the model was not trained on; of a
            model that was trained here and makes fewer than 5 % errors there, less in proportion.
        check_seconds: greatest amount of such speech that the trials are judged on; what was adapted at last is judged
            on all of it.
        confidences: least confidences, from 0 to 1, of the model's own texts that are tried for recordings without
            transcript.
        warp: whether a warp of the speaker's frequencies is looked for first, by a model that knows how its training
            speakers differ. Where it clearly understands him better through one, that is tried by itself, and
            everything else is tried on top of it.
        adabn: whether statistics of the recordings are tried where none has a transcript and they differ from the
            model's more than those of any speaker do; and what learns from the model's own texts, on top of them.
    """

    folds: Annotated[int, Range(at_least=2)] = 4
    with_source: tuple[str, ...] = ("first-layers+replay", "front-end+replay", "full+replay")
    without_source: tuple[str, ...] = ("first-layers", "front-end", "lin", "lhuc")
    token_by_token: tuple[str, ...] = ("first-layers", "lora")
    on_published: tuple[str, ...] = ("full",)
    without_transcripts: tuple[str, ...] = (
        "suta",
        "pseudo-label+front-end",
        "pseudo-label+lhuc",
        "pseudo-label+lin",
    )
    rates: Annotated[tuple[Positive, ...], Filled()] = (1.0,)
    strengths: Annotated[tuple[Annotated[float, Range(above=0, at_most=1)], ...], Filled()] = (0.25, 0.5, 0.75, 1.0)
    prior_strength: Share = 0.5
    refit: Annotated[float, Range(at_least=1)] = 2.5
    refit_speeds: tuple[Speed, ...] = ()
    judged: Count = 20
    tolerance: Annotated[float, Range(infinite=True)] = 0.01
    check_seconds: Positive = 120.0
    confidences: Annotated[tuple[Share, ...], Filled()] = (0.6, 0.9)
    warp: bool = True
    adabn: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refit_speeds and 1.0 not in self.refit_speeds:
            raise ConfigError(f"`choice.refit_speeds` must contain 1.0, got {list(self.refit_speeds)}.")
