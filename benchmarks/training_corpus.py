"""Provides what `benchmarks/training.py` trains on: AN4 where it is at hand, else generated noise of the same
lengths.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.config import FeatureConfig, SpecAugmentConfig, subsampled
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from data_prep import an4

LENGTHS = (0.7, 0.9, 1.1, 1.6, 2.0, 2.3, 2.5, 2.9, 3.2, 3.7, 4.3, 4.8, 6.4)
"""Seconds: AN4's quantiles at `QUANTILES`."""

QUANTILES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)

LETTERS_PER_SECOND = 7.0
"""AN4's, spaces counted."""

NOISE_UTTERANCES = 400

DEV_SPEAKERS = 10
"""Of AN4's 74 training speakers; the rest are trained on. Its test speakers are not touched."""


@dataclass(frozen=True)
class Corpus:
    """Utterances with their features.

    Attributes:
        name: name in the report.
        train, dev: utterances; speakers disjoint.
        store: features of all.
        tokens: of the transcripts.
        feature_seconds: processor seconds that computing the features took, once.
    """

    name: str
    train: list[Utterance]
    dev: list[Utterance]
    store: FeatureStore
    tokens: Tokens
    feature_seconds: float

    def data(self, utterances: Sequence[Utterance], speeds: Sequence[float] = (1.0,)) -> Spoken:
        """Return `utterances` as training data with our default SpecAugment."""
        return Spoken(utterances, self.store, self.tokens, speeds, SpecAugmentConfig())


def make_corpus(folder: Path | None, work: Path, strides: Sequence[int], speeds: Sequence[float]) -> Corpus:
    """Prepare AN4 from `folder`, or generate noise when there is no such folder.

    Args:
        folder: AN4's; None looks where `default_an4` says.
        work: folder where manifests, features and noise are written.
        strides: of the model's front end, for leaving out what CTC could not spell.
        speeds: copies whose features are computed.
    """
    utterances, name = find_utterances(folder, work)
    begin = time.process_time()
    store = build_store(utterances, FeatureConfig(), speeds, work / "features")
    seconds = time.process_time() - begin
    tokens = Tokens.from_texts(utterance.text for utterance in utterances)
    spoken, _ = Spoken(utterances, store, tokens, speeds).feasible(partial(subsampled, strides=strides))
    speakers = sorted({utterance.speaker for utterance in spoken.utterances})
    random.Random(1).shuffle(speakers)
    held_out = set(speakers[:DEV_SPEAKERS])
    train = [utterance for utterance in spoken.utterances if utterance.speaker not in held_out]
    dev = [utterance for utterance in spoken.utterances if utterance.speaker in held_out]
    return Corpus(name, train, dev, store, tokens, seconds)


def find_utterances(folder: Path | None, work: Path) -> tuple[list[Utterance], str]:
    """Return the utterances of AN4's training speakers, or generated noise, and what to call them.

    Args:
        folder: AN4's; None looks where `default_an4` says.
        work: folder where manifests and noise are written.
    """
    root = folder or default_an4()
    if root.is_dir():
        an4.prepare(root, work)
        return read_manifest(work / "train.jsonl"), "AN4, training speakers"
    if folder is not None:
        raise SystemExit(f"{folder}: there is no such folder; give AN4's or leave `--an4` out.")
    return _noise(work), "generated noise with AN4's lengths (AN4 itself was not found)"


def default_an4() -> Path:
    """Return `$ASR_TRANSFER_SPEECH/an4`, else `../shared/speech/an4` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "speech"
    return Path(os.environ.get("ASR_TRANSFER_SPEECH", beside)) / "an4"


def _noise(work: Path) -> list[Utterance]:
    generator = np.random.default_rng(0)
    utterances = []
    for number in range(NOISE_UTTERANCES):
        samples = int(SAMPLE_RATE * np.interp(generator.random(), QUANTILES, LENGTHS))
        # Like AN4's edition that is compared with: FLAC, 16 bit, quiet enough to compress as speech does.
        file = work / f"noise-{number}.flac"
        soundfile.write(file, 0.01 * generator.standard_normal(samples), SAMPLE_RATE)
        duration = samples / SAMPLE_RATE
        letters = generator.choice(list("abcdefghij "), max(2, int(LETTERS_PER_SECOND * duration)))
        text = " ".join("".join(letters).split()) or "a"
        speaker = f"speaker-{number % (4 * DEV_SPEAKERS)}"
        utterances.append(Utterance(file.stem, str(file), duration, text, speaker, "en"))
    return utterances
