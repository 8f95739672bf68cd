"""Prepares Multilingual LibriSpeech: chapters of audiobooks in eight languages, with official splits by speaker.

Layout: `mls_LANGUAGE/{train,dev,test}/transcripts.txt` with lines `ID<TAB>text`, where ID is `SPEAKER_BOOK_NUMBER`, and
`mls_LANGUAGE/{train,dev,test}/audio/SPEAKER/BOOK/ID.flac` (`.opus` in the smaller archives, `mls_LANGUAGE_opus`).

Pratap et al., "MLS: A large-scale multilingual dataset for speech research", Interspeech 2020.
https://www.openslr.org/94 (CC BY 4.0)
"""

from __future__ import annotations

from pathlib import Path

from asr_transfer.errors import DataError, nearest_hint
from data_prep.by_text import Gathering, recording
from data_prep.common import existing_folder, read_lines
from data_prep.registry import Corpus

LANGUAGES = {
    "english": "en",
    "german": "de",
    "dutch": "nl",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "polish": "pl",
}
SPLITS = ("train", "dev", "test")


def prepare(root: Path, out: Path) -> None:
    """Write manifests of one language of Multilingual LibriSpeech in its official splits.

    Args:
        root: `mls_LANGUAGE`, which holds `train`, `dev` and `test`; its name says the language.
        out: folder for the manifests.

    Raises:
        DataError: there is no such folder, its name says no language, or a transcript or line is not as documented.
    """
    existing_folder(root, "one language of Multilingual LibriSpeech: `train`, `dev` and `test`")
    name = root.resolve().name.removeprefix("mls_").removesuffix("_opus")
    if name not in LANGUAGES:
        raise DataError(
            f"{root}: its name is not `mls_LANGUAGE`; give the folder of one language.{nearest_hint(name, LANGUAGES)}"
        )
    language = LANGUAGES[name]
    found = Gathering(language, dict.fromkeys(SPLITS[1:], 0), prefix=f"mls-{language}/", one_voice=False)
    for split in SPLITS:
        texts = existing_folder(root / split, "`transcripts.txt` and `audio`") / "transcripts.txt"
        for number, line in enumerate(read_lines(texts), start=1):
            if not line.strip():
                continue
            key, _, written = line.partition("\t")
            parts = key.strip().split("_")
            if len(parts) != 3 or not written.strip():
                raise DataError(f"{texts} line {number}: is not `SPEAKER_BOOK_NUMBER<TAB>text`; copy the file again.")
            file = recording(root / split / "audio" / parts[0] / parts[1], key.strip())
            found.hear(key, file, written, f"mls-{parts[0]}", split=split)
    found.write(out)


CORPUS = Corpus("mls", prepare, page="Multilingual LibriSpeech (https://www.openslr.org/94)")
