"""Prepares VoxPopuli: speeches in the European Parliament with transcripts, in 16 languages, with official splits.

Layout, as VoxPopuli's own `get_asr_data` makes it: `transcribed_data/LANG/asr_{train,dev,test}.tsv`, whose header names
`id`, `normalized_text` and `speaker_id` among others, and `transcribed_data/LANG/YEAR/ID.ogg`; YEAR begins the id.

Wang et al., "VoxPopuli: a large-scale multilingual speech corpus for representation learning, semi-supervised learning
and interpretation", ACL 2021. https://github.com/facebookresearch/voxpopuli (CC0)
"""

from __future__ import annotations

from pathlib import Path

from data_prep.by_text import Gathering, recording
from data_prep.common import existing_folder, read_table
from data_prep.registry import Corpus
from data_prep.transcripts import spoken, text_defect

SPLITS = ("train", "dev", "test")
_REQUIRED = ("id", "normalized_text", "speaker_id")


def prepare(root: Path, out: Path) -> None:
    """Write manifests of one language of VoxPopuli in its official splits.

    Texts are the normalised ones. Speakers that the corpus does not name count as one, "voxpopuli-LANG-unknown".

    Args:
        root: `transcribed_data/LANG`; its name says the language.
        out: folder for the manifests.

    Raises:
        DataError: there is no such folder, or a table or a column is missing.
    """
    existing_folder(root, "one language of VoxPopuli: `asr_train.tsv`, `asr_dev.tsv` and `asr_test.tsv`")
    language = root.resolve().name
    found = Gathering(language, dict.fromkeys(SPLITS[1:], 0), prefix=f"voxpopuli-{language}/", one_voice=False)
    for split in SPLITS:
        for row in read_table(root / f"asr_{split}.tsv", _REQUIRED, "VoxPopuli", "transcribed_data/de"):
            name, text = row["id"], spoken(row["normalized_text"], language)
            file = recording(root / name[:4], name)
            defect = text_defect(text, script="")
            if defect is not None or file is None:
                found.leave(name, defect or "no recording belongs to it", split=split)
                continue
            # Most ids of speakers are numbers of the parliament; what is not known is empty or "None".
            who = row["speaker_id"].strip()
            speaker = f"voxpopuli-{language}-unknown" if who in ("", "None") else f"voxpopuli-{who}"
            found.take(name, file, text, speaker, split=split)
    found.write(out)


CORPUS = Corpus("voxpopuli", prepare, page="VoxPopuli (https://github.com/facebookresearch/voxpopuli)")
