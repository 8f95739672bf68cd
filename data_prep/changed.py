"""Copies a manifest's recordings, each changed by a function: what `noisy` and `telephone` have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from asr_transfer import audio
from asr_transfer.data.manifest import read_audio, read_manifest
from asr_transfer.errors import DataError
from asr_transfer.progress import tracked
from data_prep.common import write_splits


def copy_changed(
    manifest: Path, out: Path, name: str, change: Callable[[np.ndarray, int], np.ndarray], label: str
) -> None:
    """Write `NAME.jsonl` and, beside it, the changed recordings of a manifest.

    Args:
        manifest: manifest of the recordings.
        out: folder for the manifest and the audio.
        name: name of the split that is written.
        change: function of a recording's (samples,) and of its number in the manifest.
        label: words for the change, in the progress that is shown.

    Raises:
        DataError: a recording cannot be read, or `out` cannot be written.
    """
    changed = []
    read = read_manifest(manifest)
    for number, utterance in enumerate(tracked(read, label, len(read), "utterance")):
        samples = read_audio(utterance)
        target = out / "audio" / f"{number:06d}.flac"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, np.clip(change(samples, number), -1, 1), audio.SAMPLE_RATE)
        except OSError as error:
            raise DataError(f"{target}: cannot be written ({error.strerror}); choose another folder.") from None
        duration = len(samples) / audio.SAMPLE_RATE
        changed.append(replace(utterance, audio=str(target), start=None, duration=duration))
    write_splits({name: changed}, out)
