"""Reading audio: whatever soundfile or PyAV decodes, any rate and channel count, as mono float32 at one rate."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from asr_transfer import decoder, wav_sizes
from asr_transfer.errors import DataError
from asr_transfer.headers import is_endless_flac, require_no_text, sphere_samples
from asr_transfer.mixing import loudest_of_cancelling, resampled
from asr_transfer.remarks import remark
from asr_transfer.textfiles import spelled
from asr_transfer.textfiles import unreadable as unreadable_file

SAMPLE_RATE = 16_000
"""The rate, in Hz, at which every model of this toolkit listens."""

MIN_SAMPLE_RATE = 8_000
"""Below telephone bandwidth (4 kHz) fricatives are gone; such files are refused instead of quietly recognised badly."""

MIN_SAMPLES = 400
"""One analysis window (25 ms at 16 kHz): shorter audio has no feature frame at all."""

BLOCK = 60.0
"""Seconds of a recording that are in memory at once when it is read in blocks; shorter ones are read whole."""

TOLERANCE = 0.05
"""Seconds by which a manifest may point beyond the end of a file: encoders pad and trim by a frame or two."""

SUFFIXES = (
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".nist", ".aiff", ".aif", ".aifc", ".au", ".snd",
    ".caf", ".w64", ".rf64", ".bwf",
)  # fmt: skip
"""Endings, in lower case, of what is read without more; where a name is looked up, earlier ones go first."""

DECODER_SUFFIXES = (
    ".m4a", ".m4b", ".mp4", ".mov", ".aac", ".wma", ".asf", ".amr", ".awb", ".3gp", ".3g2", ".webm", ".mka", ".mkv",
)  # fmt: skip
"""Endings of what is read where PyAV is installed."""

_OTHER_MEDIA = (b"\x1aE\xdf\xa3", b"0&\xb2u\x8ef\xcf\x11", b"#!AMR")
"""How files begin that only PyAV reads: Matroska and WebM, WMA, AMR; MPEG-4 has `ftyp` at its fifth byte."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: rate in Hz, channel count, duration in seconds, and what is odd about it, if any."""

    sample_rate: int
    channels: int
    duration: float
    oddity: str = ""


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header, and remark on it where it leaves out a part of what is there.

    Raises:
        DataError: the file is missing, is no audio, is empty, is cut off, or has a rate below `MIN_SAMPLE_RATE`.
    """
    file = _existing(path)
    status = file.stat()
    if time.time() - status.st_ctime < _SETTLED:
        info = _header(file)
    else:
        info = _remembered(str(file), status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)
    if info.oddity:
        remark(info.oddity, str(file))
    return info


def readable(suffix: str) -> bool:
    """Whether files with this ending, in any case, are recordings that can be read here."""
    return suffix.lower() in SUFFIXES or (suffix.lower() in DECODER_SUFFIXES and decoder.available())


def unreadable(suffix: str) -> str:
    """Return why recordings with an ending of `DECODER_SUFFIXES` cannot be read where PyAV is missing."""
    return f"{suffix} needs a decoder; install it with `{decoder.INSTALL}`, or convert to WAV or FLAC"


_SETTLED = 2.0
"""Seconds since a file's last change, beyond which another change cannot have the same time on any file system."""


@lru_cache(maxsize=2**14)
def _remembered(path: str, *identity: int) -> AudioInfo:
    """Return a header that was read before: preparing a corpus asks several times for each file's."""
    return _header(Path(path))


def _header(file: Path) -> AudioInfo:
    with _open(file) as opened:
        return _describe(file, opened)


@dataclass(frozen=True)
class _Opened:
    """An open recording, and what its header says of its size where it is a WAV file; `mended` where that was wrong.

    Attributes:
        endless: the header leaves open how long the recording is.
    """

    sound: soundfile.SoundFile
    wav: wav_sizes.DataSize | None
    mended: bool
    endless: bool


@contextlib.contextmanager
def _open(file: Path) -> Iterator[_Opened]:
    """Open a recording; that whose header declares too little as if it declared all."""
    try:
        with file.open("rb") as stream:
            head = stream.read(1024)
        wav = wav_sizes.data_size(file) if head[8:12] == b"WAVE" else None
        mend = wav is not None and (wav_sizes.continues(file, wav) or (wav.wide and wav.is_placeholder))
    except OSError as error:
        raise DataError(unreadable_file(file, error, "give an audio file")) from None
    require_no_text(file, head)
    # The library takes names that are not UTF-8 as bytes only.
    source: io.IOBase | str | bytes = str(file) if spelled(file) == str(file) else os.fsencode(file)
    endless = is_endless_flac(head)
    if _needs_decoder(file, head, endless):
        source = decoder.as_flac(file)
    elif wav is not None and mend:
        source = wav_sizes.Mended(file, wav)
    try:
        with soundfile.SoundFile(source) as sound:
            yield _Opened(sound, wav, mend, endless)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:  # TypeError: headerless `.raw`
        if not os.access(file, os.R_OK):
            raise DataError(unreadable_file(file, PermissionError())) from None
        raise DataError(_unreadable(file, error)) from None
    finally:
        if isinstance(source, io.IOBase):
            source.close()


