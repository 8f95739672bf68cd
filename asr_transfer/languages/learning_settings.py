"""Declares how a language is learnt, importable without torch so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from asr_transfer.config import Precision, SpecAugmentConfig, TopConfig, TrainerConfig, Units
from asr_transfer.languages.config import LanguageConfig, Mode
from asr_transfer.ranges import Count, CountOrNone, Positive, Ranged, Seed, Speeds

VALIDATIONS = 12
"""Validations of a way that is not stopped: so many that `patience` ends it when a third of its steps gained nothing.

On synthetic voices (`own_language`, six trainings of 600 steps) that saved 11 % of the steps, up to a third, and the
errors of what is scored changed by 0.2 ± 0.3 points. Twice as many validations took lucky early weights more often.
"""
STRONG = SpecAugmentConfig(frequency_masks=2, frequency_width=20, time_masks=3, time_width=30)
"""Masks on a published encoder: layers on such states soon know little speech by heart.

With these and more dropout 3.9 % of the words of AN4's development speakers were wrong after 400 steps, without 5.4 %.
"""
STEPS_APART = 10
"""Least steps between two validations, for each listens to all development speech."""
FRAMES = 100
"""Frames of a second of speech, as `batch_budget` counts them."""
PASSES = 30
"""Passes over the training speech, where the number of steps is not given.

On development speech after twelve European languages, 1800 steps instead of 600 (30 passes instead of 10) left 3 %
fewer errors in thirty minutes of Dutch, and 600 instead of 250 (30 instead of 12) 4 % fewer in ten minutes of Polish.
In five minutes, 600 instead of 250 (60 instead of 25) left 2 % more in Polish and 2 % fewer in Greek (one seed each).
"""
FEWEST = 250
"""Least number of such steps.

In one minute of Polish, 250 instead of 100 left 1 % more errors by all layers and 1 % fewer by the head alone.
"""
MOST = 3000
"""Greatest number of such steps."""
ON_PUBLISHED = 600
"""Such steps on a published encoder, where no other number was measured."""


@dataclass(frozen=True, kw_only=True)
class LearningSettings(Ranged):
    """How a language is learnt.

    Attributes:
        way: way to learn. `auto` tries those that so much speech allows and takes the one that errs least on recordings
            that it holds out.
        pieces: number of pieces of words where units are `subwords`.
        steps: number of optimiser steps of each way; None takes as many as the amount of speech asks for.
        patience: number of validations without a gain after which a way ends; 0 for never.
        learning_rate: peak of the learning rate of the new head.
        encoder_rate: factor on the learning rate of all other layers.
        batch_budget: greatest number of frames in a batch.
        speeds: speed copies of the training speech.
        keep_source: number of training utterances of the language to keep in the new model's folder.
        seed: random seed of the division, weights, batches and masks.
        device: device to train on, such as `cpu` or `cuda`.
        top: layers that are put on a published encoder that has none of ours yet.
    """

    way: Literal["auto", Mode] = "auto"
    pieces: Count | None = None
    steps: Count | None = None
    patience: CountOrNone = 4
    learning_rate: Positive = 3e-3
    encoder_rate: Positive = 0.3
    batch_budget: Count = 3000
    speeds: Speeds = (0.9, 1.0, 1.1)
    keep_source: CountOrNone = 100
    seed: Seed = 0
    device: str = "auto"
    top: TopConfig = field(default_factory=TopConfig)

    def steps_for(self, seconds: float, published: bool = False) -> int:
        """Return the number of steps of each way.

        Args:
            seconds: length of the training speech.
            published: whether own layers stand on a published encoder.
        """
        if self.steps is not None:
            return self.steps
        if published:
            return ON_PUBLISHED
        return min(MOST, max(FEWEST, round(PASSES * seconds * FRAMES / self.batch_budget)))

    def explained(self, steps: int, seconds: float) -> str:
        """Return one sentence on the number of steps; empty where the user gave it.

        Args:
            steps: number of steps of each way.
            seconds: length of the training speech.
        """
        if self.steps is not None:
            return ""
        passes = steps * self.batch_budget / (FRAMES * seconds)
        return f"at most {steps} steps of each way, {passes:.0f} passes over the training speech (--steps)"

    def configured(
        self, way: Mode, units: Units, known: bool, precision: Precision, steps: int, published: bool = False
    ) -> LanguageConfig:
        """Return the settings of one way.

        Args:
            way: its name.
            units: kind of text that a token of the head is.
            known: whether the model has a head of the language, which grows.
            precision: number format of the training.
            steps: number of optimiser steps.
            published: whether own layers stand on a published encoder, which asks for strong masks.
        """
        trainer = TrainerConfig(
            steps=steps,
            learning_rate=self.learning_rate,
            batch_budget=self.batch_budget,
            validate_every=max(1, min(steps // 4, max(STEPS_APART, steps // VALIDATIONS))),
            patience=self.patience,
            seed=self.seed,
            device=self.device,
            precision=precision,
        )
        moves = way in ("top", "all", "joint", "gradual")
        return LanguageConfig(
            mode=way,
            units=units,
            trainer=trainer,
            augment=STRONG if published else SpecAugmentConfig(),
            speeds=self.speeds,
            encoder_rate=self.encoder_rate if moves else 1.0,
            keep_head=known,
            monitor="cer" if units in ("characters", "subwords") else "wer",
            pieces=self.pieces,
        )
