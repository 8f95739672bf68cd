"""Opens a recording: which library decodes it, what its header states, and whether that is true."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from asr_transfer import data_sizes, decoder
from asr_transfer.errors import DataError
from asr_transfer.headers import is_endless_flac, require_no_text, sphere_samples
from asr_transfer.textfiles import spelled
from asr_transfer.textfiles import unreadable as unreadable_file

MIN_SAMPLE_RATE = 8_000
"""Below telephone bandwidth (4 kHz) fricatives are gone; such files are refused instead of quietly recognised badly."""

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


def readable(suffix: str) -> bool:
    """Whether files with this ending, in any case, are recordings that can be read here."""
    return suffix.lower() in SUFFIXES or (suffix.lower() in DECODER_SUFFIXES and decoder.available())


def unreadable(suffix: str) -> str:
    """Return why recordings with an ending of `DECODER_SUFFIXES` cannot be read where PyAV is missing."""
    return f"{suffix} needs a decoder; install it with `{decoder.INSTALL}`, or convert to WAV or FLAC"


def existing(path: str | Path) -> tuple[Path, os.stat_result]:
    """Return a recording's path, and what the file system, which is asked once, says of it.

    Raises:
        DataError: it is a folder, missing, empty, or in a folder that may not be looked into.
    """
    file = Path(path)
    try:
        status = os.stat(file)
    except PermissionError as error:
        raise DataError(unreadable_file(file, error, "give an audio file")) from None
    except (OSError, ValueError):
        status = None
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise DataError(f"{file}: is a folder, not a recording; name the recordings in it, such as {file}/*.wav.")
    if status is None or not stat.S_ISREG(status.st_mode):
        raise DataError(f"{file}: there is no such audio file; correct the path in the manifest or the command.")
    if status.st_size == 0:
        raise DataError(f"{file}: the file is empty (0 bytes); record it again or leave it out.")
    return file, status


@dataclass(frozen=True)
class Opened:
    """An open recording, and what its header says of its size where that is known; `mended` where that was wrong.

    Attributes:
        endless: the header leaves open how long the recording is.
    """

    sound: soundfile.SoundFile
    size: data_sizes.DataSize | None
    mended: bool
    endless: bool


@contextlib.contextmanager
def open_recording(file: Path) -> Iterator[Opened]:
    """Open a recording; that whose header declares too little as if it declared all."""
    try:
        with file.open("rb") as stream:
            head = stream.read(1024)
            size = data_sizes.data_size(stream)
            mend = size is not None and (size.is_unreadable or data_sizes.continues(stream, size))
    except OSError as error:
        raise DataError(unreadable_file(file, error, "give an audio file")) from None
    require_no_text(file, head)
    # The library takes names that are not UTF-8 as bytes only.
    source: io.IOBase | str | bytes = str(file) if spelled(file) == str(file) else os.fsencode(file)
    endless = is_endless_flac(head)
    if _needs_decoder(file, head, endless):
        source = decoder.as_flac(file)
    elif size is not None and mend:
        source = data_sizes.Mended(file, size)
    try:
        with soundfile.SoundFile(source) as sound:
            yield Opened(sound, size, mend, endless)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:  # TypeError: headerless `.raw`
        if not os.access(file, os.R_OK):
            raise DataError(unreadable_file(file, PermissionError())) from None
        raise DataError(_unreadable(file, error)) from None
    finally:
        if isinstance(source, io.IOBase):
            source.close()


def describe(file: Path, opened: Opened) -> AudioInfo:
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
        raise DataError(cut_off(file, duration, promised))
    oddity = ""
    if opened.endless or (opened.size is not None and opened.size.is_placeholder):
        oddity = "the header leaves open how long the recording is; read to the end of the file"
    elif opened.mended:
        oddity = (
            "the header is unfinished, as a recorder leaves it that stopped early, and declares less than is there; "
            "read to the end of the file"
        )
    return AudioInfo(sound.samplerate, sound.channels, duration, oddity)


def _promise(file: Path, opened: Opened) -> float:
    """Return how many times longer a header says its data is than what is there (libsndfile silently shortens)."""
    sound = opened.sound
    if opened.size is not None:
        return opened.size.promise
    if sound.format == "NIST":
        return sphere_samples(file) / float(sound.frames)
    # What libsndfile notes of W64.
    match = re.search(r"^ *riff *: (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    if match is None or int(match[1]) >= data_sizes.PLACEHOLDER or int(match[2]) == 0:
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


def cut_off(file: Path, held: float, promised: float) -> str:
    return (
        f"{file}: holds {held:.2f} s of audio where its header promises {promised:.2f} s; "
        "the file is cut off, copy it again."
    )


def _unreadable(file: Path, error: Exception) -> str:
    reason = str(getattr(error, "error_string", "")).strip().rstrip(".")
    if not reason or reason.startswith("File does not exist"):  # which it says of damaged MP3
        reason = "unknown or damaged format"
    return f"{file}: is not audio that can be decoded ({reason}); convert it to WAV or FLAC, or leave it out."
