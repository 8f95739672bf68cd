"""Makes a corpus of made-up words, spoken by espeak-ng voices: what the zero-shot recipe runs on without any corpus.

Words are drawn syllable by syllable and written as Spanish, whose spelling says how a word is pronounced. Espeak-ng
speaks them, and its rules say their phones. Layout below `out`:

    wav/<voice>/<voice>-<number>.flac     16 kHz, mono, 16 bit, with a little noise
    train.jsonl                           words that are trained on
    dev.jsonl                             other words, other voices: to choose the threshold on
    test.jsonl                            words that are neither in train nor in dev, and some of train; further voices
    lexicon.txt                           all of them, and words that nobody says
    made_up.json                          the settings; written last, so it marks a corpus that is complete
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.g2p import pronounce
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.data.synthesis import random_voice, synthesise
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.plain import to_json, to_plain
from asr_transfer.ranges import Count, CountOrNone, Range, Ranged, Seed
from asr_transfer.textfiles import read_text, write_text

LANGUAGE = "es"
SPLITS = ("train", "dev", "test")
LEXICON = "lexicon.txt"

SPARE = 1.25
"""So many times the words are made, for some have phones that no word of train has, and are left out."""

_STAMP = "made_up.json"
_GENERATOR = 1  # raise it when the same settings begin to give other words or other audio
_ONSETS = ("p", "t", "m", "n", "l", "s", "f", "r", "ch", "b", "d", "ñ", "br", "tr", "pl")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("", "", "", "", "n", "s", "l")


@dataclass(frozen=True)
class MadeUpConfig(Ranged, section="made_up"):
    """How many words are made up, and who says them.

    Attributes:
        words: number of words of the lexicon.
        train_words, dev_words, test_words: numbers of them, without any in common.
        again: words of train that are tested as well.
        voices: number of voices that say words of train, a share of them each.
        test_voices: number of voices that say words of dev, and as many others that say those of test.
        per_voice: words that each voice of train says.
        seed: random seed of words and voices.
    """

    words: Annotated[int, Range(at_least=1, at_most=20_000)] = 5000
    train_words: Count = 800
    dev_words: Count = 80
    test_words: Count = 200
    again: CountOrNone = 60
    voices: Count = 20
    test_voices: Count = 4
    per_voice: Count = 60
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        said = self.train_words + self.dev_words + self.test_words
        if said > self.words:
            raise ConfigError(f"`made_up.words` is {self.words}, but {said} words are said; make the lexicon larger.")
        if self.again > self.train_words:
            raise ConfigError(f"`made_up.again` is {self.again}, but {self.train_words} words are trained on.")


def make_words(config: MadeUpConfig) -> list[str]:
    """Draw distinct words of two or three syllables, some more than asked for; with more to draw, the first stay."""
    draw = np.random.default_rng([config.seed, zlib.crc32(b"words")])
    found: dict[str, None] = {}
    while len(found) < SPARE * config.words:
        size = 2 + int(draw.integers(2))
        pieces = [(_pick(_ONSETS, draw), _pick(_VOWELS, draw), _pick(_CODAS, draw)) for _ in range(size)]
        word = "".join("".join(piece) for piece in pieces)
        if "ll" not in word:  # a letter of its own, of a sound that is too rare to be learnt
            found[word] = None
    return list(found)


def prepare_made_up(config: MadeUpConfig, out: Path, workers: int = 1) -> None:
    """Make the corpus in `out`, or find that it is already there; a minute at most.

    Args:
        config: words and voices.
        out: folder to make.
        workers: voices that speak at the same time.

    Raises:
        ConfigError: espeak-ng is not installed.
        DataError: the folder holds a corpus of other settings, or too few words are trained on to have every phone.
    """
    stamp = out / _STAMP
    settings = to_json({"generator": _GENERATOR, **to_plain(config)}, indent=2) + "\n"
    if stamp.is_file():
        if read_text(stamp) != settings:
            raise DataError(f"{out}: holds made-up words of other settings or of an older version; remove the folder.")
        return
    lexicon = _lexicon(config, str(out / LEXICON))
    words = lexicon.words
    ends = np.cumsum([config.train_words, config.dev_words, config.test_words])
    train, dev, test = words[: ends[0]], words[ends[0] : ends[1]], words[ends[1] : ends[2]]
    said = {
        "train": _shared_out(train, config.voices, config.per_voice),
        "dev": _shared_out(dev, config.test_voices, -(-len(dev) // config.test_voices)),
        "test": _shared_out([*test, *train[: config.again]], config.test_voices),
    }
    phones = {entry.word: " ".join(entry.phones) for entry in reversed(list(lexicon))}
    jobs = [(f"{split}-{n:02d}", own) for split, parts in said.items() for n, own in enumerate(parts)]
    with ThreadPoolExecutor(workers) as pool:
        spoken = pool.map(lambda job: _speak(job[0], job[1], config.seed, out / "wav" / job[0], phones), jobs)
        found: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
        for (voice, _), utterances in zip(jobs, spoken, strict=True):
            found[voice.split("-")[0]] += utterances
    for split in SPLITS:
        write_manifest(out / f"{split}.jsonl", found[split])
    lexicon.save(out / LEXICON)
    write_text(stamp, settings)


def _lexicon(config: MadeUpConfig, source: str) -> Lexicon:
    """Return the pronounced words, those of train first, and no word with a phone that these lack."""
    entries = pronounce(make_words(config), LANGUAGE, "espeak")
    known = {phone for entry in entries[: config.train_words] for phone in entry.phones}
    kept = [entry for entry in entries if known.issuperset(entry.phones)][: config.words]
    if len(kept) < config.words:
        raise DataError(
            f"only {len(kept)} of {config.words} made-up words have no other phones than those trained on; make "
            "`made_up.train_words` larger."
        )
    return Lexicon(kept, source)


def _shared_out(words: Sequence[str], voices: int, each: int | None = None) -> list[list[str]]:
    """Deal words out to voices in turn; with `each`, from the beginning again until every voice has so many."""
    total = len(words) if each is None else voices * each
    dealt: list[dict[str, None]] = [{} for _ in range(voices)]
    for n in range(total):
        # A step of one more after each round, so that a voice does not get the same words again.
        dealt[n % voices][words[(n + n // len(words)) % len(words)]] = None
    return [list(own) for own in dealt if own]


def _speak(voice: str, words: Sequence[str], seed: int, folder: Path, phones: dict[str, str]) -> list[Utterance]:
    draw = np.random.default_rng([seed, zlib.crc32(voice.encode())])
    speaker = random_voice(int(draw.integers(2**31)), language=LANGUAGE)
    folder.mkdir(parents=True, exist_ok=True)
    utterances = []
    for n, (word, speech) in enumerate(zip(words, synthesise(list(words), speaker), strict=True)):
        file = folder / f"{voice}-{n:03d}.flac"
        noise = draw.standard_normal(len(speech.samples)) * 10 ** (draw.uniform(-50, -35) / 20)
        samples = np.clip(0.8 * speech.samples + noise, -1, 1).astype(np.float32)
        soundfile.write(str(file), samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        name = f"{voice}-{n:03d}"
        utterances.append(
            Utterance(name, str(file), speech.duration, word, voice, LANGUAGE, pronunciation=phones[word])
        )
    return utterances


def _pick(options: Sequence[str], draw: np.random.Generator) -> str:
    return options[int(draw.integers(len(options)))]
