"""Running `asr-transfer learn` in tests: languages whose letters are tones, a model of two of them, finished runs."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr_transfer.data.manifest import Utterance, write_manifest
from tests.adapting import Ran, run
from tests.tones import TINY, make_speaker

ALPHABETS = {"de": "abcdef", "fr": "uvwxyz", "mk": "абвгде", "el": "αβγδεζ"}
"""What a language writes the six tones as."""

SPEAKERS = {"anna": 0.96, "ben": 0.98, "carl": 1.0, "dora": 1.02, "emil": 1.04, "fay": 1.0, "gus": 0.97, "hal": 1.03,
            "ida": 0.99, "jon": 1.01, "kim": 0.95, "lea": 1.0}  # fmt: skip
"""Twelve people of each language, of whom three can be held out for each purpose."""

QUICK: tuple[object, ...] = (
    "--steps",
    50,
    "--batch_budget",
    1000,
    "--learning_rate",
    0.02,
    "--speeds",
    "[1.0]",
    "--device",
    "cpu",
)
"""A short training of a way."""


def speech(folder: Path, language: str, count: int, speakers: int = 12, seed: int = 0) -> list[Utterance]:
    """Write so many recordings of each of so many speakers of a language, and return them."""
    letters = str.maketrans("abcdef", ALPHABETS[language])
    made = []
    for number, (name, shift) in enumerate(list(SPEAKERS.items())[:speakers]):
        own = make_speaker(folder / language, name, shift, count, 100 * seed + 50 * len(language) + number)
        made += [
            replace(u, id=f"{language}-{seed}-{u.id}", text=u.text.translate(letters), language=language) for u in own
        ]
    return made


def manifest(file: Path, utterances: Sequence[Utterance]) -> Path:
    """Write a manifest and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(file, utterances)
    return file


def in_folder(folder: Path, utterances: Sequence[Utterance]) -> Path:
    """Return a folder of recordings of one speaker as users have it: each beside a text of its name."""
    folder.mkdir(parents=True)
    for utterance in utterances:
        target = folder / f"{utterance.id}.wav"
        shutil.copy(utterance.audio, target)
        target.with_suffix(".txt").write_text(utterance.text, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Languages:
    """A model of two languages, and speech of these and of others, as manifests.

    Attributes:
        base: run folder of a model of German and French, which keeps speech of both.
        train: speech that it was trained on.
        new: speech of a language that it does not know, in another alphabet.
        further: speech of yet another one.
        more: more of its German.
        grown: German in which one word has a letter that the model never saw.
        english: speech in the language of the toy corpus's own model.
    """

    base: Path
    train: Path
    new: Path
    further: Path
    more: Path
    grown: Path
    english: Path


def make_languages(folder: Path) -> Languages:
    """Train the model and write the manifests."""
    spoken = {name: speech(folder / "wav", name, 8, 8) for name in ("de", "fr")}
    heard = {name: speech(folder / "dev", name, 3, 4, seed=1) for name in ("de", "fr")}
    train = manifest(folder / "train.jsonl", [u for own in spoken.values() for u in own])
    dev = manifest(folder / "dev.jsonl", [u for own in heard.values() for u in own])
    assert run("train", "--train", train, "--dev", dev, "--keep_judged", 10, "--out", folder / "base", *TINY) == 0
    new, further, more = (
        speech(folder / "new", name, 16, 12, seed) for name, seed in (("mk", 3), ("el", 4), ("de", 5))
    )
    others = {
        "new": new,
        "further": further,
        "more": more,
        "grown": [replace(u, text=u.text.replace("ace", "acé")) for u in more],
        "english": [replace(u, language="en") for u in more],
    }
    return Languages(folder / "base", train, **{n: manifest(folder / f"{n}.jsonl", own) for n, own in others.items()})


def learn(model: Path, data: Path, out: Path, *options: object) -> Ran:
    """Run `learn`, which must succeed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run("learn", "--model", model, "--data", data, "--out", out, *QUICK, *options) == 0
    return Ran(out, printed.getvalue())
