"""Gives benchmarks of training tiny models and a little noise."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.config import ModelConfig
from benchmarks import step_profile, training_corpus
from benchmarks.training_corpus import Corpus, make_corpus

TINY = {
    "bilstm": ModelConfig("bilstm", 1, dim=8, channels=8),
    "tdnn": ModelConfig("tdnn", 2, dim=8, channels=8),
    "conformer": ModelConfig("conformer", 1, dim=8, channels=12),
}


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Return a little generated noise; the benchmark has tiny models, and no other corpus."""
    monkeypatch.setenv("ASR_TRANSFER_SPEECH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(training_corpus, "NOISE_UTTERANCES", 24)
    monkeypatch.setattr(training_corpus, "QUANTILES", (*[number / 12 for number in range(12)], 4.0))  # short ones
    monkeypatch.setattr(step_profile, "MODELS", TINY)
    monkeypatch.setattr("benchmarks.training.MODELS", TINY)
    work = tmp_path / "noise"
    work.mkdir()
    return make_corpus(None, work, (2, 2), (1.0,))
