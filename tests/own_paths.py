"""A tiny path over languages of tones: two to learn from, one to learn, and a speaker of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.config import SpecAugmentConfig
from asr_transfer.data.manifest import write_manifest
from asr_transfer.experiments.own_language.config import Language, OwnLanguageConfig
from asr_transfer.experiments.own_language.corpora import Speech, Target
from tests.language_sweeps import NETWORK, trainer
from tests.tones import make_speaker

VOICES = {"en": 1.0, "nl": 1.5, "fr": 1.2}
LANGUAGE = Language("fr", ("fr/train",), ("fr/dev",), ("fr/test",), ("fr/new",), amounts=(0.2,))


def path_config(**changes: Any) -> OwnLanguageConfig:
    """Return settings of a path that takes seconds."""
    usual = OwnLanguageConfig(languages=(LANGUAGE,), seeds=(0,), sentences=4, lexicon=12, keep_source=20, keep_judged=5)
    source = replace(
        usual.source,
        model=NETWORK,
        trainer=trainer(80, batch_budget=1000),
        augment=SpecAugmentConfig(1, 4, 1, 4),
        speeds=(1.0,),
    )
    learn = replace(usual.learn, steps=40, patience=0, batch_budget=1000, speeds=(1.0,), learning_rate=0.01)
    learn = replace(learn, device="cpu", keep_source=20)
    adapt = AdaptConfig(steps=20, precision="fp32", device="cpu")
    choice = ChoiceConfig(folds=2, with_source=("full+replay",), without_source=("full",), strengths=(1.0,))
    return replace(usual, **{"source": source, "learn": learn, "adapt": adapt, "choice": choice, **changes})


def make_speech(folder: Path, sentences: int = 4) -> Speech:
    """Write the manifests of all languages and return them."""
    paths = {}
    for seed, (language, shift) in enumerate(VOICES.items()):
        spoken = make_speaker(folder / "wav", language, shift, 70, 60 + seed)
        new = make_speaker(folder / "wav", f"{language}-new", 1.1 * shift, 30, 80 + seed)
        parts = {"train": spoken[:50], "dev": spoken[50:60], "test": spoken[60:], "new": new}
        for split, part in parts.items():
            paths[f"{language}/{split}"] = str(folder / language / f"{split}.jsonl")
            write_manifest(folder / language / f"{split}.jsonl", [replace(u, language=language) for u in part])

    def own(split: str) -> dict[str, str]:
        return {f"fr/{split}": paths[f"fr/{split}"]}

    target = Target(LANGUAGE, own("train"), own("dev"), own("test"), own("new"), sentences, 20)
    return Speech({name: paths[name] for name in ("en/train", "nl/train")}, [target])
