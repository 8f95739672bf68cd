"""Synthesises speech with espeak-ng, through ctypes on the library that the `espeakng-loader` wheel carries.

The wheel is the extra `voices`, for it brings a library under the GPL-3 into the process: it is loaded where a voice
speaks or a pronunciation is guessed, never when this module is imported.

This is the default corpus' voice box: text in, mono float32 speech with time-aligned phones out, no download and no
system package. espeak-ng is a formant synthesiser (Klatt 1980), so a speaker is a handful of numbers: accent, timbre
variant, pitch, pace and a *formant warp* w, which stands for the length of the vocal tract: a child's is shorter, all
its formants lie higher. To warp, the text is spoken w times as slowly and about w times as low, then played w times as
fast: pace and pitch come out where they were asked for, and only the formants have moved.

What espeak-ng says depends on all that it said before in the same process (its noise and voicing go on where they
stopped). Therefore every call of `synthesise` runs one fresh process and speaks its texts in the given order: equal
arguments give equal samples, whatever else the program did. Torch must not be imported here: the start of those
processes would take seconds instead of a tenth of one.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soxr

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.manifest import PhoneSegment
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.plain import to_plain
from asr_transfer.ranges import Range, Ranged

INSTALL = "pip install 'asr-transfer[voices]'"

KINDS = ("ordinary", "child")
"""The kinds of speaker that `random_voice` draws."""

ENGLISH_ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-us-nyc")
"""Accents that ordinary speakers of English are drawn from."""

_MALE = tuple(f"m{number}" for number in range(1, 9))
_FEMALE = tuple(f"f{number}" for number in range(1, 6))

_RATES = (80, 450)  # words per minute between which espeak-ng keeps the pace it is asked for
_WARPS = (0.75, 1.6)  # below 0.73 the result would have less than the 8 kHz bandwidth that 16 kHz audio promises

# Stress is no phone; and some accents write a colon where the others have IPA's length mark.
_SPELLING = str.maketrans({"ˈ": None, "ˌ": None, ":": "ː"})

# espeak-ng raises the base pitch when the range is narrowed, by 18 units of range. Relative to the base this is about
# the same for all variants (0.20-0.25 from their "pitch" lines), and taken back here.
_RANGE_COMPENSATION = 0.22


@dataclass(frozen=True)
class Voice(Ranged, section="voice"):
    """One synthetic speaker.

    Attributes:
        name: espeak-ng voice, with a variant after "+" if wanted, such as "en-us+f3" or "fr".
        pitch: 0 to 100 as espeak-ng counts it, 50 being the variant's own; 50 more are an octave.
        pitch_range: liveliness of the intonation, 0 (monotone) to 100.
        rate: words per minute.
        warp: factor on all formants, above 1 for a shorter vocal tract; pitch and rate do not move with it.

    Raises:
        ConfigError: a value is out of its range, or pitch or rate cannot be reached together with the warp.
    """

    name: str
    pitch: Annotated[float, Range(at_least=0, at_most=100)] = 50.0
    pitch_range: Annotated[float, Range(at_least=0, at_most=100)] = 50.0
    rate: Annotated[float, Range(at_least=_RATES[0], at_most=_RATES[1], unit="words per minute")] = 160.0
    warp: Annotated[float, Range(at_least=_WARPS[0], at_most=_WARPS[1])] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _RATES[0] <= self._source_rate() <= _RATES[1]:
            low, high = (round(limit * self.warp) for limit in _RATES)
            raise ConfigError(
                f"The 'rate' of a Voice with warp {self.warp} must be between {low} and {high} words per minute, "
                f"got {self.rate!r} instead."
            )
        if not 0 <= self._source_pitch() <= 100:
            raise ConfigError(
                f"The 'pitch' of a Voice with warp {self.warp} is out of espeak-ng's reach, got {self.pitch!r}; "
                f"choose one {'higher' if self._source_pitch() < 0 else 'lower'}."
            )

    def _source_rate(self) -> int:
        return round(self.rate / self.warp)

    def _source_range(self) -> int:
        return min(100, round(self.pitch_range / self.warp))

    def _source_pitch(self) -> int:
        """The pitch to speak with before the audio is sped up, so that it ends at `pitch`."""
        wanted = 2 ** ((self.pitch - 50) / 50) / self.warp
        factor = wanted - _RANGE_COMPENSATION * (1 - 1 / self.warp)
        return round(50 + 50 * math.log2(factor)) if factor > 0 else -1


@dataclass(frozen=True, eq=False)
class Speech:
    """One spoken text.

    Attributes:
        samples: mono float32 at `SAMPLE_RATE`, shape (samples,), within ±1.
        phones: IPA phones without stress marks, with start and end in seconds; pauses are the gaps between them.
    """

    samples: np.ndarray
    phones: tuple[PhoneSegment, ...]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def require_voices() -> None:
    """Refuse to go on where espeak-ng is not installed.

    Raises:
        ConfigError: it is not; the message says what it is needed for and how to install it.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        raise ConfigError(
            f"espeak-ng, which speaks made-up voices and guesses pronunciations, is not installed; use: {INSTALL}"
        )


