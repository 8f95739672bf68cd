"""Prepares L2-ARCTIC: English read by 24 speakers whose first languages are six others, the same 1,100 sentences each.

Layout: `SPEAKER/wav/arctic_a0001.wav` and `SPEAKER/transcript/arctic_a0001.txt`. The corpus is asked for by form at
https://psi.engr.tamu.edu/l2-arctic-corpus (CC BY-NC 4.0; Zhao et al. 2018).
"""

from __future__ import annotations

from pathlib import Path

from asr_transfer import audio, recording_file
from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from data_prep.common import existing_folder, read_lines
from data_prep.quality import write_checked
from data_prep.registry import Corpus
from data_prep.transcripts import spoken, text_defect

FIRST_LANGUAGES = {
    "arabic": ("ABA", "SKA", "YBAA", "ZHAA"),
    "hindi": ("ASI", "RRBI", "SVBI", "TNI"),
    "korean": ("HJK", "HKK", "YDCK", "YKWK"),
    "mandarin": ("BWC", "LXC", "NCC", "TXHC"),
    "spanish": ("EBVS", "ERMS", "MBMPS", "NJS"),
    "vietnamese": ("HQTV", "PNV", "THV", "TLV"),
}
"""Two women and two men each."""


def prepare(root: Path, out: Path, first_language: str | None = None) -> None:
    """Write `all.jsonl` of L2-ARCTIC's read sentences; choose speakers from it with `adapt --speaker`.

    All speakers read the same sentences, so splits by speaker share their texts.

    Args:
        root: the folder that holds one folder per speaker.
        out: folder for the manifest.
        first_language: first language of the speakers that are taken: arabic, hindi, korean, mandarin, spanish or
            vietnamese.

    Raises:
        ConfigError: the first language is none of L2-ARCTIC's.
        DataError: there is no such folder or no speaker's `wav` and `transcript` in it.
    """
    if first_language is not None and first_language.lower() not in FIRST_LANGUAGES:
        raise ConfigError(
            f"first language '{first_language}' is not known.{nearest_hint(first_language, FIRST_LANGUAGES)}"
        )
    existing_folder(root, "L2-ARCTIC's speakers")
    wanted = None if first_language is None else FIRST_LANGUAGES[first_language.lower()]
    folders = [
        folder
        for folder in sorted(root.iterdir())
        if (folder / "wav").is_dir()
        and (folder / "transcript").is_dir()
        and (wanted is None or folder.name.upper() in wanted)
    ]
    if not folders:
        who = f"speaker of {first_language} ({', '.join(wanted)})" if wanted else "speaker"
        raise DataError(
            f"{root}: holds no {who} with the folders `wav` and `transcript`; unpack L2-ARCTIC's speakers there."
        )
    utterances: list[Utterance] = []
    left_out: list[tuple[str, str]] = []
    for folder in folders:
        for file in sorted(file for file in (folder / "wav").iterdir() if recording_file.readable(file.suffix)):
            name = f"{folder.name}-{file.stem}"
            transcript = folder / "transcript" / f"{file.stem}.txt"
            if not transcript.is_file():
                left_out.append((name, "no transcript belongs to it"))
                continue
            text = spoken(" ".join(read_lines(transcript)))
            try:
                duration = audio.probe(file).duration
            except DataError as error:
                left_out.append((name, str(error)))
                continue
            if defect := text_defect(text):
                left_out.append((name, defect))
                continue
            utterances.append(Utterance(name, str(file), duration, text, folder.name, "en"))
    write_checked({"all": utterances}, out, {"all": left_out})


CORPUS = Corpus(
    "l2arctic", prepare, ("en",), splits=("all",), page="L2-ARCTIC (https://psi.engr.tamu.edu/l2-arctic-corpus)"
)
