"""Declares how a language is learnt, importable without torch so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asr_transfer.config import Precision, TrainerConfig, Units
from asr_transfer.languages.config import LanguageConfig, Mode
from asr_transfer.ranges import Count, CountOrNone, Positive, Ranged, Seed, Speeds


@dataclass(frozen=True, kw_only=True)
class LearningSettings(Ranged):
    """How a language is learnt.

    Attributes:
        way: way to learn. `auto` tries those that so much speech allows and takes the one that errs least on recordings
            that it holds out.
        pieces: number of pieces of words where units are `subwords`.
        steps: number of optimiser steps of each way.
        patience: number of validations without a gain after which a way ends; 0 for never.
        learning_rate: peak of the learning rate of the new head.
        encoder_rate: factor on the learning rate of all other layers.
        batch_budget: greatest number of frames in a batch.
        speeds: speed copies of the training speech.
        keep_source: number of training utterances of the language to keep in the new model's folder.
        seed: random seed of the division, weights, batches and masks.
        device: device to train on, such as `cpu` or `cuda`.
    """

    way: Literal["auto", Mode] = "auto"
    pieces: Count | None = None
    steps: Count = 600
    patience: CountOrNone = 12
    learning_rate: Positive = 3e-3
    encoder_rate: Positive = 0.3
    batch_budget: Count = 3000
    speeds: Speeds = (0.9, 1.0, 1.1)
    keep_source: CountOrNone = 100
    seed: Seed = 0
    device: str = "auto"

    def configured(self, way: Mode, units: Units, known: bool, precision: Precision) -> LanguageConfig:
        """Return the settings of one way.

        Args:
            way: its name.
            units: kind of text that a token of the head is.
            known: whether the model has a head of the language, which grows.
            precision: number format of the training.
        """
        trainer = TrainerConfig(
            steps=self.steps,
            learning_rate=self.learning_rate,
            batch_budget=self.batch_budget,
            validate_every=max(1, min(100, self.steps // 4)),
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
            speeds=self.speeds,
            encoder_rate=self.encoder_rate if moves else 1.0,
            keep_head=known,
            monitor="cer" if units in ("characters", "subwords") else "wer",
            pieces=self.pieces,
        )
