"""How experiments on speakers begin: their corpus, and noise on the recordings of those who are adapted to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.data.manifest import read_audio, read_manifest
from asr_transfer.errors import ConfigError
from asr_transfer.experiments.speakers.options import SpeakerRun
from asr_transfer.ranges import Ranged


@dataclass(frozen=True, kw_only=True)
class Experiment(SpeakerRun, Ranged):
    """An experiment of options alone."""


@pytest.fixture
def corpus(tone_corpus: dict[str, Path]) -> Path:
    """Return the folder of the toy corpus's manifests."""
    return tone_corpus["test"].parent


def test_noise_is_on_the_test_recordings_alone(corpus: Path, tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    _, manifests, utterances = Experiment(corpus=str(corpus), out=tmp_path / "out", noise=0.02).begin()
    assert manifests["train"] == tone_corpus["train"] and manifests["test"] != tone_corpus["test"]
    for clean in read_manifest(tone_corpus["test"])[:3]:
        loud = utterances[clean.id]
        noise = read_audio(loud) - read_audio(clean)
        assert loud.text == clean.text and noise.std() == pytest.approx(0.02, rel=0.1)
    first = read_manifest(tone_corpus["train"])[0]
    assert np.array_equal(read_audio(utterances[first.id]), read_audio(first))


def test_without_noise_recordings_are_those_of_the_corpus(
    corpus: Path, tone_corpus: dict[str, Path], tmp_path: Path
) -> None:
    _, manifests, _ = Experiment(corpus=str(corpus), out=tmp_path / "out").begin()
    assert manifests["test"] == tone_corpus["test"] and not (tmp_path / "out" / "noisy").exists()


def test_noise_needs_a_test_split_and_must_be_below_full_scale(tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "all.jsonl").write_bytes(tone_corpus["test"].read_bytes())
    with pytest.raises(ConfigError, match="`noise` is added to a test split, which the corpus has not"):
        Experiment(corpus=str(alone), out=tmp_path / "out", noise=0.1).begin()
    with pytest.raises(ConfigError, match="`noise`"):
        Experiment(corpus=str(alone), out=tmp_path / "out", noise=1.0)
