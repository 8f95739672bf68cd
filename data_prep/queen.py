"""Prepares Flight of the Amazon Queen (1995): dialogues of an adventure game, English, 31 characters, 171 minutes.

Acted speech with its script: one clip per phrase, 11 kHz MP3. The game is freeware and lies in a Debian package
(`asr-transfer fetch queen`). It credits its actors, and some play several characters, so splits are made by actor: no
voice of `dev` or `test` occurs in `train`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from data_prep.common import existing_folder, walk, write_audio
from data_prep.quality import write_checked
from data_prep.queen_format import JOE, Clip, DataFile
from data_prep.registry import Corpus, Packages, Use
from data_prep.transcripts import rate_defect, spoken, text_defect

DATA_FILE = "queen.1c"
HERO = "joe"

CHARACTERS = {
    "AND": "anderson",
    "APE": "gorilla",
    "BOB": "trader-bob",
    "BUD": "bud",
    "CHEF": "chef",
    "CHIEF": "pygmy-chief",
    "DEATH": "charon",
    "DOG": "guard-dog",
    "FAYE": "faye",
    "FRANK": "frank",
    "HENRY": "henry",
    "IAN": "ian",
    "JIM": "jimmy",
    "JOHN": "john",
    "KLUNK": "klunk",
    "LARIS": "laris",
    "LOLA": "lola",
    "LOU": "skip",
    "MAN1": "prisoner",
    "MAN2": "ernie",
    "NAOMI": "naomi",
    "ORACLE": "temple-guardian",
    "PRIN": "azura",
    "SEC": "secretary",
    "SHOWERAM": "showering-amazon",
    "SPARKY": "sparky",
    "TALLPYG": "tall-pygmy",
    "TAM": "mary-lou",
    "WEDGE": "wedgewood",
    "WITCH": "witch-doctor",
    "ZOMBIE": "zombie-woman",
}
"""Who Joe talks with, by the name of the dialogue, its number left out where all numbers are the same person."""

ACTORS = {
    "Brad Lavelle": ("joe",),
    "Tom Hill": ("sparky", "jimmy", "gorilla", "skip", "prisoner", "wedgewood", "guard-dog"),
    "Bill Hootkins": ("frank", "laris", "bud", "john", "chef", "ernie"),
    "Enn Reitel": ("anderson", "henry", "charon"),
    "Mike Hurley": ("klunk",),
    "Penelope Keith": ("temple-guardian",),
    "Jon Coleman": ("trader-bob",),
    "Debbie Arnold": ("azura", "lola", "showering-amazon"),
    "Barry James": ("ian", "pygmy-chief"),
    "Lisa Valdez": ("faye",),
    "Jessica Martin": ("naomi", "secretary", "zombie-woman"),
    "Regina Reagan": ("mary-lou", "witch-doctor"),
}
"""The credits at the game's end. They give Lola and Klunk to two actors each; the one whose other voices sound alike
(mean cepstrum) is named here, and Lola's other actor is kept out of `train` as well."""

SPLIT_OF_ACTOR = {
    "Regina Reagan": "dev",
    "Mike Hurley": "dev",
    "Jon Coleman": "test",
    "Barry James": "test",
    "Lisa Valdez": "test",
    "Debbie Arnold": "test",
    "Penelope Keith": "test",
}
"""Held-out actors; everyone else is in `train`.

Minutes prepared: `test` 31.3 (trader-bob 10.2, faye 5.4, pygmy-chief 5.3, temple-guardian 4.3, azura 2.5, ian 1.9,
lola 1.2, showering-amazon 0.6), `dev` 20.9 (witch-doctor 8.1, mary-lou 7.9, klunk 4.8), `train` 114.9 (joe 50.5)."""

WORDLESS = {"APE": "an ape's noises and mock language", "DOG": "a dog's barking", "CHIEF4": "mock language"}
"""Dialogues without English words."""


def prepare(root: Path, out: Path) -> None:
    """Write `train.jsonl`, `dev.jsonl` and `test.jsonl` of the game's dialogues, and their audio as 16 kHz FLAC.

    Speakers are characters. The texts are in lower case without punctuation.

    Args:
        root: the folder that holds `queen.1c`, at any depth, or that file.
        out: folder for the manifests and for `audio/CHARACTER/CLIP.flac`.

    Raises:
        DataError: there is no such file, it is another edition or damaged, or `out` cannot be written.
    """
    data = DataFile(_find(root))
    splits: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    left_out: dict[str, list[tuple[str, str]]] = {split: [] for split in splits}
    with tempfile.TemporaryDirectory() as scratch:
        for clip in data.clips():
            character = character_of(clip)
            split = split_of(character)
            text = spoken(clip.text.replace("^_", ""))  # a trade mark sign in the game's own alphabet
            defect = _defect(clip, text)
            if defect is None:
                samples, defect = _decode(data, clip, Path(scratch) / "clip")
                duration = len(samples) / audio.SAMPLE_RATE
                defect = defect or rate_defect(text, duration)
            if defect is not None:
                left_out[split].append((clip.sound, defect))
                continue
            file = out / "audio" / character / f"{clip.sound}.flac"
            write_audio(file, samples)
            splits[split].append(Utterance(clip.sound, str(file), duration, text, character, "en"))
    write_checked(splits, out, left_out)


def character_of(clip: Clip) -> str:
    """Return who speaks a clip.

    Raises:
        DataError: the dialogue is not one of the game's.
    """
    if clip.who == JOE:
        return HERO
    for name in (clip.dialogue, clip.dialogue.rstrip("0123456789")):
        if name in CHARACTERS:
            return CHARACTERS[name]
    raise DataError(f"{DATA_FILE}: holds the dialogue {clip.dialogue}.DOG, which is none of the original game's.")


def split_of(character: str, splits: Mapping[str, str] = SPLIT_OF_ACTOR) -> str:
    """Return the split of a character: that of its actor."""
    return next((splits[actor] for actor, roles in ACTORS.items() if character in roles and actor in splits), "train")


def _find(root: Path) -> Path:
    if root.is_file():
        return root
    found = [file for file in walk(existing_folder(root, f"the game's {DATA_FILE}")) if file.name == DATA_FILE]
    if not found:
        raise DataError(f"{root}: holds no {DATA_FILE}; get the game with `asr-transfer fetch queen`.")
    return found[0]


def _defect(clip: Clip, text: str) -> str | None:
    if clip.who != JOE and clip.dialogue in WORDLESS:
        return WORDLESS[clip.dialogue]
    if clip.text.startswith(("<", "(")):
        return "the text describes a sound"
    return text_defect(text)


def _decode(data: DataFile, clip: Clip, scratch: Path) -> tuple[np.ndarray, str | None]:
    """Return the samples of a clip at the toolkit's rate, or why there are none."""
    scratch.write_bytes(data.read(f"{clip.sound}.SB"))
    try:
        return audio.read(scratch), None
    except DataError as error:
        return np.zeros(0, np.float32), str(error).replace(str(scratch), f"{clip.sound}.SB")


_CHECKSUMS = {"flight-of-the-amazon-queen_1.0.0-9": "40c08fd258d6fe95c46c1eaf5e9137f84ba330657995a281bd887c94a560a0f1"}

CORPUS = Corpus(
    "queen",
    prepare,
    ("en",),
    packages={
        "queen": Packages(
            ("flight-of-the-amazon-queen",),
            "freeware licence of Flight of the Amazon Queen (1995, John Passfield and Steven Stamatiadis): free to "
            "distribute with its readme, not to be sold by itself, changed versions marked as such",
            _CHECKSUMS,
        )
    },
    use=Use("source", cost=10),
)
