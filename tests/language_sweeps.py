"""Tiny experiments over languages of tones: settings, manifests, and a run that may be killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from asr_transfer.config import FeatureConfig, ModelConfig, SourceConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.manifest import write_manifest
from asr_transfer.experiments.languages.curve import run_curve
from asr_transfer.experiments.languages.points import Corpora
from asr_transfer.experiments.languages.systems import CurveConfig
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.models.contract import Block, SpeechModel
from tests.small import kill_self
from tests.tones import make_speaker

SHIFTS = {"en": 1.0, "nl": 2.3, "fr": 1.5}
NETWORK = ModelConfig("tdnn", layers=1, dim=12, channels=12, features=FeatureConfig(mels=16))


def trainer(steps: int = 2, **changes: Any) -> TrainerConfig:
    """Return a training of a few steps."""
    usual: dict[str, Any] = {"steps": steps, "batch_budget": 600, "validate_every": 0, "learning_rate": 0.01}
    return TrainerConfig(**{**usual, "device": "cpu", "precision": "fp32", **changes})


def source_config(steps: int = 2) -> SourceConfig:
    """Return settings of a tiny source model."""
    return SourceConfig(NETWORK, trainer(steps), SpecAugmentConfig(1, 4, 1, 4), (1.0,))


def learning(**changes: Any) -> LanguageConfig:
    """Return settings of learning a language in a few steps."""
    return LanguageConfig(trainer=trainer(), augment=None, speeds=(1.0,), **changes)


def curve_config(**changes: Any) -> CurveConfig:
    """Return an experiment of two amounts, a few seconds each."""
    usual: dict[str, Any] = {"amounts": (0.05, 0.1), "systems": ("scratch", "transfer"), "seeds": (0,), "one": "en"}
    return CurveConfig(**{**usual, "source": source_config(), "learn": learning(), **changes})


def make_folders(folder: Path) -> dict[str, Path]:
    """Write `train`, `dev` and `test` manifests of each language, and return the folders by language."""
    made = {}
    for seed, (language, shift) in enumerate(SHIFTS.items()):
        spoken = make_speaker(folder / "wav", language, shift, 18, 40 + seed)
        parts = {"train": spoken[:12], "dev": spoken[12:14], "test": spoken[14:]}
        for split, part in parts.items():
            write_manifest(folder / language / f"{split}.jsonl", [replace(u, language=language) for u in part])
        made[language] = folder / language
    return made


def corpora_of(folders: dict[str, Path]) -> Corpora:
    """Return English and Dutch as sources of French."""
    return Corpora.from_folders({name: folders[name] for name in ("en", "nl")}, {"fr": folders["fr"]})


def moved_in(one: SpeechModel, other: SpeechModel, blocks: list[Block]) -> bool:
    """Return whether two models differ in some of their blocks."""
    weights = [[w for b in blocks for w in model.get_submodule(b.path).parameters()] for model in (one, other)]
    return any(not torch.equal(*pair) for pair in zip(*weights, strict=True))


def run_until(
    line: str, config: CurveConfig, corpora: Corpora, folder: Path, kill: Callable[[], None] = kill_self
) -> None:
    """Run a curve in this process, and end it as a power cut would once a line that begins so is said."""

    def say(said: str) -> None:
        if said.startswith(line):
            kill()

    run_curve(config, corpora, folder, 1, say)