def random_voice(seed: int, kind: str = "ordinary", language: str = "en") -> Voice:
    """Draw a speaker; the draw depends on these arguments only.

    Args:
        seed: non-negative; one per speaker.
        kind: "ordinary" (adults of both sexes, formants within about ±15 %) or "child" (formants 25 to 40 % higher than
            the variant's own, high voice, either slow or hasty: far from every ordinary speaker).
        language: espeak-ng language code; "en" draws one of several accents.

    Raises:
        ConfigError: an unknown kind, or a negative seed.
    """
    if kind not in KINDS:
        raise ConfigError(f"The 'kind' of random_voice must be one of {', '.join(KINDS)}, got {kind!r} instead.")
    if seed < 0:
        raise ConfigError(f"The 'seed' of random_voice must not be negative, got {seed} instead.")
    draw = np.random.default_rng([seed, KINDS.index(kind)])
    accent = str(draw.choice(ENGLISH_ACCENTS)) if language == "en" else language
    if kind == "ordinary":
        female = draw.random() < 0.5
        variant = str(draw.choice(_FEMALE if female else _MALE))
        pitch, rate, warp = draw.uniform(35, 70), draw.uniform(120, 200), draw.uniform(0.88, 1.15)
    else:
        variant = str(draw.choice(_FEMALE))
        pitch, warp = draw.uniform(62, 85), draw.uniform(1.25, 1.4)
        rate = draw.uniform(115, 135) if draw.random() < 0.5 else draw.uniform(180, 210)
    return Voice(
        name=f"{accent}+{variant}",
        pitch=round(float(pitch), 1),
        pitch_range=round(float(draw.uniform(35, 65)), 1),
        rate=round(float(rate), 1),
        warp=round(float(warp), 3),
    )


def synthesise(texts: Sequence[str], voice: Voice) -> list[Speech]:
    """Speak `texts` one after the other in one fresh process; results in the same order.

    Threads may call this at the same time: each waits for its own process.

    Raises:
        ConfigError: espeak-ng is not installed, has no such voice or variant, or cannot find its data.
        DataError: a text is empty or has nothing that could be spoken.
        RuntimeError: the process died; the message holds what it wrote last.
    """
    if not texts:
        return []
    require_voices()
    request = json.dumps({"voice": to_plain(voice), "texts": list(texts)}).encode()
    # The interpreter, not multiprocessing's "spawn": that would import the caller's main module, torch and all.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
    environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    command = [sys.executable, "-c", f"from {__name__} import _serve; _serve()"]
    done = subprocess.run(command, input=request, capture_output=True, env=environment, check=False)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise RuntimeError(f"The espeak-ng process ended with status {done.returncode}; it wrote last: {last[0]}")
    head, _, body = done.stdout.partition(b"\n")
    reply = json.loads(head)
    if "error" in reply:
        raise (ConfigError if reply["kind"] == "ConfigError" else DataError)(reply["error"])
    samples = np.frombuffer(body, dtype="<f4").astype(np.float32)
    ends = np.cumsum(reply["lengths"])
    return [
        Speech(samples[end - length : end].copy(), tuple((str(p), float(a), float(b)) for p, a, b in phones))
        for end, length, phones in zip(ends, reply["lengths"], reply["phones"], strict=True)
    ]


def _serve() -> None:
    """The fresh process: a JSON request on stdin, a JSON line and then raw float32 samples on stdout."""
    request = json.load(sys.stdin.buffer)
    voice = Voice(**request["voice"])
    try:
        speeches = [_speak(text, number, voice) for number, text in enumerate(request["texts"], start=1)]
        reply: dict[str, Any] = {
            "lengths": [len(speech.samples) for speech in speeches],
            "phones": [speech.phones for speech in speeches],
        }
    except (ConfigError, DataError) as error:
        speeches, reply = [], {"error": str(error), "kind": type(error).__name__}
    out = sys.stdout.buffer
    out.write(json.dumps(reply).encode() + b"\n")
    for speech in speeches:
        out.write(speech.samples.astype("<f4").tobytes())
    out.flush()


def _speak(text: str, number: int, voice: Voice) -> Speech:
    if not text.strip():
        raise DataError(f"Text {number} of the {voice.name} speaker is empty; give words to speak or leave it out.")
    engine = _engine()
    engine.choose(voice)
    pcm, events = engine.say(text)
    phones = _align(events, engine.sample_rate * voice.warp)
    if not phones:
        raise DataError(f"Text {number} of the {voice.name} speaker, {text!r}, has nothing to speak; give words.")
    # Declaring the rate w times as high as it is makes the audio play w times as fast.
    samples = soxr.resample(pcm.astype(np.float32) / 32768, engine.sample_rate * voice.warp, SAMPLE_RATE, quality="HQ")
    return Speech(np.clip(samples, -1, 1).astype(np.float32), phones)


