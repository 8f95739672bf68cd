"""Reading audio: whatever soundfile decodes, any rate and channel count, as mono float32 at one rate."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asr_transfer.errors import DataError

SAMPLE_RATE = 16_000
"""The rate, in Hz, at which every model of this toolkit listens."""

MIN_SAMPLE_RATE = 8_000
"""Below telephone bandwidth (4 kHz) fricatives are gone; such files are refused instead of quietly recognised badly."""

MIN_SAMPLES = 400
"""One analysis window (25 ms at 16 kHz): shorter audio has no feature frame at all."""

TOLERANCE = 0.05
"""Seconds by which a manifest may point beyond the end of a file: encoders pad and trim by a frame or two."""

BLOCK = 60.0
"""Seconds of a recording that are in memory at once when it is read in blocks; shorter ones are read whole."""

_STREAMED = 2**31 - 2**16
"""From this many bytes on, a WAV header's data size is the placeholder of a program that wrote to a pipe."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: rate in Hz, channel count, duration in seconds."""

    sample_rate: int
    channels: int
    duration: float


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header.

    Raises:
        DataError: the file is missing, is no audio, is empty, is cut off, or has a rate below `MIN_SAMPLE_RATE`.
    """
    file = _existing(path)
    status = file.stat()
    if time.time() - status.st_ctime < _SETTLED:
        return _header(file)
    return _remembered(str(file), status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


_SETTLED = 2.0
"""Seconds since a file's last change, beyond which another change cannot have the same time on any file system."""


@lru_cache(maxsize=2**14)
def _remembered(path: str, *identity: int) -> AudioInfo:
    """Return a header that was read before: preparing a corpus asks several times for each file's."""
    return _header(Path(path))


def _header(file: Path) -> AudioInfo:
    with _open(file) as sound:
        return _describe(file, sound)


