"""A toy corpus that a tiny model learns in seconds: letters are tones, speakers shift them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance, write_manifest

WORDS = ("abba", "cab", "deed", "face", "bead", "fad", "ace", "dab")
TONES = {letter: 400.0 * 1.3**index for index, letter in enumerate("abcdef ")}
CHORD = 2.6
"""The second tone of a letter in another language than English, relative to the first."""
OTHER_LETTERS = str.maketrans("abcdef", "uvwxyz")
"""What another language than English writes."""
LETTER = 0.08
"""Seconds per letter: eight frames, two after subsampling by four."""


@dataclass(frozen=True)
class Speech:
    """A new speaker's utterances, some of the source domain, and the inputs of both."""

    own: list[Utterance]
    more: list[Utterance]
    store: FeatureStore


def speak(text: str, shift: float, seed: int, language: str = "en") -> np.ndarray:
    """Return `text` as tones shifted by `shift`, with a little noise; in another language than English as chords."""
    random = np.random.default_rng(seed)
    time = np.arange(int(LETTER * SAMPLE_RATE)) / SAMPLE_RATE
    partials = [1.0] if language == "en" else [1.0, CHORD]
    pieces = [
        0.3 * sum(np.sin(2 * np.pi * TONES[letter] * shift * part * time) for part in partials) * np.hanning(len(time))
        for letter in text
    ]
    quiet = np.zeros(int(0.05 * SAMPLE_RATE))
    samples = np.concatenate([quiet, *pieces, quiet])
    return (samples + 0.003 * random.standard_normal(len(samples))).astype(np.float32)


def make_speaker(
    folder: Path, name: str, shift: float, utterances: int, seed: int, language: str = "en"
) -> list[Utterance]:
    """Write recordings of a speaker below `folder` and return them as utterances."""
    random = np.random.default_rng(seed)
    made = []
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(utterances):
        text = " ".join(random.choice(WORDS, size=random.integers(1, 4)))
        samples = speak(text, shift, seed * 1000 + number, language)
        path = folder / name / f"{name}-{number}.wav"
        soundfile.write(path, samples, SAMPLE_RATE)
        text = text if language == "en" else text.translate(OTHER_LETTERS)
        made.append(Utterance(f"{name}-{number}", str(path), len(samples) / SAMPLE_RATE, text, name, language))
    return made


def two_speakers(folder: Path, inputs: FeatureConfig, count: int = 5, speeds: Sequence[float] = (1.0,)) -> Speech:
    """Return so many utterances of a new speaker and four of the source domain, as a model of `inputs` takes them."""
    own, more = make_speaker(folder, "ida", 1.13, count, 1), make_speaker(folder, "anna", 0.96, 4, 2)
    return Speech(own, more, build_store([*own, *more], inputs, speeds, folder / "cache"))


def make_corpus(folder: Path, utterances: int = 24) -> dict[str, Path]:
    """Write train (6 speakers), dev (2) and test (2, farther off) manifests and return them by split."""
    speakers = {
        "train": [("anna", 0.96), ("ben", 0.98), ("carl", 1.0), ("dora", 1.02), ("emil", 1.04), ("fay", 1.0)],
        "dev": [("gus", 1.12), ("hal", 0.89)],
        "test": [("ida", 1.13), ("jon", 0.88)],
    }
    manifests = {}
    for split, members in speakers.items():
        made = [
            utterance
            for number, (name, shift) in enumerate(members)
            for utterance in make_speaker(folder / "wav", name, shift, utterances, 100 * len(split) + number)
        ]
        manifests[split] = folder / f"{split}.jsonl"
        write_manifest(manifests[split], made)
    return manifests


def make_languages(folder: Path, utterances: int = 16) -> dict[str, Path]:
    """Write train (4 speakers of each language) and dev (2 of each) manifests in English and Dutch."""
    speakers = {
        "train": {"anna": 0.96, "ben": 0.98, "carl": 1.0, "dora": 1.02},
        "dev": {"gus": 1.03, "hal": 0.95},
    }
    manifests = {}
    for split, members in speakers.items():
        made = [
            utterance
            for language in ("en", "nl")
            for number, (name, shift) in enumerate(members.items())
            for utterance in make_speaker(
                folder / "wav", f"{language}-{name}", shift, utterances, 100 * len(split) + number, language
            )
        ]
        manifests[split] = folder / f"{split}.jsonl"
        write_manifest(manifests[split], made)
    return manifests


TINY = (
    "--model.encoder", "tdnn", "--model.layers", "2", "--model.dim", "48", "--model.channels", "48",
    "--trainer.steps", "150", "--trainer.validate_every", "50", "--trainer.learning_rate", "0.01",
    "--trainer.device", "cpu", "--augment.frequency_width", "4", "--augment.time_width", "4", "--speeds", "[1.0]",
)  # fmt: skip
"""Options of `asr-transfer train` for a model of the toy corpus."""