def _align(events: Sequence[tuple[int, str]], rate: float) -> tuple[PhoneSegment, ...]:
    """Turn (sample, name) events into phones; each ends where the next event (a phone, pause or the end) begins.

    Language marks such as "(en)", which espeak-ng puts where it borrows another language's rules, are no events: the
    phone before one lasts until the phone after it. Phones of no length, which nothing was spoken for, are left out.
    """
    heard = [(sample, name.translate(_SPELLING)) for sample, name in events if not name.startswith("(")]
    return tuple(
        (phone, sample / rate, after / rate)
        for (sample, phone), (after, _) in itertools.pairwise(heard)
        if phone and after > sample
    )


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


class _VoiceEntry(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p))


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))

# Values of espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 0x1, 0x2, 0x8000
_CHARS_UTF8 = 1
_EVENT_LAST, _EVENT_END, _EVENT_PHONEME = 0, 5, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Engine:
    """The loaded library; one per process, because espeak-ng keeps its state in global variables."""

    def __init__(self) -> None:
        require_voices()
        loader = importlib.import_module("espeakng_loader")
        self._data = Path(loader.get_data_path())
        try:
            self._library = ctypes.CDLL(loader.get_library_path())
        except OSError as error:
            raise ConfigError(f"espeak-ng cannot be loaded ({error}); reinstall `espeakng-loader`.") from None
        flags = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        self.sample_rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(self._data), flags))
        if self.sample_rate <= 0:
            raise ConfigError(
                f"{self._data}: espeak-ng finds no voice data there; reinstall `espeakng-loader`, "
                "in a folder whose path is shorter than 130 characters."
            )
        # Breathy variants such as f2 and f5 hold noise from a generator that espeak-ng seeds with the time of day.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._pcm: list[bytes] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._collect)  # kept alive: the library holds only a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)
        self._identifiers = self._list_voices()
        self._chosen: Voice | None = None

    def choose(self, voice: Voice) -> None:
        """Make `voice` the one that speaks."""
        if voice == self._chosen:
            return
        language, plus, variant = voice.name.partition("+")
        if language.lower() not in self._identifiers:
            hint = nearest_hint(language.lower(), self._identifiers)
            raise ConfigError(f"The 'name' of a Voice must be an espeak-ng voice, got {language!r} instead.{hint}")
        variants = {path.name for path in (self._data / "voices" / "!v").iterdir()}
        if plus and variant not in variants:  # espeak-ng itself would quietly take the plain voice
            hint = nearest_hint(variant, _MALE + _FEMALE)
            raise ConfigError(f"espeak-ng has no variant {variant!r} for the voice {voice.name!r}.{hint}")
        chosen = self._identifiers[language.lower()] + plus + variant
        if self._library.espeak_SetVoiceByName(chosen.encode()) != 0:
            raise ConfigError(f"{self._data}: espeak-ng cannot load its voice {chosen!r}; reinstall `espeakng-loader`.")
        for parameter, value in (
            (_RATE, voice._source_rate()),
            (_PITCH, voice._source_pitch()),
            (_RANGE, voice._source_range()),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chosen = voice

    def say(self, text: str) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """Return int16 samples at `sample_rate` and the (sample, phoneme) events, the last of them ("" at the end)."""
        self._pcm, self._events = [], []
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 0, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.frombuffer(b"".join(self._pcm), dtype=np.int16), sorted(self._events, key=lambda event: event[0])

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if count > 0 and samples:
            self._pcm.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type != _EVENT_LAST:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                # A name that fills all eight bytes may be cut within a character.
                self._events.append((event.sample, event.id.string.decode("utf-8", errors="ignore")))
            elif event.type == _EVENT_END:
                self._events.append((event.sample, ""))
            index += 1
        return 0

    def _list_voices(self) -> dict[str, str]:
        """Language code to the identifier that loads it, since espeak-ng knows "en-gb" only as "gmw/en"."""
        listing = self._library.espeak_ListVoices
        listing.restype = ctypes.POINTER(ctypes.POINTER(_VoiceEntry))
        entries = listing(None)
        identifiers: dict[str, str] = {}
        index = 0
        while entries[index]:
            entry = entries[index].contents
            codes = ctypes.string_at(entry.languages + 1).decode()  # the first byte is a priority
            identifier = entry.identifier.decode()
            identifiers.setdefault(codes.lower(), identifier)
            identifiers.setdefault(identifier.split("/")[-1].lower(), identifier)  # the file: "fr" for "fr-fr"
            index += 1
        return identifiers


@functools.cache
def _engine() -> _Engine:
    return _Engine()
