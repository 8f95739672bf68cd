"""Prepares GCompris voices: single words of many languages, one voice each.

Layout: `content-XX.json` maps `NAME.ogg` to the word, `XX/words/NAME.ogg` is the recording (its suffix may be another
one). German words carry their article, and it is spoken.

https://gcompris.net (per file GPL-3 or CC BY-SA: its LICENSE says which)
"""

from __future__ import annotations

import json
from pathlib import Path

from asr_transfer.errors import DataError
from data_prep.by_text import Gathering, recording, variety
from data_prep.common import existing_folder, read_lines, require_language
from data_prep.registry import Corpus, Use
from data_prep.transcripts import main_script


def prepare(root: Path, out: Path, language: str = "de") -> None:
    """Write manifests of GCompris's words: `train`, `dev` and `test` have no text in common.

    The texts are in lower case without punctuation.

    Args:
        root: the folder that holds `content-XX.json` and `XX/words`.
        out: folder for the manifests.
        language: code of the language in `content-XX.json`, such as de, es or pt_BR; any that is there.

    Raises:
        DataError: there is no such folder, or it holds no words in the language; those that are there are named.
    """
    existing_folder(root, f"GCompris's `content-{language}.json` and `{language}/words`")
    require_language(root, language, languages(root))
    folder = existing_folder(root / language / "words", f"GCompris's words, `{language}/words/NAME.ogg`")
    found = Gathering(variety(language, lambda: languages(root)), prefix=f"gcompris-{language}/")
    texts = _texts(root / f"content-{language}.json")
    script = main_script(texts.values())
    recorded = {Path(name).stem: file for name in texts if (file := recording(folder, Path(name).stem))}
    if not recorded:
        raise DataError(f"{folder}: holds no recording of a word that content-{language}.json names.")
    for name, written in sorted(texts.items()):
        stem = Path(name).stem
        if stem in recorded:
            found.hear(stem, recorded[stem], written, f"gcompris-{language}", script=script)
    found.write(out)


def languages(root: Path) -> set[str]:
    """Return the codes of the languages that have words and recordings in a folder."""
    codes = {file.stem.removeprefix("content-") for file in root.glob("content-*.json")}
    return {code for code in codes if (root / code / "words").is_dir()}


def _texts(file: Path) -> dict[str, str]:
    """Return the words by the names of their recordings."""
    try:
        content = json.loads("\n".join(read_lines(file)))
    except json.JSONDecodeError as error:
        raise DataError(f"{file} line {error.lineno}: is not JSON ({error.msg}); copy the file again.") from None
    if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
        raise DataError(f"{file}: must map the names of recordings to their words; copy the file again.")
    return content


CORPUS = Corpus(
    "gcompris",
    prepare,
    ("de", "es", "ro"),
    languages,
    page="GCompris's voices (https://gcompris.net)",
    licence="per file GPL-3 or CC BY-SA, as its LICENSE says",
    folder="gcompris-voices",
    use=Use("source"),
)
