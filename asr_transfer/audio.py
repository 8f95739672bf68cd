"""Reads audio: whatever soundfile or PyAV decodes, any rate and channel count, as mono float32 at one rate."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from asr_transfer.errors import DataError
from asr_transfer.mixing import loudest_of_cancelling, resampled
from asr_transfer.recording_file import AudioInfo, Opened, cut_off, describe, existing, open_recording
from asr_transfer.remarks import remark

SAMPLE_RATE = 16_000
"""The rate, in Hz, at which every model of this toolkit listens."""

MIN_SAMPLES = 400
"""One analysis window (25 ms at 16 kHz): shorter audio has no feature frame at all."""

BLOCK = 60.0
"""Seconds of a recording that are in memory at once when it is read in blocks; shorter ones are read whole."""

TOLERANCE = 0.05
"""Seconds by which a manifest may point beyond the end of a file: encoders pad and trim by a frame or two."""


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header, and remark on it where it leaves out a part of what is there.

    Raises:
        DataError: the file is missing, is no audio, is empty, is cut off, or has a rate below `MIN_SAMPLE_RATE`.
    """
    file, status = existing(path)
    identity = _identity(file, status)
    if (info := _headers.get(identity)) is None:
        with open_recording(file) as opened:
            info = _described(file, opened, identity)
    if info.oddity:
        remark(info.oddity, str(file))
    return info


_SETTLED = 2.0
"""Seconds since a file's last change, beyond which another change cannot have the same time on any file system."""

_MOST = 2**17
"""Headers that are remembered, some tens of megabytes: preparing a corpus asks several times for each file's."""

_Identity = tuple[str, int, int, int, int] | None
"""A file's path, device, number, size and last change; None of a file that may change again within these."""

_headers: OrderedDict[_Identity, AudioInfo] = OrderedDict()
_one_at_a_time = threading.Lock()


def _identity(file: Path, status: os.stat_result) -> _Identity:
    if time.time() - status.st_ctime < _SETTLED:
        return None
    return str(file), status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def _described(file: Path, opened: Opened, identity: _Identity) -> AudioInfo:
    """Describe an open file, and remember that under the identity that it had before it was opened."""
    info = describe(file, opened)
    if identity is not None:
        with _one_at_a_time:
            if len(_headers) >= _MOST:
                _headers.popitem(last=False)
            _headers[identity] = info
    return info


def read(path: str | Path, start: float | None = None, duration: float | None = None) -> np.ndarray:
    """Read `duration` seconds from `start` as mono float32 at `SAMPLE_RATE`, shape (samples,).

    Channels are averaged, or where they cancel each other the loudest is taken, which is remarked; and the rate is
    converted once, with soxr's high quality.

    Args:
        path: an audio file.
        start: begin in seconds; None for the beginning of the file.
        duration: length in seconds; None reads to the end. Without `start`, one that is the file's but for `TOLERANCE`
            does too.

    Raises:
        DataError: as `probe`, or the file ends more than `TOLERANCE` before the part that is asked for, or the
            samples are damaged, non-finite or shorter than one analysis window.
    """
    file, status = existing(path)
    identity = _identity(file, status)
    with open_recording(file) as opened:
        return _whole(file, opened.sound, _span(file, opened, identity, start, duration))


def _whole(file: Path, sound: soundfile.SoundFile, span: _Span) -> np.ndarray:
    """Read a part of an open file at once."""
    samples = _decode(file, sound, span.count)
    _require_held(file, len(samples), span)
    mono = _mono(samples, _loudest(file, [samples]))
    if span.oddity:
        remark(span.oddity, str(file))
    (mono,) = resampled([mono], span.rate, SAMPLE_RATE)
    if len(mono) < MIN_SAMPLES:
        raise DataError(f"{file}: {below_window(len(mono))}; leave it out.")
    return np.ascontiguousarray(mono, dtype=np.float32)


def below_window(samples: float) -> str:
    """Say that so many samples at `SAMPLE_RATE`, fewer than `MIN_SAMPLES`, are too few; rounded down, as 24.9 ms."""
    ms = math.floor(10_000 * samples / SAMPLE_RATE) / 10
    held = f"{ms:g} ms" if ms else "less than 0.1 ms"
    return f"{held} of audio is shorter than one analysis window ({1000 * MIN_SAMPLES // SAMPLE_RATE} ms)"


