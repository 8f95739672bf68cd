"""Copies a manifest's recordings with white noise, to see what a model or a method does where it is loud."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asr_transfer.errors import DataError
from asr_transfer.ranges import Seed
from data_prep.changed import copy_changed

NAME = "noisy"
"""Name of the split that is written."""


def prepare(manifest: Path, out: Path, amplitude: float = 0.01, seed: Seed = 0) -> None:
    """Write `noisy.jsonl` and, beside it, the recordings of a manifest with white Gaussian noise.

    Args:
        manifest: manifest of the clean recordings.
        out: folder for the manifest and the audio.
        amplitude: standard deviation of the noise, in units of full scale.
        seed: random seed of the noise; each recording has its own.

    Raises:
        DataError: the amplitude is impossible, a recording cannot be read, or `out` cannot be written.
    """
    if not 0 < amplitude < 1:
        raise DataError(f"`amplitude` must be between 0 and 1, got {amplitude}.")

    def with_noise(samples: np.ndarray, number: int) -> np.ndarray:
        noise = np.random.default_rng((seed, number)).standard_normal(len(samples))
        return np.asarray(samples + amplitude * noise)

    copy_changed(manifest, out, NAME, with_noise, "mixing")
