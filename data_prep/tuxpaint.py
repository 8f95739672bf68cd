"""Prepares Tux Paint stamps: captions of pictures, read aloud in many languages, nine of them for most pictures.

Layout: `NAME.txt` holds the English caption in its first line and then `XX.utf8=caption` for every language;
`NAME_desc_XX.ogg` is the caption read aloud. Captions were rewritten after they had been recorded, and some recordings
are of something shorter, so that what is said too fast or too slowly for its text is left out.

The stamps lie in a Debian package (`asr-transfer fetch tuxpaint`). GPL-2 or later. https://tuxpaint.org
"""

from __future__ import annotations

import re
from pathlib import Path

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from data_prep.by_text import Gathering, iso, plain_text, variety
from data_prep.common import existing_folder, read_lines, require_language, walk
from data_prep.quality import repeated_audio
from data_prep.registry import Corpus, Packages, Use
from data_prep.transcripts import main_script, spoken, usual_seconds

FASTER = 1.7
"""How many times as fast as a caption of its length is usually read one may be; beyond that stand, in Catalan, "la
lletra v" in 0.4 seconds and long captions in one."""

_CAPTION = re.compile(r"(?P<language>[\w@]+)\.utf8=(?P<text>.*)")
_RECORDING = re.compile(r".*_desc_(?P<language>[a-z]{2,3}(?:_[A-Z]{2})?(?:@\w+)?)\.ogg")


def prepare(root: Path, out: Path, language: str = "fr") -> None:
    """Write manifests of Tux Paint's captions: `train`, `dev` and `test` have no text in common.

    The texts are in lower case without punctuation. Who speaks is not documented; a language counts as one speaker.

    Args:
        root: the folder that holds the stamps, at any depth.
        out: folder for the manifests.
        language: code of the language in the names of the recordings, such as fr or ca; any that is there.

    Raises:
        DataError: there is no such folder, or it holds no captions read in the language; those that are there are
            named.
    """
    existing_folder(root, "Tux Paint's stamps")
    ending = f"_desc_{language}.ogg"
    files = [file for file in walk(root) if file.name.endswith(ending)]
    if not files:
        require_language(root, language, languages(root))
        raise DataError(f"{root}: holds no NAME{ending}; get the stamps with `asr-transfer fetch tuxpaint`.")
    found = Gathering(variety(language, lambda: languages(root)), prefix=f"tuxpaint-{language}/")
    captions = {file: _caption(file.with_name(file.name.removesuffix(ending) + ".txt"), language) for file in files}
    script = main_script(captions.values())
    names = {file: file.relative_to(root).as_posix().rpartition("stamps/")[2].removesuffix(ending) for file in files}
    doubted = repeated_audio([u for file in files if (u := _listen(names[file], file, captions[file], language))])
    usable: dict[str, tuple[Path, str, float]] = {}
    for file, name in names.items():
        text, defect = plain_text(captions[file], script, found.language)
        defect = doubted.get(name, defect) if captions[file] else "no caption belongs to it"
        if defect is None:
            try:
                usable[name] = file, text, audio.probe(file).duration
                continue
            except DataError as error:
                defect = str(error)
        found.leave(name, defect, text)
    usual = usual_seconds([(len(text), seconds) for _, text, seconds in usable.values()])
    for name, (file, text, seconds) in usable.items():
        if seconds < (usual[0] + usual[1] * len(text)) / FASTER:
            found.leave(name, f"more than {FASTER} times as fast as is usual for a caption of its length", text)
        else:
            found.take(name, file, text, f"tuxpaint-{language}")
    found.write(out)


def languages(root: Path) -> set[str]:
    """Return the codes of the languages that captions below a folder are read in."""
    return {match["language"] for file in walk(root) if (match := _RECORDING.fullmatch(file.name))}


def _listen(name: str, file: Path, caption: str, language: str) -> Utterance | None:
    """Return a stamp's recording with its caption, None where it cannot be read; defects of the text do not matter."""
    try:
        seconds, text = audio.probe(file).duration, spoken(caption, iso(language))
        return Utterance(name, str(file), seconds, text, f"tuxpaint-{language}", iso(language))
    except DataError:
        return None


def _caption(file: Path, language: str) -> str:
    """Return the caption of a stamp, empty where there is none in the language."""
    if not file.is_file():
        return ""
    captions = (_CAPTION.fullmatch(line.strip()) for line in read_lines(file))
    return next((match["text"] for match in captions if match and match["language"] == language), "")


_CHECKSUMS = {
    "tuxpaint-stamps-default_2022.06.04-1": "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"
}

CORPUS = Corpus(
    "tuxpaint",
    prepare,
    ("be", "bg", "ca", "da", "el", "es", "fr", "ro", "ru"),
    languages,
    packages={
        "tuxpaint": Packages(
            ("tuxpaint-stamps-default",),
            "GNU General Public License, version 2 or later (2002-2022, Bill Kendrick and contributors)",
            _CHECKSUMS,
        )
    },
    use=Use("source", cost=2),
)
