"""A small model of five languages with every kind of units, four of them learnt one after the other, and its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from asr_transfer.adaptation.profile import save_profile
from asr_transfer.config import SpecAugmentConfig, TrainerConfig, Units
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.transfer import learn_language
from asr_transfer.models.adapters import AdapterSpec, add_adapter

UNITS: Mapping[str, Units] = {"lc": "characters", "lw": "words", "lp": "phones", "ls": "subwords"}
"""Units of each language that is learnt; the model's first language, `en`, has characters."""
STEPS: Mapping[str, int] = {"lc": 60, "lw": 120, "lp": 60, "ls": 150}


def speech_of(language: str, utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return utterances of the toy corpus as speech of another language, whose phones are its letters."""
    return [
        replace(u, language=language, pronunciation=" ".join(u.text.replace(" ", "")) if language == "lp" else None)
        for u in utterances
    ]


def learn_all(source: Recogniser, utterances: Sequence[Utterance]) -> Recogniser:
    """Return the model after each of the languages was learnt from the same recordings, by a head alone."""
    store = build_store(utterances, source.model.inputs)
    for language, units in UNITS.items():
        trainer = TrainerConfig(steps=STEPS[language], learning_rate=0.02, validate_every=0, device="cpu")
        config = LanguageConfig(
            "head", units, trainer, SpecAugmentConfig(0, 0, 0, 0), (1.0,), pieces=8 if units == "subwords" else None
        )
        spoken = Spoken(speech_of(language, utterances), store)
        source = learn_language(source, spoken, Spoken([], store), config).recogniser
    return source


def make_profile(folder: Path, model: Path) -> Path:
    """Write a profile of a speaker who differs a little, and return its folder."""
    base, adapted = (Recogniser.load(model, "en").model for _ in range(2))
    add_adapter(adapted, AdapterSpec("lhuc"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapted.adapters.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return save_profile(folder, base, adapted, {"method": "lhuc", "utterances": 3, "seconds": 4.0})