def blocks(path: str | Path, start: float | None = None, duration: float | None = None) -> Iterator[np.ndarray]:
    """Yield what `read` returns, same bits, in pieces of about `BLOCK` seconds; at most that much is one piece.

    Args:
        path, start, duration: arguments of `read`.

    Raises:
        DataError: as `read`, of damage only where it is reached.
    """
    file, status = existing(path)
    identity = _identity(file, status)
    with open_recording(file) as opened:
        span = _span(file, opened, identity, start, duration)
        if span.count > BLOCK * span.rate:
            yield from _streamed(file, opened.sound, span)
            return
        whole = _whole(file, opened.sound, span)
    yield whole


class Recording:
    """A recording, or a part of one, that is read in `blocks` as often as it is iterated over; one block is kept.

    Args:
        path, start, duration: arguments of `read`.
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
    """What is read of a file: first sample, how many, their rate, seconds they should last, what is odd about it."""

    first: int
    count: int
    rate: int
    promised: float
    oddity: str


def _span(file: Path, opened: Opened, identity: _Identity, start: float | None, duration: float | None) -> _Span:
    """Find the part that is asked for in an open file, and go to its beginning."""
    info, sound = _described(file, opened, identity), opened.sound
    begin = start or 0.0
    if start is None and duration is not None and abs(duration - info.duration) <= TOLERANCE:
        duration = None
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
    _seek(file, sound, first)
    return _Span(first, count, rate, end - begin, info.oddity)


def _seek(file: Path, sound: soundfile.SoundFile, first: int) -> None:
    if first or sound.seekable():
        try:
            sound.seek(first)
        except (soundfile.LibsndfileError, RuntimeError):
            raise DataError(_damaged(file)) from None


def _decode(file: Path, sound: soundfile.SoundFile, count: int) -> np.ndarray:
    """Return the next `count` samples or as many as there are, shape (samples, channels)."""
    try:
        samples = np.asarray(sound.read(count, dtype="float32", always_2d=True))
    except (soundfile.LibsndfileError, RuntimeError):
        raise DataError(_damaged(file)) from None
    except (MemoryError, ValueError):
        raise DataError(
            f"{file}: its header promises {count / sound.samplerate:.0f} s, more than fits into memory; copy it again, "
            "or cut it into pieces."
        ) from None
    if not np.isfinite(samples).all():
        raise DataError(f"{file}: holds samples that are not finite numbers; export it again.")
    return samples


def _mono(samples: np.ndarray, loudest: int | None) -> np.ndarray:
    """Return the mean of (samples, channels), or only the `loudest` where they cancel each other."""
    if samples.shape[1] == 1 or loudest is not None:
        return np.ascontiguousarray(samples[:, loudest or 0])
    return np.asarray(samples.mean(axis=1))


def _loudest(file: Path, pieces: Iterable[np.ndarray]) -> int | None:
    """Return which channel to take where all of them cancel each other, which is remarked."""
    if (loudest := loudest_of_cancelling(pieces)) is not None:
        remark("the channels cancel each other, one of them is inverted; the louder one was taken", str(file))
    return loudest


def _require_held(file: Path, samples: int, span: _Span) -> None:
    if samples / span.rate < 0.9 * span.promised:
        raise DataError(cut_off(file, samples / span.rate, span.promised))


def _streamed(file: Path, sound: soundfile.SoundFile, span: _Span) -> Iterator[np.ndarray]:
    """Yield a part of an open file, a block at a time; several channels are listened to twice."""
    loudest = _loudest(file, _raw_blocks(file, sound, span)) if sound.channels > 1 else None
    if span.oddity:
        remark(span.oddity, str(file))
    mono = (_mono(samples, loudest) for samples in _raw_blocks(file, sound, span))
    yield from resampled(mono, span.rate, SAMPLE_RATE)


def _raw_blocks(file: Path, sound: soundfile.SoundFile, span: _Span) -> Iterator[np.ndarray]:
    _seek(file, sound, span.first)
    held = 0
    while held < span.count:
        samples = _decode(file, sound, min(span.count - held, round(BLOCK * span.rate)))
        if not len(samples):
            break
        held += len(samples)
        yield samples
    _require_held(file, held, span)


def change_speed(pieces: Iterable[np.ndarray], factor: float) -> Iterable[np.ndarray]:
    """Play a recording `factor` times as fast, pitch and formants included (Ko et al. 2015, speed perturbation).

    Args:
        pieces: consecutive samples of the recording.
        factor: factor on the speed; 1.0 leaves the samples as they are.

    Returns:
        As many pieces, each (samples,) float32; how the recording is cut changes no bit of it.
    """
    return pieces if factor == 1.0 else resampled(pieces, SAMPLE_RATE * factor, SAMPLE_RATE)


def _damaged(file: Path) -> str:
    return f"{file}: its header is sound but its samples are damaged or cut off; copy it again."
