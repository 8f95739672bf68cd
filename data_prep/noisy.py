"""Copies a manifest's recordings with white noise, to see what a model or a method does where it is loud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from asr_transfer import audio
from asr_transfer.data.manifest import read_audio, read_manifest
from asr_transfer.errors import DataError
from asr_transfer.progress import tracked
from data_prep.common import write_splits

NAME = "noisy"
"""Name of the split that is written."""


def prepare(manifest: Path, out: Path, amplitude: float = 0.01, seed: int = 0) -> None:
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
    noisy = []
    read = read_manifest(manifest)
    for number, utterance in enumerate(tracked(read, "mixing", len(read), "utterance")):
        samples = read_audio(utterance)
        noise = amplitude * np.random.default_rng((seed, number)).standard_normal(len(samples))
        target = out / "audio" / f"{number:06d}.flac"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, np.clip(samples + noise, -1, 1), audio.SAMPLE_RATE)
        except OSError as error:
            raise DataError(f"{target}: cannot be written ({error.strerror}); choose another folder.") from None
        duration = len(samples) / audio.SAMPLE_RATE
        noisy.append(replace(utterance, audio=str(target), start=None, duration=duration))
    write_splits({NAME: noisy}, out)
