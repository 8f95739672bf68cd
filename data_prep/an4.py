"""Prepares CMU AN4 (Carnegie Mellon's "alphanumeric" database): spelled names, dates, commands, 84 speakers.

Layout: `etc/an4_{train,test}.fileids` lists files below `wav/` without suffix, `etc/an4_{train,test}.transcription`
holds `TRANSCRIPT (id)` per line. http://www.speech.cs.cmu.edu/databases/an4/
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from data_prep.common import existing_folder, read_lines
from data_prep.quality import write_checked
from data_prep.registry import Corpus, Use

_SUFFIXES = (".flac", ".wav", ".sph")
_TRANSCRIPTION = re.compile(r"(?P<words>.*?)\s*\((?P<id>[^()\s]+)\)\s*")
_MARKER = re.compile(r"<[^>]*>|\+\+.*\+\+|\[.*\]|SIL", re.IGNORECASE)
_VARIANT = re.compile(r"\(\d+\)$")
"""`A(2)` names the second pronunciation of `A` in the dictionary; the word is still `A`."""


def prepare(root: Path, out: Path) -> None:
    """Write `train.jsonl` and `test.jsonl` for the AN4 corpus, with its official split.

    Args:
        root: the corpus folder, which holds `etc` and `wav` (audio as .flac, .wav or .sph).
        out: folder for the manifests.

    Raises:
        DataError: the folder is not laid out like AN4, a line cannot be parsed, a file has no transcript or no
            audio, or a speaker occurs in both splits.
    """
    existing_folder(root, "AN4's `etc` and `wav`")
    for name in ("etc", "wav"):
        if not (root / name).is_dir():
            raise DataError(f"{root}: holds no folder `{name}`; give the AN4 folder, which holds `etc` and `wav`.")
    splits = {split: _read_split(root, split) for split in ("train", "test")}
    speakers = {split: {utterance.speaker for utterance in splits[split]} for split in splits}
    shared = sorted(speakers["train"] & speakers["test"])
    if shared:
        raise DataError(
            f"{root / 'etc'}: the speakers {', '.join(shared)} occur in an4_train.fileids and in an4_test.fileids; "
            "AN4's test speakers are unseen in training, restore the original lists."
        )
    write_checked(splits, out)


def _read_split(root: Path, split: str) -> list[Utterance]:
    list_file = root / "etc" / f"an4_{split}.fileids"
    text_file = root / "etc" / f"an4_{split}.transcription"
    for file in (list_file, text_file):
        if not file.is_file():
            raise DataError(f"{file}: there is no such file; AN4 keeps its lists and transcripts there.")
    texts = _read_transcription(text_file)
    utterances: list[Utterance] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(read_lines(list_file), start=1):
        entry = PurePosixPath(line.strip())
        if not line.strip():
            continue
        where = f"{list_file} line {number}"
        if len(entry.parts) < 2 or entry.is_absolute() or ".." in entry.parts:
            raise DataError(f"{where}: '{line.strip()}' is not of the form folder/speaker/id; mend or remove the line.")
        if entry.name in line_of:
            raise DataError(f"{where}: id '{entry.name}' is already on line {line_of[entry.name]}; remove one of them.")
        line_of[entry.name] = number
        if entry.name not in texts:
            raise DataError(
                f"{where}: id '{entry.name}' has no transcript in {text_file.name}; add it or remove the line."
            )
        file = _audio_file(root / "wav" / entry, where)
        try:
            duration = audio.probe(file).duration
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        utterances.append(
            Utterance(entry.name, str(file), duration, texts[entry.name], speaker=entry.parent.name, language="en")
        )
    unlisted = len(texts.keys() - line_of.keys())
    if unlisted:
        print(f"{text_file.name}: {unlisted} transcripts belong to no line of {list_file.name} and are left out")
    return utterances


def _read_transcription(file: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        match = _TRANSCRIPTION.fullmatch(line)
        if match is None:
            raise DataError(f"{file} line {number}: is not of the form `TRANSCRIPT (id)`; mend or remove the line.")
        name = match["id"]
        if name in texts:
            raise DataError(
                f"{file} line {number}: id '{name}' has its transcript on line {line_of[name]} already; remove one."
            )
        line_of[name] = number
        texts[name] = _clean(match["words"])
    return texts


def _clean(words: str) -> str:
    spoken = [word for word in words.split() if not _MARKER.fullmatch(word)]
    return " ".join(_VARIANT.sub("", word) for word in spoken).lower()


def _audio_file(stem: Path, where: str) -> Path:
    for suffix in _SUFFIXES:
        file = stem.with_name(stem.name + suffix)
        if file.is_file():
            return file
    if stem.with_name(stem.name + ".raw").is_file():
        raise DataError(
            f"{where}: {stem}.raw has no header that says its byte order; convert the corpus to WAV or FLAC "
            "(for example `sox -t raw -r 16000 -e signed -b 16 -B in.raw out.wav` for its big-endian edition)."
        )
    raise DataError(
        f"{where}: there is no audio {stem} with one of the suffixes {', '.join(_SUFFIXES)}; "
        "unpack the corpus completely or remove the line."
    )


CORPUS = Corpus(
    "an4",
    prepare,
    ("en",),
    splits=("train", "test"),
    page="AN4 (http://www.speech.cs.cmu.edu/databases/an4)",
    licence="BSD-like (CMU AN4)",
    holds="etc",
    use=Use("source", {"en": (("train",), "test")}),
)
