"""Prepares TORGO: English by eight speakers with dysarthria and seven without, words and sentences.

Layout: `SPEAKER/Session1/prompts/0001.txt` and, by microphone, `SPEAKER/Session1/wav_arrayMic/0001.wav` or
`wav_headMic/0001.wav`; the speakers may lie in folders such as `F` and `FC`. A speaker with C in the name (FC01) is a
control. https://www.cs.toronto.edu/~complingweb/data/TORGO/torgo.html (Rudzicz et al. 2012)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from data_prep.by_text import recording
from data_prep.common import existing_folder, read_lines, walk
from data_prep.quality import write_checked
from data_prep.registry import Corpus
from data_prep.transcripts import spoken, text_defect

_SPEAKER = re.compile(r"[FM](C?)\d\d")
_FOLDERS = {"array": "wav_arrayMic", "head": "wav_headMic"}
_IMAGE = re.compile(r"\.(jpe?g|png|gif|bmp)\b|^input/", re.IGNORECASE)


def prepare(root: Path, out: Path, microphone: Literal["array", "head"] = "array") -> None:
    """Write `dysarthric.jsonl` and `control.jsonl` (those that have speakers) for TORGO.

    Prompts in square brackets are instructions, names of images ask for a free description, and "xxx" marks a failed
    recording: none says what is spoken, so these are left out and reported.

    Args:
        root: the folder that holds the speakers, at any depth.
        out: folder for the manifests.
        microphone: array (some distance away) or head (worn).

    Raises:
        DataError: there is no such folder, or no session with prompts in it.
    """
    existing_folder(root, "TORGO's speakers")
    groups: dict[str, list[Utterance]] = {"dysarthric": [], "control": []}
    left_out: dict[str, list[tuple[str, str]]] = {group: [] for group in groups}
    found = False
    for prompts in (found for found in walk(root) if found.match("Session*/prompts")):
        session = prompts.parent
        speaker = session.parent.name
        match = _SPEAKER.fullmatch(speaker)
        if match is None or not prompts.is_dir():
            continue
        found = True
        group = "control" if match[1] else "dysarthric"
        for prompt in sorted(prompts.glob("*.txt")):
            name = f"{speaker}-{session.name}-{prompt.stem}"
            result = _read(prompt, session / _FOLDERS[microphone])
            if isinstance(result, str):
                left_out[group].append((name, result))
            else:
                file, duration, text = result
                groups[group].append(Utterance(name, str(file), duration, text, speaker, "en"))
    if not found:
        raise DataError(
            f"{root}: holds no SPEAKER/Session1/prompts of TORGO (F01, MC02, …); unpack the speakers there."
        )
    splits = {group: utterances for group, utterances in groups.items() if utterances or left_out[group]}
    write_checked(splits, out, left_out)


def _read(prompt: Path, folder: Path) -> tuple[Path, float, str] | str:
    """Return recording, seconds and text, or why the prompt gives no utterance."""
    line = " ".join(" ".join(read_lines(prompt)).split())
    if "[" in line:
        return "the prompt is an instruction"
    if _IMAGE.search(line):
        return "the prompt is an image"
    text = spoken(line)
    if "xxx" in text.split():
        return "the prompt is marked xxx"
    if defect := text_defect(text):
        return defect
    file = recording(folder, prompt.stem)
    if file is None:
        return f"there is no recording in {folder.name}"
    try:
        return file, audio.probe(file).duration, text
    except DataError as error:
        return str(error)


CORPUS = Corpus(
    "torgo",
    prepare,
    ("en",),
    splits=(),
    page="TORGO (https://www.cs.toronto.edu/~complingweb/data/TORGO/torgo.html)",
)