def _describe(file: Path, opened: _Opened) -> AudioInfo:
    """Return what an open file says of itself; refuse it as `probe` does."""
    sound = opened.sound
    if sound.samplerate < MIN_SAMPLE_RATE:
        raise DataError(
            f"{file}: sampling rate {sound.samplerate} Hz is too low for speech; "
            f"give a recording of at least {MIN_SAMPLE_RATE} Hz."
        )
    if sound.frames <= 0:
        raise DataError(f"{file}: the audio has zero length; record it again or leave it out.")
    duration = sound.frames / sound.samplerate
    promised = duration * _promise(file, opened)
    if duration < 0.9 * promised:
        raise DataError(_cut_off(file, duration, promised))
    oddity = ""
    if opened.endless or (opened.wav is not None and opened.wav.is_placeholder):
        oddity = "the header leaves open how long the recording is; read to the end of the file"
    elif opened.mended:
        oddity = (
            "the header is unfinished, as a recorder leaves it that stopped early, and declares less than is there; "
            "read to the end of the file"
        )
    return AudioInfo(sound.samplerate, sound.channels, duration, oddity)


def read(path: str | Path, start: float | None = None, duration: float | None = None) -> np.ndarray:
    """Read `duration` seconds from `start` as mono float32 at `SAMPLE_RATE`, shape (samples,).

    Channels are averaged, or where they cancel each other the loudest is taken, which is remarked; and the rate is
    converted once, with soxr's high quality.

    Args:
        path: an audio file.
        start: seconds into the file; None is its beginning.
        duration: seconds; None reads to the end. Without `start`, one that is the file's but for `TOLERANCE` does too.

    Raises:
        DataError: as `probe`, or the file ends more than `TOLERANCE` before the part that is asked for, or the
            samples are damaged, non-finite or shorter than one analysis window.
    """
    file = _existing(path)
    with _open(file) as opened:
        span = _span(file, opened, start, duration)
        samples = _decode(file, opened.sound, span.count)
    _require_held(file, len(samples), span)
    mono = _mono(samples, _loudest(file, [samples]))
    if span.oddity:
        remark(span.oddity, str(file))
    (mono,) = resampled([mono], span.rate, SAMPLE_RATE)
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
    with _open(file) as opened:
        span = _span(file, opened, start, duration)
        if span.count > BLOCK * span.rate:
            yield from _streamed(file, opened.sound, span)
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
    """What is read of a file: first sample, how many, their rate, seconds they should last, what is odd about it."""

    first: int
    count: int
    rate: int
    promised: float
    oddity: str


def _span(file: Path, opened: _Opened, start: float | None, duration: float | None) -> _Span:
    """Find the part that is asked for in an open file, and go to its beginning."""
    info, sound = _describe(file, opened), opened.sound
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
        raise DataError(_cut_off(file, samples / span.rate, span.promised))


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
        factor: 1.0 leaves them as they are.

    Returns:
        As many pieces, each (samples,) float32; how the recording is cut changes no bit of it.
    """
    return pieces if factor == 1.0 else resampled(pieces, SAMPLE_RATE * factor, SAMPLE_RATE)


def _existing(path: str | Path) -> Path:
    file = Path(path)
    if file.is_dir():
        raise DataError(f"{file}: is a folder, not a recording; name the recordings in it, such as {file}/*.wav.")
    if not file.is_file():
        raise DataError(f"{file}: there is no such audio file; correct the path in the manifest or the command.")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty (0 bytes); record it again or leave it out.")
    return file


def _promise(file: Path, opened: _Opened) -> float:
    """Return how many times longer a header says its data is than what is there (libsndfile silently shortens)."""
    sound = opened.sound
    if opened.wav is not None:
        return opened.wav.promise
    if sound.format == "NIST":
        return sphere_samples(file) / float(sound.frames)
    # What libsndfile notes of AIFF, of AU, and of W64.
    match = re.search(r"^ *(?:SSND|Data Size|riff) *: (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    if match is None or int(match[1]) >= wav_sizes.PLACEHOLDER or int(match[2]) == 0:
        return 1.0
    return int(match[1]) / int(match[2])


def _needs_decoder(file: Path, head: bytes, endless: bool) -> bool:
    """Whether only PyAV reads a file, by its ending or what it begins with.

    Raises:
        DataError: it does, and is missing.
    """
    foreign = head.startswith(_OTHER_MEDIA) or head[4:8] == b"ftyp"
    if file.suffix.lower() not in DECODER_SUFFIXES and not foreign and not endless:
        return False
    if endless and not decoder.available():
        raise DataError(
            f"{file}: its header leaves open how long it is; install a decoder with `{decoder.INSTALL}`, or convert it."
        )
    if not decoder.available():
        raise DataError(f"{file}: {unreadable(file.suffix or 'this kind of file')}.")
    return True


def _cut_off(file: Path, held: float, promised: float) -> str:
    return (
        f"{file}: holds {held:.2f} s of audio where its header promises {promised:.2f} s; "
        "the file is cut off, copy it again."
    )


def _damaged(file: Path) -> str:
    return f"{file}: its header is sound but its samples are damaged or cut off; copy it again."


def _unreadable(file: Path, error: Exception) -> str:
    reason = str(getattr(error, "error_string", "")).strip().rstrip(".")
    if not reason or reason.startswith("File does not exist"):  # which it says of damaged MP3
        reason = "unknown or damaged format"
    return f"{file}: is not audio that can be decoded ({reason}); convert it to WAV or FLAC, or leave it out."
