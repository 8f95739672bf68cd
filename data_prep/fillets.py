"""Prepares Fish Fillets NG: dialogues of a puzzle game in Czech or Dutch, two main voices, about 100 minutes a
language.

Layout, below the game's folder: `script/LEVEL/dialogs_LANG.lua` holds `dialogId("KEY", "FONT", "English text")` and
behind it `dialogStr("text")`; `sound/LEVEL/LANG/KEY.ogg` is the recording. What several levels share lies in
`script/share` and `sound/share/TOPIC/LANG`. The font tells who speaks: the small fish (a woman) has `font_small`, the
big fish (a man) `font_big`; statues, vikings and others have fonts of their own.

The game lies in Debian packages (`asr-transfer fetch fillets-cs`, `fillets-nl`). GPL-2. https://fillets.sourceforge.net
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from data_prep.by_text import iso, variety
from data_prep.common import existing_folder, read_lines, require_language, walk
from data_prep.quality import write_checked
from data_prep.registry import Corpus, Packages, Use
from data_prep.transcripts import rate_defect, spoken, text_defect

PACKED = ("cs", "nl")
"""Languages that Debian has in packages."""

TRAIN_VOICE, TEST_VOICE = "big", "small"
"""The fish to train on, some of whose levels are `dev`, and the fish to adapt to: one speaker each."""

DEV_SHARE = 6
"""One level in so many is `dev`: whole levels, so that no dialogue is split between `train` and `dev`."""

LATER_LEVELS = {"cs": ("fdto", "hanoi", "hole", "keys", "linux", "nowall", "rush")}
"""Levels recorded apart from the rest (44.1 kHz instead of 22.05), by people who sound like others than the two
main voices: the pitch of both fish lies 18 % lower. Their fish are speakers of their own, `big-later` and
`small-later`."""

_STRING = r'"((?:[^"\\]|\\.)*)"'
_DIALOGUE = re.compile(
    rf"^[ \t]*dialogId\(\s*{_STRING}\s*,\s*{_STRING}\s*,\s*{_STRING}\s*\)\s*^[ \t]*dialogStr\(\s*{_STRING}\s*\)",
    re.MULTILINE,
)
_TEXTS = re.compile(r".*dialogs_([a-z]{2,3}(?:_[A-Z]{2})?)\.lua")
_ESCAPE = re.compile(r"\\(.)")


def prepare(root: Path, out: Path, language: str = "cs") -> None:
    """Write manifests of the game's dialogues: `train` and `dev` are the big fish, `test` the small, `others` the rest.

    Speakers are voices, named by their font. The texts are in lower case without punctuation.

    Args:
        root: the folder that holds the game's `script` and `sound`, or a folder above it.
        out: folder for the manifests.
        language: code of the language in the game's folders, such as cs or nl; any that has speech.

    Raises:
        DataError: there is no such folder, or it holds no texts or no speech of the language.
    """
    game = _find(root)
    texts = _read_texts(game / "script", language)
    files = [file for file in walk(game / "sound") if file.suffix == ".ogg" and file.parent.name == language]
    if not texts or not files:
        fetch = f"get the game with `asr-transfer fetch fillets-{language}`" if language in PACKED else ""
        require_language(root, language, languages(root), fetch)
        what = "texts (`script/*/dialogs_" if not texts else "speech (`sound/*/"
        raise DataError(f"{game}: holds no {what}{language}…`); {fetch or 'give the whole game'}.")
    spoken_in = variety(language, lambda: languages(root))
    splits: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": [], "others": []}
    left_out: dict[str, list[tuple[str, str]]] = {split: [] for split in splits}
    for file in files:
        level = file.parent.parent.relative_to(game / "sound").as_posix()
        voice, text = texts.get((level.split("/")[0], file.stem), ("", ""))
        if voice in (TRAIN_VOICE, TEST_VOICE) and level in LATER_LEVELS.get(language, ()):
            voice += "-later"
        split = _split(voice, level)
        name = f"fillets-{language}/{level}/{file.stem}"
        defect, duration = _listen(file, text) if voice else ("no text belongs to it", 0.0)
        if defect is not None:
            left_out[split].append((name, defect))
        else:
            splits[split].append(Utterance(name, str(file), duration, text, voice, spoken_in))
    if not splits["others"]:
        left_out["train"] += left_out.pop("others")
        del splits["others"]
    write_checked(splits, out, left_out)


def languages(root: Path) -> set[str]:
    """Return the codes of the languages that have both texts and speech.

    Raises:
        DataError: there is no such folder, or it holds no game.
    """
    game = _find(root)
    speech = {file.parent.name for file in walk(game / "sound") if file.suffix == ".ogg"}
    codes = {name[1] for file in walk(game / "script") if (name := _TEXTS.fullmatch(file.name))} & speech
    return {code for code in codes if _read_texts(game / "script", code)}


def _find(root: Path) -> Path:
    """Return the folder that holds `script` and `sound`."""
    existing_folder(root, "the game's `script` and `sound`")
    for folder in (root, *(found.parent for found in walk(root) if found.name == "script" and found.is_dir())):
        if (folder / "script").is_dir() and (folder / "sound").is_dir():
            return folder
    raise DataError(f"{root}: holds no game with `script` and `sound`; get it with `asr-transfer fetch fillets-cs`.")


def _read_texts(scripts: Path, language: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return voice and text by level and key; what levels share has the level `share`."""
    texts: dict[tuple[str, str], tuple[str, str]] = {}
    for file in (file for file in walk(scripts) if file.name.endswith(f"dialogs_{language}.lua")):
        level = file.parent.relative_to(scripts).as_posix().split("/")[0]
        for key, font, _, text in _DIALOGUE.findall("\n".join(read_lines(file))):
            voice = font.removeprefix("font_") or "unnamed"
            texts.setdefault((level, key), (voice, spoken(_ESCAPE.sub(_unescaped, text), iso(language))))
    return texts


def _unescaped(match: re.Match[str]) -> str:
    return " " if match[1] in "nrt" else match[1]


def _split(voice: str, level: str) -> str:
    if voice == TEST_VOICE:
        return "test"
    if voice != TRAIN_VOICE:
        return "others"
    return "dev" if zlib.crc32(level.encode()) % DEV_SHARE == 0 else "train"


def _listen(file: Path, text: str) -> tuple[str | None, float]:
    """Return why a recording cannot be used, or None and its seconds."""
    if defect := text_defect(text):
        return defect, 0.0
    try:
        duration = audio.probe(file).duration
    except DataError as error:
        return str(error), 0.0
    return rate_defect(text, duration), duration


_LICENCE = "GNU General Public License, version 2 (sounds and texts of Fish Fillets NG)"
_CHECKSUMS = {
    "fillets-ng-data_1.0.1-1.1": "25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84",
    "fillets-ng-data-cs_1.0.1-1.1": "3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14",
    "fillets-ng-data-nl_1.0.1-1.1": "afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10",
}

CORPUS = Corpus(
    "fillets",
    prepare,
    PACKED,
    languages,
    packages={
        f"fillets-{code}": Packages(("fillets-ng-data", f"fillets-ng-data-{code}"), _LICENCE, _CHECKSUMS)
        for code in PACKED
    },
    # The test split is a second voice, with which a source language is better served than another experiment.
    use=Use("source", {"cs": (("train", "test", "others"), "dev"), "nl": (("train", "test"), "dev")}, cost=3),
)
