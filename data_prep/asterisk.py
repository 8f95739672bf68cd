"""Prepares Asterisk's core sounds: prompts of a telephone exchange, largely the same in five languages, one voice each.

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

import numpy as np

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.textfiles import decoded, lines_of, read_bytes
from data_prep.by_text import Gathering, plain_text, variety
from data_prep.common import existing_folder, read_lines, require_language, walk, write_audio
from data_prep.registry import Corpus, Packages, Use
from data_prep.transcripts import main_script

SPEAKERS = {
    "en": "asterisk-allison",
    "es": "asterisk-allison",
    "fr": "asterisk-june",
    "it": "asterisk-carlo",
    "ru": "asterisk-ivrvoice",
}
"""The voice by language, where it is known whose it is."""

_TEXTS = re.compile(r"core-sounds-(?P<language>[a-z]{2,3}(?:_[A-Z]{2})?)\.txt(?:\.gz)?")
_LINE = re.compile(r"(?P<name>[^\s:]+)\s*:\s*(?P<text>.*)")
_DESCRIBED = re.compile(r"\s*(\[.*\]|\(.*\)|<.*>)\s*")
_WORD = re.compile(r"[^\W\d_]+")
_SPELLED = re.compile(r"\b[^\W\d_](\s[^\W\d_]\b)+")


def prepare(root: Path, out: Path, language: str = "en") -> None:
    """Write manifests of Asterisk's prompts, with no text in two splits, and their audio as 16 kHz FLAC.

    The texts are in lower case without punctuation. Texts with digits, brackets or abbreviations are left out, since
    nobody knows how they are read, and so are letters of the alphabet, whose names are said.

    Args:
        root: the folder that holds `core-sounds-XX.txt` and the .g722 files, at any depth.
        out: folder for the manifests and for `audio/NAME.flac`.
        language: code of the language in `core-sounds-XX.txt`, such as en or ru; any that is there.

    Raises:
        ConfigError: PyAV is not installed.
        DataError: there is no such folder, it holds no texts or no sounds of the language, or `out` cannot be written.
    """
    texts = _texts(_text_file(root, language))
    script = main_script(texts.values())
    found = Gathering(variety(language, lambda: languages(root)), prefix=f"asterisk-{language}/")
    for name, file in _sounds(root, language).items():
        written = texts.get(name, "")
        text, defect = plain_text(written, script, found.language)
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
        found.take(name, converted, text, SPEAKERS.get(language, f"asterisk-{language}"))
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
    fetch = f"get the sounds with `asr-transfer fetch asterisk-{language}`" if language in SPEAKERS else ""
    require_language(root, language, languages(root), fetch)
    raise DataError(f"{root}: holds no core-sounds-{language}.txt; {fetch or 'give the folder of the sounds'}.")


def languages(root: Path) -> set[str]:
    """Return the codes of the languages that texts below a folder are in."""
    return {match["language"] for file in walk(root) if (match := _TEXTS.fullmatch(file.name))}


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
        return lines_of(decoded(gzip.decompress(read_bytes(file)), file).lstrip("\ufeff").removesuffix("\n"))
    except (OSError, EOFError) as error:
        raise DataError(f"{file}: is no gzip file of UTF-8 text ({error}); copy it again.") from None


def _sounds(root: Path, language: str) -> dict[str, Path]:
    """Return the sound files by name; where Debian's folders by language lie side by side, those of the language."""
    files = [file for file in walk(root) if file.suffix == ".g722"]
    # `en_GB_f_x` is not of `en` where there are texts in `en_GB`.
    longer = tuple(f"{code}_" for code in languages(root) if code.startswith(f"{language}_"))
    own = [
        file
        for file in files
        if any(p.startswith(f"{language}_") and not p.startswith(longer) for p in file.relative_to(root).parts)
    ]
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


_LICENCES = {
    "en": "CC BY-SA 3.0 (2003-2010, Allison Smith; Digium, Inc.)",
    "es": "CC BY-SA 3.0 (2003-2010, Allison Smith; Digium, Inc.)",
    "fr": "CC BY-SA 3.0 (2006-2008, June Wallack)",
    "it": "CC BY 3.0 (2012, Carlo Flora)",
    "ru": "CC BY 3.0 (2010, Maxim Topal, ivrvoice.ru)",
}
_CHECKSUMS = {
    "asterisk-core-sounds-en_1.6.1-1": "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
    "asterisk-core-sounds-en-g722_1.6.1-1": "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
    "asterisk-core-sounds-es_1.6.1-1": "9afdab7f559f036649fb406e625899306ca1004df8ebe39c30bfbd5912d66f74",
    "asterisk-core-sounds-es-g722_1.6.1-1": "e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8",
    "asterisk-core-sounds-fr_1.6.1-1": "04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056",
    "asterisk-core-sounds-fr-g722_1.6.1-1": "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0",
    "asterisk-core-sounds-it_1.6.1-1": "3884d9457e12f21caa018c18f0d587df5d53ebea14b673d8453a134c5941ab3b",
    "asterisk-core-sounds-it-g722_1.6.1-1": "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016",
    "asterisk-core-sounds-ru_1.6.1-1": "28a61616bb0cd3345a7ea532dec4df9f071e5d0fa9f8c1a563ea9669002f39ab",
    "asterisk-core-sounds-ru-g722_1.6.1-1": "673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b",
}

CORPUS = Corpus(
    "asterisk",
    prepare,
    tuple(SPEAKERS),
    languages,
    packages={
        f"asterisk-{code}": Packages(
            (f"asterisk-core-sounds-{code}", f"asterisk-core-sounds-{code}-g722"), licence, _CHECKSUMS
        )
        for code, licence in _LICENCES.items()
    },
    use=Use("source", cost=2),
)
