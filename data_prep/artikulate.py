"""Prepares KDE Artikulate: courses of words and phrases, one native voice per language, read in single recordings.

Layout: `XX/XX.xml` with `phrase` elements, whose `text` is read in the file that `soundFile` names; the file's suffix
may be another than the one named there. Many phrases of a course have no recording. The Greek course is called `gr`.

https://invent.kde.org/education/artikulate-data (CC BY-SA 3.0)
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from asr_transfer.errors import DataError
from data_prep.by_text import Gathering, recording, variety
from data_prep.common import existing_folder, require_language
from data_prep.registry import Corpus, Use
from data_prep.transcripts import main_script

FOLDERS = {"el": "gr"}
"""The course's folder by language, where it is not called by the language's code."""


def prepare(root: Path, out: Path, language: str = "pl") -> None:
    """Write manifests of an Artikulate course: `train`, `dev` and `test` have no text in common.

    The texts are in lower case without punctuation. Letters of the alphabet are left out: their names are said.

    Args:
        root: the folder of courses (`pl`, `gr`, `fr`, …), or one course's folder.
        out: folder for the manifests.
        language: code of the language, such as pl, fr or el (Greek); any that has a course.

    Raises:
        DataError: there is no such folder or course, which says what courses are there, or the course is not XML.
    """
    course = _find(root, language)
    found = Gathering(variety(language, lambda: languages(root)), prefix=f"artikulate-{language}/")
    phrases = _phrases(course)
    script = main_script(phrase.findtext("text") or "" for phrase in phrases)
    recorded = 0
    for phrase in phrases:
        sound = (phrase.findtext("soundFile") or "").strip()
        file = recording(course.parent, Path(sound).stem) if sound else None
        if file is None:
            continue
        recorded += 1
        written = " ".join((phrase.findtext("text") or "").split())
        letter = "the text is a letter, whose name is said" if len(written) == 1 and written.isupper() else None
        found.hear(file.stem, file, written, f"artikulate-{language}", script=script, defect=letter)
    if not recorded:
        raise DataError(f"{course.parent}: holds no recording that {course.name} names; put its sound files there.")
    found.write(out)


def languages(root: Path) -> set[str]:
    """Return the codes of the languages that have courses in a folder, or of the one whose course it is."""
    files = [file for file in (*root.glob("*/*.xml"), root / f"{root.name}.xml") if file.stem == file.parent.name]
    codes = {folder: code for code, folder in FOLDERS.items()}
    return {codes.get(file.stem, file.stem) for file in files if file.is_file()}


def _find(root: Path, language: str) -> Path:
    existing_folder(root, "Artikulate's courses")
    folder = FOLDERS.get(language, language)
    for course in (root / folder / f"{folder}.xml", root / f"{folder}.xml"):
        if course.is_file():
            return course
    require_language(root, language, languages(root))
    raise DataError(f"{root}: holds no course `{folder}/{folder}.xml`; give the folder of Artikulate's courses.")


def _phrases(course: Path) -> list[ElementTree.Element]:
    try:
        return ElementTree.fromstring(course.read_bytes()).findall(".//phrase")
    except ElementTree.ParseError as error:
        raise DataError(f"{course} line {error.position[0]}: is not XML; copy the course again.") from None
    except OSError as error:
        raise DataError(f"{course}: cannot be read ({error.strerror}); correct its permissions.") from None


CORPUS = Corpus(
    "artikulate",
    prepare,
    ("pl", "el", "fr"),
    languages,
    page="https://invent.kde.org/education/artikulate-data",
    licence="CC BY-SA 3.0 (KDE's Artikulate courses)",
    use=Use("source"),
)
