"""Decodes what libsndfile does not know (M4A, WebM, WMA, AMR and their like) with PyAV, where it is installed."""

from __future__ import annotations

import io
import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import soundfile

from asr_transfer.errors import DataError

INSTALL = "pip install asr-transfer[g722]"
"""The command that installs PyAV."""


def available() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


def as_flac(file: Path) -> io.BytesIO:
    """Return the first audio track of a file as FLAC of 16 bits, at its own rate and with its own channels.

    Raises:
        DataError: there is no such track, or it cannot be decoded.
    """
    status = os.stat(file)
    return io.BytesIO(_decoded(file, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=4)  # a recording is asked for its length first and then read, some in pieces
def _decoded(file: Path, *identity: int) -> bytes:
    import av

    out = io.BytesIO()
    sound: soundfile.SoundFile | None = None
    try:
        with av.open(str(file)) as container:
            if not container.streams.audio:
                raise DataError(f"{file}: holds no audio track; leave it out.")
            resampler = av.AudioResampler(format="s16")
            for frame in container.decode(audio=0):
                for block in resampler.resample(frame):
                    if sound is None:
                        channels = block.layout.nb_channels
                        sound = soundfile.SoundFile(out, "w", block.sample_rate, channels, "PCM_16", format="FLAC")
                    sound.write(block.to_ndarray().reshape(-1, sound.channels))
    except (av.FFmpegError, OSError, ValueError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{file}: is not audio that can be decoded ({reason}); convert it to WAV or FLAC, or leave it out."
        ) from None
    finally:
        if sound is not None:
            sound.close()
    if sound is None:
        raise DataError(f"{file}: the audio has zero length; record it again or leave it out.")
    return out.getvalue()
