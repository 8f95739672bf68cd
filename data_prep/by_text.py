"""Divides corpora of one voice by text: gathers utterances with what is left out, and makes splits in which no text
recurs.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asr_transfer import audio, recording_file
from asr_transfer.data.manifest import Report, Utterance
from asr_transfer.errors import DataError
from asr_transfer.remarks import remark
from data_prep.quality import write_checked
from data_prep.transcripts import rate_defect, spoken, text_defect

SHARES = {"test": 20, "dev": 10}
"""Percent of all texts by split; the rest is `train`."""

_UNCLEAR = re.compile(r"[()\[\]{}<>/|=+*_\\]")


def split_of(text: str, shares: Mapping[str, int] = SHARES) -> str:
    """Return the split of a text: the CRC-32 of its UTF-8 bytes decides, so it is the same on every machine.

    Args:
        text: text that is said.
        shares: percent of all texts by split, at most 100 together; the rest is `train`.
    """
    bucket = zlib.crc32(text.encode()) % 100
    for split, share in shares.items():
        if bucket < share:
            return split
        bucket -= share
    return "train"


def plain_text(written: str, script: str = "LATIN", language: str = "") -> tuple[str, str | None]:
    """Return what a written text says, in lower case without punctuation, and why it cannot be a transcript or None.

    Args:
        written: the text as the corpus has it.
        script: the first word of the Unicode names of the language's letters.
        language: ISO 639 code, which lower case and marks within words depend on.
    """
    text = spoken(written, language)
    if text and _UNCLEAR.search(written):
        return text, "the text holds brackets or strokes, whose reading is not known"
    return text, text_defect(text, script)


def iso(code: str) -> str:
    """Return the ISO 639 code of a locale such as `pt_BR`."""
    return re.split("[_@-]", code)[0]


def variety(code: str, there: Callable[[], Iterable[str]]) -> str:
    """Return the language of a corpus's speech in a locale, so that two varieties never become one.

    That is the ISO 639 code; where the corpus holds another variety of the same language, a locale keeps its region or
    script behind it, as language tags have it: `pt` and `pt-BR`.

    Args:
        code: Code that the corpus itself has, such as `pt_BR`.
        there: Function that returns the codes of all that the corpus holds.
    """
    own = iso(code)
    if code == own or not [other for other in there() if other != code and iso(other) == own]:
        return own
    tag = re.sub("[_@]", "-", code)
    remark(f"other varieties of '{own}' are there too, so the language of {code} is '{tag}' in the manifests")
    return tag


def recording(folder: Path, name: str) -> Path | None:
    """Return the recording `name` (without suffix) of a folder, whatever it is encoded with, or None."""
    suffixes = recording_file.SUFFIXES + recording_file.DECODER_SUFFIXES
    return next((file for suffix in suffixes if (file := folder / f"{name}{suffix}").is_file()), None)


@dataclass
class Gathering:
    """Utterances of one corpus in splits by text, and by split what was left out and why.

    Attributes:
        language: ISO 639 code of all of them.
        shares: percent of the texts by split, as `split_of` takes them; without any, all is `train`.
        prefix: beginning of every id, such as `asterisk-en/`: ids are unique across corpora and languages.
        one_voice: no text may be in two splits, as `quality.check` takes it.
    """

    language: str
    shares: Mapping[str, int] = field(default_factory=lambda: dict(SHARES))
    prefix: str = ""
    one_voice: bool = True
    splits: dict[str, list[Utterance]] = field(default_factory=dict)
    left_out: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for split in ("train", "dev", "test"):
            if split == "train" or split in self.shares:
                self.splits[split], self.left_out[split] = [], []

    def leave(self, name: str, reason: str, text: str = "", split: str | None = None) -> None:
        """Note that a recording is left out of the split that its text has, or of `split`."""
        self.left_out.setdefault(split or split_of(text, self.shares), []).append((self.prefix + name, reason))

    def take(
        self,
        name: str,
        file: Path,
        text: str,
        speaker: str,
        *,
        split: str | None = None,
        pronunciation: str | None = None,
        letters: str | None = None,
        phones: tuple[tuple[str, float, float], ...] | None = None,
    ) -> None:
        """Add a recording, or note why it cannot be used.

        Args:
            name: its id behind the prefix.
            file: the recording.
            text: text that is said, as `plain_text` returns it.
            speaker: name of the speaker.
            split: split that it belongs to; None divides by its text.
            pronunciation: its phones, separated by single spaces.
            letters: its text in letters of sounds, where those of `text` are not: the speaking rate is theirs.
            phones: its phones with their times in seconds.
        """
        split = split or split_of(text, self.shares)
        try:
            duration = audio.probe(file).duration
        except DataError as error:
            self.leave(name, str(error), split=split)
            return
        if defect := rate_defect(text if letters is None else letters, duration):
            self.leave(name, defect, split=split)
            return
        self.splits.setdefault(split, []).append(
            Utterance(
                self.prefix + name,
                str(file),
                duration,
                text,
                speaker,
                self.language,
                phones=phones,
                pronunciation=pronunciation,
            )
        )

    def hear(
        self,
        name: str,
        file: Path | None,
        written: str,
        speaker: str,
        *,
        script: str = "LATIN",
        split: str | None = None,
        defect: str | None = None,
    ) -> None:
        """Add the recording of a written text, or note why the two cannot be used.

        Args:
            name: Its id behind the prefix.
            file: The recording; None where there is none.
            written: The text as the corpus has it.
            speaker: Name of who says it.
            script: First word of the Unicode names of the language's letters.
            split: Split that it belongs to; by its text where None.
            defect: Reason against it that goes before those of the text.
        """
        text, unclear = plain_text(written, script, self.language)
        if file is None or defect or unclear:
            self.leave(name, defect or unclear or "no recording belongs to it", text, split)
        else:
            self.take(name, file, text, speaker, split=split)

    def write(self, out: Path) -> dict[str, Report]:
        """Check all splits and write their manifests into `out`, as `quality.write_checked` does."""
        return write_checked(self.splits, out, self.left_out, self.one_voice)
