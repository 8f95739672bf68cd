"""Prepares a Russian voice for Festival: 620 sentences of one man, 100 minutes, with the times of every phone.

Layout: `etc/txt.done.data` with lines `( ID "text" )`, where `+` stands before a stressed vowel; `wav/ID.wav`; and
`lab/ID.lab` with lines `END 125 PHONE` below a line `#`, the end in seconds; a phone begins where the one before ends.
Phones are the voice's own: `aa` is a stressed a, `ae` and `ay` are weaker ones, `tt` is a soft t, `pau` is a pause.

The voice lies in a Debian package (`asr-transfer fetch festvox-ru`). BSD-like licence. Nickolay V. Shmyrev, 2005.
"""

from __future__ import annotations

import re
from pathlib import Path

from asr_transfer.data.manifest import PhoneSegment
from asr_transfer.errors import DataError
from data_prep.by_text import Gathering, plain_text, recording
from data_prep.common import existing_folder, read_lines, walk
from data_prep.registry import Corpus, Packages, Use

SPEAKER = "nsh"
PAUSE = "pau"
TEXTS = "etc/txt.done.data"

_LINE = re.compile(r'\(\s*(?P<name>\S+)\s+"(?P<text>.*)"\s*\)')
_STRESS = re.compile(r"\+(?=\w)")


def prepare(root: Path, out: Path) -> None:
    """Write `train`, `dev` and `test` of the Russian voice, without a text in two of them, with timed phones.

    The texts are in lower case without punctuation and stress marks; the pronunciation is the phones without pauses.

    Args:
        root: the folder that holds `etc/txt.done.data`, `wav` and `lab`, or a folder above it.
        out: folder for the manifests.

    Raises:
        DataError: there is no such folder, or its texts or labels are not as documented.
    """
    voice = _find(root)
    found = Gathering("ru")
    for number, line in enumerate(read_lines(voice / TEXTS), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(f'{voice / TEXTS} line {number}: is not `( ID "text" )`; copy the file again.')
        name = match["name"]
        text, defect = plain_text(_STRESS.sub("", match["text"]), "CYRILLIC")
        file, labels = recording(voice / "wav", name), voice / "lab" / f"{name}.lab"
        if file is None or not labels.is_file():
            defect = "no recording belongs to it" if file is None else "no phone labels belong to it"
        if defect is not None or file is None:
            found.leave(name, defect or "", text)
            continue
        phones = _phones(labels)
        said = " ".join(phone for phone, _, _ in phones if phone != PAUSE)
        found.take(name, file, text, SPEAKER, pronunciation=said or None, phones=phones)
    found.write(out)


def _find(root: Path) -> Path:
    existing_folder(root, f"the voice's `{TEXTS}`")
    for folder in (root, *(found.parent.parent for found in walk(root) if found.name == Path(TEXTS).name)):
        if (folder / TEXTS).is_file() and (folder / "wav").is_dir():
            return folder
    raise DataError(f"{root}: holds no `{TEXTS}` beside `wav`; get the voice with `asr-transfer fetch festvox-ru`.")


def _phones(file: Path) -> tuple[PhoneSegment, ...]:
    """Return phones with their start and end in seconds."""
    phones: list[PhoneSegment] = []
    start = 0.0
    lines = read_lines(file)
    head = lines.index("#") + 1 if "#" in lines else 0
    for number, line in enumerate(lines[head:], start=head + 1):
        fields = line.split()
        if not fields:
            continue
        try:
            end, phone = float(fields[0]), fields[2]
        except (ValueError, IndexError):
            raise DataError(f"{file} line {number}: is not `END 125 PHONE`; copy the file again.") from None
        if end < start:
            raise DataError(f"{file} line {number}: ends at {end} s, before it begins; copy the file again.")
        phones.append((phone, start, end))
        start = end
    return tuple(phones)


CORPUS = Corpus(
    "festvox-ru",
    prepare,
    ("ru",),
    packages={
        "festvox-ru": Packages(
            ("festvox-ru",),
            "BSD-like (2005, Nickolay V. Shmyrev): free to use, change and distribute with its notice, changes marked, "
            "authors' names kept and not used to endorse",
            {
                "festvox-ru_0.5+dfsg-6": "21ef3f0f2978ecf2e2eddb367cb0ff4a72572196d28dc69feb84f4177af5e6c4",
            },
        )
    },
    use=Use("source"),
)
