"""Finds the speech of the experiment on a speaker never heard: syllables to test on, and further speakers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asr_transfer.errors import DataError
from asr_transfer.experiments.languages.new_speaker import SYLLABLES, write_syllables
from asr_transfer.experiments.languages.points import Corpora
from data_prep import multilingual
from data_prep.multilingual import SOURCE_SPLITS, TEST_SETS


def find_speakers(
    found: multilingual.Corpora, out: Path, speech: Path | None = None, develop: bool = False
) -> tuple[Corpora, dict[str, str]]:
    """Return the experiment's corpora and the manifests of further speakers.

    Args:
        found: Folders of manifests of all corpora that are there.
        out: Folder for the syllables' manifest and lexicon.
        speech: Folder of the corpora as they were distributed, for messages.
        develop: Whether to test on the woman of gcin-voice instead of the syllables, with the man alone as further
            speaker.

    Raises:
        DataError: the words or gcin-voice's syllables are absent.
    """
    for name, what in (("hsk", "the words and syllables"), ("gcin", "the further speakers")):
        if name not in found.targets:
            raise DataError(f"{what} are absent; {multilingual.TARGETS[name].how_to_get(speech)}.")
    known = {name: folder for name, folder in found.targets.items() if name in TEST_SETS}
    corpora = Corpora.from_folders(found.sources, known, TEST_SETS, SOURCE_SPLITS)
    man, woman = (found.manifest("gcin", split) for split in ("train", "test"))
    taught = [Path(path) for path in corpora.train.values()]
    test = woman if develop else found.manifest("hsk", "syllables")
    legal = [*taught, man] + ([] if develop else [woman])
    manifest, lexicon = write_syllables(test, legal, taught, out)
    words = {name: path for name, path in corpora.tests.items() if name == "words"}
    further = {"man": str(man)} if develop else {"man": str(man), "woman": str(woman)}
    tested = replace(corpora, tests={SYLLABLES: str(manifest), **words}, lexica={SYLLABLES: str(lexicon)})
    return tested, further
