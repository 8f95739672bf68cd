"""Prepares what the benchmark of adaptation adapts: a model, recordings and settings, on disk for any process."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from asr_transfer.adaptation.settings import AdaptConfig
from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.commands.adapt import take
from asr_transfer.config import ModelConfig, Units
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.acoustic import AcousticModel
from benchmarks.training_corpus import LENGTHS, LETTERS_PER_SECOND, QUANTILES
from data_prep import fsdd

HEAD = "en"


@dataclass(frozen=True)
class Place:
    """Where a measured process finds what it adapts, and how.

    Attributes:
        model: model folder.
        own, source: manifests of the new speaker's utterances and of the source domain's; the latter may be empty.
        cache: folder of the features.
        config: settings of one adaptation.
    """

    model: Path
    own: Path
    source: Path
    cache: Path
    config: AdaptConfig

    def load(self) -> tuple[Recogniser, list[Utterance], list[Utterance]]:
        """Return the model, the speaker's utterances and those of the source domain."""
        more = read_manifest(self.source) if self.source.stat().st_size else []
        return Recogniser.load(self.model), read_manifest(self.own), more

    def features(self, utterances: Sequence[Utterance], recogniser: Recogniser, cache: Path) -> FeatureStore:
        """Compute features into `cache`, or find them there."""
        return build_store(utterances, recogniser.model.inputs, self.config.speeds, cache)


def _generated(work: Path, own: int, source: int, seconds: float | None) -> list[Utterance]:
    """Write noise by a speaker and by another one: each so long, or with AN4's spread of lengths."""
    generator = np.random.default_rng(0)
    made = []
    for speaker, number, count in [("a", n, own) for n in range(own)] + [("b", n, source) for n in range(source)]:
        length = seconds or float(np.interp((number + 0.5) / count, QUANTILES, LENGTHS))
        file = work / f"{speaker}-{number}.flac"
        soundfile.write(file, 0.01 * generator.standard_normal(int(SAMPLE_RATE * length)), SAMPLE_RATE)
        letters = "".join(generator.choice(list("abcdefghij "), max(2, int(LETTERS_PER_SECOND * length))))
        made.append(Utterance(file.stem, str(file), length, " ".join(letters.split()) or "a", speaker, "en"))
    return made


def _untrained(texts: Sequence[str], units: Units) -> Recogniser:
    tokens = Tokens.from_texts(texts, units)
    torch.manual_seed(0)
    model = AcousticModel(ModelConfig(units=units), {HEAD: len(tokens)})
    with torch.no_grad():
        # Not the blank everywhere: the model must hear something for `pseudo-label` to learn.
        model.get_parameter(f"heads.{HEAD}.bias")[0] = -5.0
    return Recogniser(model, tokens, HEAD, {})


def prepare(
    root: Path | None,
    model: Path | None,
    data: Path | None,
    count: int,
    others: int,
    config: AdaptConfig,
    work: Path,
    seconds: float | None = None,
) -> tuple[Place, str]:
    """Write model and manifests; return them with a sentence on what they are.

    Args:
        root: the Free Spoken Digit Dataset.
        model: model folder; None for random weights.
        data: manifest; None, without `root`, for generated noise.
        count: utterances of the speaker who comes first by name.
        others: utterances of the other speakers.
        config: settings of one adaptation.
        work: folder for all that is written.
        seconds: length of each generated recording; None for AN4's spread.
    """
    if count < 2 or others < 0:
        raise SystemExit("--utterances must be at least 2, --source_utterances at least 0.")
    if root is not None and data is not None:
        raise SystemExit("--root and --data both name recordings; give one.")
    if model is not None and root is None and data is None:
        raise SystemExit("--model needs recordings whose transcripts it can spell; give --data (or --root) too.")
    if root is not None:
        fsdd.prepare(root, work / "fsdd")
        data = work / "fsdd" / "all.jsonl"
    found = read_manifest(data) if data is not None else _generated(work, count, others, seconds)
    units: Units = "words" if root is not None else "characters"  # FSDD's clips are too short to spell
    recogniser = Recogniser.load(model) if model else _untrained([u.text for u in found], units)
    speaker = min(u.speaker for u in found)
    parts = [take(found, speaker, count, config.seed), [u for u in found if u.speaker != speaker]]
    parts[1] = random.Random(config.seed).sample(parts[1], min(others, len(parts[1])))
    store = build_store([*parts[0], *parts[1]], recogniser.model.inputs, config.speeds, work / "features")
    spelled = [Spoken(part, store, recogniser.tokens, config.speeds) for part in parts]
    kept = [part.feasible(recogniser.model.frames)[0].utterances for part in spelled]
    if len(kept[0]) < 2:
        raise SystemExit("fewer than two utterances are long enough for CTC; give more with --utterances.")
    place = Place(work / "model", work / "own.jsonl", work / "source.jsonl", work / "features", config)
    recogniser.save(place.model, "", {})
    write_manifest(place.own, kept[0])
    write_manifest(place.source, kept[1])
    size = sum(parameter.numel() for parameter in recogniser.model.parameters()) / 1e6
    return place, (
        f"{model or 'an untrained model of the default size'} ({recogniser.model.config.encoder}, {size:.2f} M "
        f"parameters); {root or data or 'generated noise'}: {len(kept[0])} utterances of one speaker, "
        f"{sum(u.duration for u in kept[0]):.1f} s, {len(kept[1])} of the source domain; {config.steps} steps"
    )
