"""Makes the embedded default corpus: English number and command sentences, spoken by espeak-ng voices.

Nothing is downloaded. Forty ordinary voices to train on, and children's voices, whose formants lie far above all of
these, as the speakers to adapt to: small enough for a laptop, hard enough that adaptation shows. It serves for trying
methods out and for tests; models trained on it do not understand real recordings.

Layout written below `out`:

    wav/<speaker>/<speaker>-<number>.flac     16 kHz, mono, 16 bit, with a little noise and varied level
    train.jsonl                               adult-00, adult-01, …
    dev.jsonl                                 dev-adult-00, dev-adult-01, dev-child-00: to choose settings on
    test.jsonl                                test-adult-00, …, test-child-00, …
    synthetic.json                            the settings; written last, so it marks a corpus that is complete

No speaker and no sentence occurs in two splits. A speaker depends on the seed and on its own name only, not on how
many others there are nor on the number of workers.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.synthesis import Speech, random_voice, require_voices, synthesise
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.plain import to_json
from asr_transfer.progress import tracked
from asr_transfer.textfiles import read_text, write_text
from data_prep.common import write_splits
from data_prep.registry import Corpus

DEV_ADULTS, DEV_CHILDREN = 2, 1
"""Development speakers; fixed, so that settings chosen on them stay comparable between corpora of other sizes."""

_STAMP = "synthetic.json"
_GENERATOR = 1  # raise it when the same settings begin to give other audio or other sentences

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

_TEMPLATES = (
    "{number}",
    "{number}",
    "{digits}",
    "{digits}",
    "the answer is {number}",
    "{small} and {small} make {small}",
    "my number is {digits}",
    "please call {digits}",
    "that's {small} dollars and {small} cents",
    "page {number} of {number}",
    "turn the {room} {device} {state} {time}",
    "turn {state} the {device} in the {room}",
    "set the {room} {device} to {small} percent",
    "set a timer for {small} {unit}",
    "wake {person} up {time}",
    "remind {person} to {task} {day} {time}",
    "add {small} {goods} to the shopping list",
    "what's the weather like {day} in {city}",
    "when does train {small} leave for {city}",
    "i'd like {small} {goods} and {small} {goods} please",
    "play the {colour} album {time}",
    "is the {room} {device} still {state}",
    "don't {task} before {small} {day}",
    "book a table for {small} {day} {time}",
)
_WORDS: dict[str, tuple[str, ...]] = {
    "room": ("kitchen", "bedroom", "bathroom", "garden", "office", "hall", "garage", "living room"),
    "device": ("light", "heater", "radio", "fan", "television", "lamp", "alarm", "speaker"),
    "state": ("on", "off"),
    "unit": ("seconds", "minutes", "hours"),
    "person": ("me", "him", "her", "us", "them", "my brother", "my sister"),
    "task": ("feed the cat", "water the plants", "lock the door", "call the doctor", "buy some bread", "clean the car"),
    "day": ("today", "tomorrow", "tonight", "on monday", "on wednesday", "on friday", "on sunday", "next week"),
    "goods": ("apples", "bananas", "eggs", "bottles of milk", "lemons", "onions", "cups of coffee", "bags of rice"),
    "city": ("london", "paris", "boston", "dublin", "chicago", "vienna", "tokyo", "madrid"),
    "colour": ("red", "green", "blue", "yellow", "black", "white"),
}


def prepare(
    out: Path,
    train_speakers: int = 40,
    test_speakers: int = 4,
    child_speakers: int = 2,
    utterances_per_speaker: int = 60,
    seed: int = 0,
    workers: int = 2,
    language: str = "en",
) -> None:
    """Make the synthetic corpus in `out`, or find that it is already there.

    The defaults give about two hours of speech in less than a minute of computing.

    Args:
        out: Folder to make; new, empty, or holding a corpus made with the same settings.
        train_speakers: Number of ordinary voices to train on.
        test_speakers: Number of ordinary voices to test on.
        child_speakers: Number of children's voices to test on; none of their kind is trained on.
        utterances_per_speaker: Number of sentences that every speaker says.
        seed: Seed of all voices, sentences and noises.
        workers: Number of speakers made at the same time; has no influence on the result.
        language: Language of the sentences; only "en" has a grammar so far.

    Raises:
        ConfigError: a number is out of range, the language has no grammar, or espeak-ng is not installed.
        DataError: `out` holds something else or a corpus made with other settings, or cannot be written.
    """
    settings = {
        "generator": _GENERATOR,
        "train_speakers": train_speakers,
        "test_speakers": test_speakers,
        "child_speakers": child_speakers,
        "utterances_per_speaker": utterances_per_speaker,
        "seed": seed,
        "language": language,
    }
    _check(settings, workers)
    out = Path(out)
    if _finished(out, settings):
        print(f"{out}: the synthetic corpus is already there, made with the same settings.")
        return
    require_voices()

    cast = {
        "train": _names("adult", train_speakers),
        "dev": _names("dev-adult", DEV_ADULTS) + _names("dev-child", DEV_CHILDREN),
        "test": _names("test-adult", test_speakers) + _names("test-child", child_speakers),
    }
    # All is made beside its final place and moved there at the end: a killed run leaves nothing that looks finished.
    partial = out / f".synthetic.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); choose another folder with `--out`.") from None
    try:
        jobs = [
            _Job(name, split, utterances_per_speaker, seed, language, partial / "wav" / name)
            for split, names in cast.items()
            for name in names
        ]
        spoken = _make_all(jobs, workers)
        splits = {split: [u for job in jobs if job.split == split for u in spoken[job.speaker]] for split in cast}
        write_splits(splits, partial)
        write_text(partial / _STAMP, to_json(settings, indent=2) + "\n")
        if _finished(out, settings):  # by another process, while this one was at work
            return
        for name in ("wav", *(f"{split}.jsonl" for split in cast), _STAMP):
            os.rename(partial / name, out / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    hours = sum(u.duration for speaker in spoken.values() for u in speaker) / 3600
    print(f"{out}: {len(jobs)} synthetic speakers, {hours:.2f} hours of speech.")


def sentence(draw: np.random.Generator, split: str) -> str:
    """Draw a sentence of `split` ("train", "dev" or "test"): lower-case a-z, apostrophe and space.

    Every sentence of the grammar belongs to one split, by its checksum: 70 % to train, 10 % to dev, 20 % to test.
    """
    while True:
        text = " ".join(
            _slot(word[1:-1], draw) if word.startswith("{") else word for word in _pick(_TEMPLATES, draw).split()
        )
        if split_of(text) == split:
            return text


def split_of(text: str) -> str:
    """Return the split that a sentence belongs to."""
    bucket = zlib.crc32(text.encode()) % 10
    return "train" if bucket < 7 else "dev" if bucket < 8 else "test"


def number_words(number: int) -> str:
    """Spell 0 to 9999 as spoken: "four hundred and twenty one", "two thousand and five"."""
    if not 0 <= number <= 9999:
        raise ValueError(f"The 'number' of number_words must be between 0 and 9999, got {number} instead.")
    if number < 20:
        return (_DIGITS + _TEENS)[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens - 2] + (f" {_DIGITS[rest]}" if rest else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = divmod(number, size)
    tail = "" if rest == 0 else f" and {number_words(rest)}" if rest < 100 else f" {number_words(rest)}"
    return f"{number_words(head)} {name}{tail}"


@dataclass(frozen=True)
class _Job:
    speaker: str
    split: str
    utterances: int
    seed: int
    language: str
    folder: Path


def _make_all(jobs: Sequence[_Job], workers: int) -> dict[str, list[Utterance]]:
    # Threads suffice: espeak-ng runs in processes of its own, and filtering and FLAC encoding release the interpreter.
    with ThreadPoolExecutor(workers) as pool:
        try:
            made = tracked(pool.map(_make_speaker, jobs), "speaking", len(jobs), "speaker")
            return dict(zip((job.speaker for job in jobs), made, strict=True))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _make_speaker(job: _Job) -> list[Utterance]:
    """Draw, speak and write one speaker; everything random in it comes from the seed and the speaker's name."""
    draw = np.random.default_rng([job.seed, zlib.crc32(job.speaker.encode())])
    kind = "child" if "child" in job.speaker else "ordinary"
    voice = random_voice(int(draw.integers(2**31)), kind, job.language)
    texts: dict[str, None] = {}  # a set that keeps its order
    while len(texts) < job.utterances:
        texts[sentence(draw, job.split)] = None
    job.folder.mkdir(parents=True)
    utterances = []
    for number, (text, speech) in enumerate(zip(texts, synthesise(list(texts), voice), strict=True)):
        name = f"{job.speaker}-{number:03d}"
        file = job.folder / f"{name}.flac"
        soundfile.write(str(file), _record(speech, draw), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        utterances.append(
            Utterance(name, str(file), speech.duration, text, job.speaker, job.language, phones=speech.phones)
        )
    return utterances


def _record(speech: Speech, draw: np.random.Generator) -> np.ndarray:
    """As if through a microphone: a level of -30 to -18 dBFS, and hiss to rumble 20 to 40 dB below the speech."""
    from scipy.signal import lfilter  # takes a second to import, and every corpus imports this module

    noise = lfilter([1.0], [1.0, -draw.uniform(0.0, 0.95)], draw.standard_normal(len(speech.samples), dtype=np.float32))
    samples = speech.samples / _rms(speech.samples) + noise / _rms(noise) * 10 ** (-draw.uniform(20, 40) / 20)
    samples *= 10 ** (draw.uniform(-30, -18) / 20)
    return np.asarray(samples * min(1.0, 0.98 / np.abs(samples).max()), dtype=np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _names(role: str, count: int) -> list[str]:
    return [f"{role}-{number:02d}" for number in range(count)]


def _pick(options: Sequence[str], draw: np.random.Generator) -> str:
    return options[int(draw.integers(len(options)))]


def _slot(name: str, draw: np.random.Generator) -> str:
    if name == "number":  # two, three and four digits equally often, although there are more of the long ones
        digits = int(draw.integers(2, 5))
        return number_words(int(draw.integers(10 ** (digits - 1), 10**digits)))
    if name == "small":
        return number_words(int(draw.integers(2, 100)))
    if name == "digits":
        return " ".join(_DIGITS[digit] for digit in draw.integers(10, size=int(draw.integers(3, 8))))
    if name == "time":
        hour, minute = number_words(int(draw.integers(1, 13))), 5 * int(draw.integers(0, 12))
        return f"at {hour} {number_words(minute) if minute >= 10 else 'oh five' if minute else _o_clock(draw)}"
    return _pick(_WORDS[name], draw)


def _o_clock(draw: np.random.Generator) -> str:
    return _pick(("o'clock", "o'clock sharp", "in the morning"), draw)


def _check(settings: dict[str, Any], workers: int) -> None:
    if settings["language"] != "en":
        raise ConfigError(
            f"`language`: the synthetic corpus has sentences in English only, got '{settings['language']}'; use 'en'."
        )
    least = {"train_speakers": 1, "test_speakers": 0, "child_speakers": 0, "utterances_per_speaker": 1, "seed": 0}
    for name, low in [*least.items(), ("workers", 1)]:
        value = workers if name == "workers" else settings[name]
        if value < low:
            raise ConfigError(f"`{name}` must be at least {low}, got {value}; give a larger number.")
    if settings["test_speakers"] + settings["child_speakers"] == 0:
        raise ConfigError("`test_speakers` and `child_speakers` are both 0: there would be no test; give at least one.")


def _finished(out: Path, settings: dict[str, Any]) -> bool:
    """Whether `out` already holds this corpus; refuse a folder that holds anything else."""
    mend = "give another --out, or remove the folder"
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, not a folder; give another --out.")
    stamp = out / _STAMP
    if not stamp.is_file():
        if out.is_dir() and any(not path.name.startswith(".synthetic.") for path in out.iterdir()):
            raise DataError(f"{out}: is not empty, and what it holds is no finished synthetic corpus; {mend}.")
        return False
    try:
        found = json.loads(read_text(stamp))
    except (DataError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{stamp}: does not hold the settings of a synthetic corpus; {mend}.")
    for name in settings:
        if found.get(name) != settings[name]:
            raise DataError(f"{out}: was made with {name} = {found.get(name)}, not {settings[name]}; {mend}.")
    for name in ("wav", "train.jsonl", "dev.jsonl", "test.jsonl"):
        if not (out / name).exists():
            raise DataError(f"{out}: '{name}' has been removed from the corpus; {mend}.")
    return True


CORPUS = Corpus("synthetic", prepare, ("en",), from_disk=False)
