"""Asterisk core sounds: the prompts of a telephone exchange, largely the same in five languages, one voice each.

Layout: `core-sounds-XX.txt` (or `.txt.gz`) with lines `NAME: text`, comments behind `;`, and `NAME.g722` somewhere
below the same root, `NAME` with its folder ("digits/1"). Sounds are raw G.722 (ITU-T G.722, 64 kbit/s, 16 kHz) without
a header. A text in brackets describes a sound. English and Spanish are the same woman; most of the Spanish texts lack
their accents.

The sounds lie in Debian packages (`asr-transfer fetch asterisk-en` and es, fr, it, ru). CC BY-SA 3.0 (en, es, fr) and
CC BY 3.0 (it, ru). https://downloads.asterisk.org/pub/telephony/sounds
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Literal

import numpy as np

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.textfiles import lines_of
from data_prep.by_text import Gathering, plain_text
from data_prep.common import existing_folder, read_lines, walk, write_audio

SPEAKERS = {
    "en": "asterisk-allison",
    "es": "asterisk-allison",
    "fr": "asterisk-june",
    "it": "asterisk-carlo",
    "ru": "asterisk-ivrvoice",
}
"""The voice by language."""

_SCRIPTS = {"ru": "CYRILLIC"}
_LINE = re.compile(r"(?P<name>[^\s:]+)\s*:\s*(?P<text>.*)")
_DESCRIBED = re.compile(r"\s*(\[.*\]|\(.*\)|<.*>)\s*")
_WORD = re.compile(r"[^\W\d_]+")
_SPELLED = re.compile(r"\b[^\W\d_](\s[^\W\d_]\b)+")


def prepare(root: Path, out: Path, language: Literal["en", "es", "fr", "it", "ru"] = "en") -> None:
    """Write manifests of Asterisk's prompts, with no text in two splits, and their audio as 16 kHz FLAC.

    The texts are in lower case without punctuation. Texts with digits, brackets or abbreviations are left out, since
    nobody knows how they are read, and so are letters of the alphabet, whose names are said.

    Args:
        root: the folder that holds `core-sounds-XX.txt` and the .g722 files, at any depth.
        out: folder for the manifests and for `audio/NAME.flac`.
        language: en, es, fr, it or ru.

    Raises:
        ConfigError: PyAV is not installed.
        DataError: there is no such folder, it holds no texts or no sounds of the language, or `out` cannot be written.
    """
    texts = _texts(_text_file(root, language))
    found = Gathering(language, prefix=f"asterisk-{language}/")
    for name, file in _sounds(root, language).items():
        written = texts.get(name, "")
        text, defect = plain_text(written, _SCRIPTS.get(language, "LATIN"), language)
        if defect := _unspoken(name, written, texts) or defect:
            found.leave(name, defect, text)
            continue
        try:
            samples = decode(file)
        except DataError as error:
            found.leave(name, str(error), text)
            continue
        converted = out / "audio" / f"{name}.flac"
        write_audio(converted, samples)
        found.take(name, converted, text, SPEAKERS[language])
    found.write(out)


def decode(file: Path) -> np.ndarray:
    """Return the samples of a raw G.722 file at 16 kHz as 16-bit integers, shape (samples,).

    Raises:
        ConfigError: PyAV is not installed.
        DataError: the file is empty or cannot be decoded.
    """
    try:
        import av
    except ImportError:
        raise ConfigError("`av` is not installed; install it with: pip install asr-transfer[g722]") from None
    try:
        if not file.stat().st_size:
            raise DataError(f"{file}: the audio has zero length; leave it out.")
        with av.open(str(file), format="g722") as container:
            blocks = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    except (OSError, av.FFmpegError) as error:
        raise DataError(f"{file}: cannot be decoded as G.722 ({error}); copy it again.") from None
    return np.concatenate(blocks)


def _text_file(root: Path, language: str) -> Path:
    existing_folder(root, f"Asterisk's `core-sounds-{language}.txt` and its .g722 files")
    for name in (f"core-sounds-{language}.txt", f"core-sounds-{language}.txt.gz"):
        if files := [file for file in walk(root) if file.name == name]:
            return files[0]
    raise DataError(
        f"{root}: holds no core-sounds-{language}.txt; get the sounds with `asr-transfer fetch asterisk-{language}`."
    )


def _texts(file: Path) -> dict[str, str]:
    """Return the texts by the names of their sounds."""
    texts: dict[str, str] = {}
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(f"{file} line {number}: is not `NAME: text`; copy the file again.")
        texts[match["name"]] = match["text"]
    return texts


def _lines(file: Path) -> list[str]:
    if file.suffix != ".gz":
        return read_lines(file)
    try:
        # Two byte order marks stand at the beginning of the Italian file.
        return lines_of(gzip.decompress(file.read_bytes()).decode("utf-8-sig").lstrip("\ufeff").removesuffix("\n"))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: is no gzip file of UTF-8 text ({error}); copy it again.") from None


def _sounds(root: Path, language: str) -> dict[str, Path]:
    """Return the sound files by name; where Debian's folders by language lie side by side, those of the language."""
    files = [file for file in walk(root) if file.suffix == ".g722"]
    own = [file for file in files if any(part.startswith(f"{language}_") for part in file.relative_to(root).parts)]
    files = own or files
    if not files:
        raise DataError(
            f"{root}: holds no .g722 file of '{language}'; get the sounds with `asr-transfer fetch "
            f"asterisk-{language}`."
        )
    base = min((file.parent for file in files), key=lambda folder: len(folder.parts))
    return {file.relative_to(base).with_suffix("").as_posix(): file for file in files if file.is_relative_to(base)}


def _unspoken(name: str, written: str, texts: dict[str, str]) -> str | None:
    if name not in texts:
        return "no text belongs to it"
    if _DESCRIBED.fullmatch(written):
        return "the text describes a sound"
    words = _WORD.findall(written)
    if name.startswith("letters/") and len(words) == 1 and len(words[0]) == 1:
        return "the text is a letter, whose name is said"
    if any(len(word) > 1 and word.isupper() for word in words) or any(
        match[0].isupper() for match in _SPELLED.finditer(written)
    ):
        return "the text holds an abbreviation, whose reading is not known"
    return None
