"""Prepares the Free Spoken Digit Dataset: isolated English digits, `recordings/{digit}_{speaker}_{n}.wav`.

The originals are 8 kHz WAV files. https://github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0)
"""

from __future__ import annotations

import re
from pathlib import Path

from asr_transfer import audio, recording_file
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from data_prep.common import existing_folder
from data_prep.quality import write_checked
from data_prep.recordings import ENDINGS
from data_prep.registry import Corpus

PRONUNCIATIONS = {
    "zero": "z ih r ow",
    "one": "w ah n",
    "two": "t uw",
    "three": "th r iy",
    "four": "f ao r",
    "five": "f ay v",
    "six": "s ih k s",
    "seven": "s eh v ah n",
    "eight": "ey t",
    "nine": "n ay n",
}
"""The ten words in the order of their digits, in the CMU dictionary's phones without stress."""

_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[^_]+)_(?P<take>[0-9]+)")


def prepare(root: Path, out: Path) -> None:
    """Write `all.jsonl` for the Free Spoken Digit Dataset; the transcript is the digit's English word.

    Args:
        root: the folder that holds `recordings`, or `recordings` itself (audio as .wav, .flac or .opus).
        out: folder for the manifest.

    Raises:
        DataError: there is no such folder or it holds no recording named `{digit}_{speaker}_{n}`.
    """
    existing_folder(root, "the Free Spoken Digit Dataset's `recordings`")
    folder = root / "recordings" if (root / "recordings").is_dir() else root
    utterances: list[Utterance] = []
    left_out: list[tuple[str, str]] = []
    seen: set[str] = set()
    files = [
        file for file in folder.iterdir() if recording_file.readable(file.suffix) and not file.name.startswith(".")
    ]
    for file in sorted(files, key=_natural):
        match = _NAME.fullmatch(file.stem)
        if match is None:
            left_out.append((file.name, "the name is not {digit}_{speaker}_{n}"))
            continue
        if file.stem in seen:
            left_out.append((file.name, "the same recording is there under another suffix"))
            continue
        seen.add(file.stem)
        try:
            duration = audio.probe(file).duration
        except DataError as error:
            left_out.append((file.stem, str(error)))
            continue
        text, pronunciation = list(PRONUNCIATIONS.items())[int(match["digit"])]
        utterances.append(
            Utterance(file.stem, str(file), duration, text, match["speaker"], "en", pronunciation=pronunciation)
        )
    if not utterances:
        raise DataError(
            f"{folder}: holds no usable recording named {{digit}}_{{speaker}}_{{n}} ({ENDINGS}); "
            f"give `recordings` of the Free Spoken Digit Dataset or the folder above it."
        )
    write_checked({"all": utterances}, out, {"all": left_out}, fits_ctc=False)


def _natural(file: Path) -> tuple[str, int, str]:
    """Sort take 10 after take 9."""
    head, _, take = file.stem.rpartition("_")
    return head, int(take) if take.isdecimal() else -1, file.name


CORPUS = Corpus(
    "fsdd",
    prepare,
    ("en",),
    splits=("all",),
    page="the Free Spoken Digit Dataset (https://github.com/Jakobovski/free-spoken-digit-dataset)",
    licence="CC BY-SA 4.0 (Free Spoken Digit Dataset)",
)
