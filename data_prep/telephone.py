"""Copies a manifest's recordings as a telephone line carries them, to see what a model or a method does there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asr_transfer import audio
from data_prep.changed import copy_changed

NAME = "telephone"
"""Name of the split that is written."""

RATE = 8_000
BAND = (300.0, 3_400.0)
"""Hertz that a line lets through (ITU-T G.712)."""
LEVELS = 255
"""Levels of µ-law, which are 8 bits (ITU-T G.711)."""


def prepare(manifest: Path, out: Path) -> None:
    """Write `telephone.jsonl` and, beside it, the recordings of a manifest as by telephone.

    Args:
        manifest: manifest of the recordings.
        out: folder for the manifest and the audio.

    Raises:
        DataError: a recording cannot be read, or `out` cannot be written.
    """
    copy_changed(manifest, out, NAME, lambda samples, number: by_telephone(samples), "telephoning")


def by_telephone(samples: np.ndarray) -> np.ndarray:
    """Return (samples,) between 300 and 3,400 Hz, at 8 kHz in µ-law of 8 bits, and back at the rate that came in."""
    from scipy import signal  # late: the command line reads this module to list what it can prepare

    step = audio.SAMPLE_RATE // RATE
    band = signal.butter(6, BAND, "bandpass", fs=RATE, output="sos")
    narrow = signal.sosfilt(band, signal.resample_poly(samples, 1, step))
    narrow = np.clip(narrow, -1, 1)
    pressed = np.sign(narrow) * np.log1p(LEVELS * np.abs(narrow)) / np.log1p(LEVELS)
    coded = np.round((pressed + 1) / 2 * LEVELS) / LEVELS * 2 - 1
    heard = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(LEVELS)) / LEVELS
    return np.asarray(signal.resample_poly(heard, step, 1)[: len(samples)])