def _open(file: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(str(file))
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:  # TypeError: headerless `.raw`
        raise DataError(_unreadable(file, error)) from None


def _describe(file: Path, sound: soundfile.SoundFile) -> AudioInfo:
    """Return what an open file says of itself; refuse it as `probe` does."""
    if sound.samplerate < MIN_SAMPLE_RATE:
        raise DataError(
            f"{file}: sampling rate {sound.samplerate} Hz is too low for speech; "
            f"give a recording of at least {MIN_SAMPLE_RATE} Hz."
        )
    if sound.frames <= 0:
        raise DataError(f"{file}: the audio has zero length; record it again or leave it out.")
    duration = sound.frames / sound.samplerate
    promised = duration * _promise(sound.extra_info)
    if duration < 0.9 * promised:
        raise DataError(_cut_off(file, duration, promised))
    return AudioInfo(sound.samplerate, sound.channels, duration)


def read(path: str | Path, start: float | None = None, duration: float | None = None) -> np.ndarray:
    """Read `duration` seconds from `start` as mono float32 at `SAMPLE_RATE`, shape (samples,).

    Channels are averaged and the rate is converted once, with soxr's high quality.

    Args:
        path: an audio file.
        start: seconds into the file; None is its beginning.
        duration: seconds; None reads to the end.

    Raises:
        DataError: as `probe`, or the file ends more than `TOLERANCE` before the part that is asked for, or the
            samples are damaged, non-finite or shorter than one analysis window.
    """
    file = _existing(path)
    with _open(file) as sound:
        span = _span(file, sound, start, duration)
        samples = _decode(file, sound, span.count)
    _require_held(file, len(samples), span)
    mono = _mono(file, samples)
    if span.rate != SAMPLE_RATE:
        mono = soxr.resample(mono, span.rate, SAMPLE_RATE, quality="HQ")
    if len(mono) < MIN_SAMPLES:
        raise DataError(
            f"{file}: {1000 * len(mono) / SAMPLE_RATE:.0f} ms of audio is shorter than one analysis window "
            f"({1000 * MIN_SAMPLES // SAMPLE_RATE} ms); leave it out."
        )
    return np.ascontiguousarray(mono, dtype=np.float32)


def blocks(path: str | Path, start: float | None = None, duration: float | None = None) -> Iterator[np.ndarray]:
    """Yield what `read` returns, same bits, in pieces of about `BLOCK` seconds; at most that much is one piece.

    Args:
        path, start, duration: as of `read`.

    Raises:
        DataError: as `read`, of damage only where it is reached.
    """
    file = _existing(path)
    with _open(file) as sound:
        span = _span(file, sound, start, duration)
        if span.count > BLOCK * span.rate:
            yield from _streamed(file, sound, span)
            return
    yield read(path, start, duration)


class Recording:
    """A recording, or a part of one, that is read in `blocks` as often as it is iterated over; one block is kept.

    Args:
        path, start, duration: as of `read`.
    """

    def __init__(self, path: str | Path, start: float | None = None, duration: float | None = None) -> None:
        self._asked = (path, start, duration)
        self._whole: list[np.ndarray] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._whole:
            yield from self._whole
            return
        number = 0
        for block in blocks(*self._asked):
            yield block
            number += 1
        if number == 1:
            self._whole = [block]


@dataclass(frozen=True)
class _Span:
    """What is read of a file: the first sample and how many, their rate, and the seconds that they should last."""

    first: int
    count: int
    rate: int
    promised: float


def _span(file: Path, sound: soundfile.SoundFile, start: float | None, duration: float | None) -> _Span:
    """Find the part that is asked for in an open file, and go to its beginning."""
    info = _describe(file, sound)
    begin = start or 0.0
    end = info.duration if duration is None else begin + duration
    if begin < 0 or end < begin or max(begin, end) > info.duration + TOLERANCE:
        raise DataError(
            f"{file}: {begin:.2f} to {end:.2f} s is asked for but the file lasts {info.duration:.2f} s; "
            "correct `offset` and `duration` in the manifest."
        )
    end = min(end, info.duration)
    rate = info.sample_rate
    first = min(round(begin * rate), round(info.duration * rate))
    count = sound.frames - first if duration is None else max(0, round(end * rate) - first)
    if first or sound.seekable():
        try:
            sound.seek(first)
        except (soundfile.LibsndfileError, RuntimeError):
            raise DataError(_damaged(file)) from None
    return _Span(first, count, rate, end - begin)


def _decode(file: Path, sound: soundfile.SoundFile, count: int) -> np.ndarray:
    """Return the next `count` samples or as many as there are, shape (samples, channels)."""
    try:
        return np.asarray(sound.read(count, dtype="float32", always_2d=True))
    except (soundfile.LibsndfileError, RuntimeError):
        raise DataError(_damaged(file)) from None


def _mono(file: Path, samples: np.ndarray) -> np.ndarray:
    """Return the mean of the channels, shape (samples,)."""
    mono: np.ndarray = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if not np.isfinite(mono).all():
        raise DataError(f"{file}: holds samples that are not finite numbers; export it again.")
    return mono


def _require_held(file: Path, samples: int, span: _Span) -> None:
    if samples / span.rate < 0.9 * span.promised:
        raise DataError(_cut_off(file, samples / span.rate, span.promised))


def _streamed(file: Path, sound: soundfile.SoundFile, span: _Span) -> Iterator[np.ndarray]:
    """Yield the part of an open file that begins where it stands, a block at a time."""
    pieces = _mono_blocks(file, sound, span)
    yield from pieces if span.rate == SAMPLE_RATE else _resampled(pieces, span.rate, SAMPLE_RATE)


def _mono_blocks(file: Path, sound: soundfile.SoundFile, span: _Span) -> Iterator[np.ndarray]:
    held = 0
    while held < span.count:
        samples = _decode(file, sound, min(span.count - held, round(BLOCK * span.rate)))
        if not len(samples):
            break
        held += len(samples)
        yield np.ascontiguousarray(_mono(file, samples))
    _require_held(file, held, span)


def _resampled(pieces: Iterable[np.ndarray], rate: float, wanted: float) -> Iterator[np.ndarray]:
    """Yield consecutive pieces at another rate: the bits that converting them as one gives."""
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    held = np.zeros(0, np.float32)  # one behind, since the last piece must be known as such
    for number, piece in enumerate(pieces):
        if number:
            yield stream.resample_chunk(held)
        held = piece
    yield stream.resample_chunk(held, last=True)


def change_speed(pieces: Iterable[np.ndarray], factor: float) -> Iterable[np.ndarray]:
    """Play a recording `factor` times as fast, pitch and formants included (Ko et al. 2015, speed perturbation).

    Args:
        pieces: consecutive samples of the recording.
        factor: 1.0 leaves them as they are.

    Returns:
        As many pieces, each (samples,) float32; how the recording is cut changes no bit of it.
    """
    return pieces if factor == 1.0 else _resampled(pieces, SAMPLE_RATE * factor, SAMPLE_RATE)


def _existing(path: str | Path) -> Path:
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{file}: there is no such audio file; correct the path in the manifest or the command.")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty (0 bytes); record it again or leave it out.")
    return file


def _promise(log: str) -> float:
    """Return how many times longer a WAV header says its data is than what is there (libsndfile silently shortens)."""
    match = re.search(r"^data : (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if match is None or int(match[1]) >= _STREAMED or int(match[2]) == 0:
        return 1.0
    return int(match[1]) / int(match[2])


def _cut_off(file: Path, held: float, promised: float) -> str:
    return (
        f"{file}: holds {held:.2f} s of audio where its header promises {promised:.2f} s; "
        "the file is cut off, copy it again."
    )


def _damaged(file: Path) -> str:
    return f"{file}: its header is sound but its samples are damaged or cut off; copy it again."


def _unreadable(file: Path, error: Exception) -> str:
    reason = str(getattr(error, "error_string", "")).strip().rstrip(".") or "unknown or damaged format"
    return f"{file}: is not audio that can be decoded ({reason}); convert it to WAV or FLAC, or leave it out."
