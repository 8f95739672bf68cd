"""Declares the settings of the beam searches and of adaptation at test time, readable without loading PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from asr_transfer.errors import ConfigError


@dataclass(frozen=True)
class SearchConfig:
    """How hypotheses are searched for.

    Attributes:
        beam: number of hypotheses kept at each frame.
        beam_threshold: distance below the best hypothesis, in nats, beyond which others are dropped; infinity for none.
        lm_weight: factor of the language model's natural log-probability.
        word_score: score added for every word; above 0 for more words, below for fewer.
        unknown_score: natural log-probability of a word that the language model does not list; None takes the model's
            own `<unk>`. Other words lose to it too easily if it is very low, which hides new words.
        hot_weight: score added for every token of a hot word (with pieces of words, for every character), times the
            word's own weight.
        look_ahead: whether unfinished words are compared as if they were already the likeliest word that they can
            become. It changes what is dropped, not the scores.
    """

    beam: int = 100
    beam_threshold: float = 25.0
    lm_weight: float = 1.0
    word_score: float = 0.0
    unknown_score: float | None = None
    hot_weight: float = 1.0
    look_ahead: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.beam, bool) or not isinstance(self.beam, int) or self.beam < 1:
            raise ConfigError(f"`search.beam` must be a whole number of at least 1, got {self.beam!r}.")
        if not self.beam_threshold > 0:
            raise ConfigError(f"`search.beam_threshold` must be a number above 0, got {self.beam_threshold}.")
        if not 0 <= self.lm_weight < math.inf:
            raise ConfigError(f"`search.lm_weight` must be a number not below 0, got {self.lm_weight}.")
        for name, value in (("word_score", self.word_score), ("hot_weight", self.hot_weight)):
            if not math.isfinite(value):
                raise ConfigError(f"`search.{name}` must be a finite number, got {value}.")
        if self.unknown_score is not None and not -math.inf < self.unknown_score <= 0:
            raise ConfigError(
                f"`search.unknown_score` must be a natural log-probability (0 or below), got {self.unknown_score}."
            )


@dataclass(frozen=True)
class SutaConfig:
    """How a model is adapted to an utterance.

    Attributes:
        steps: number of AdamW steps; 0 for none.
        learning_rate: learning rate of AdamW. The paper's 2e-5 is for wav2vec 2.0; on small models of spoken digits,
            with and without noise, 3e-4 never took fewer errors away and mostly two to four times as many.
        temperature: divisor of the logits in both losses, so that sure frames still have a gradient.
        entropy_weight: weight of the entropy; minimum class confusion has the rest of 1.
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
