"""What `asr-transfer lexicon pronounce` does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console

from asr_transfer.data.g2p import Notation, Reader, Source
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.data.notations import Scheme
from asr_transfer.data.pronounce import pronounce_utterances
from asr_transfer.errors import DataError
from asr_transfer.runs.console import legible, require_free, show


def pronounce_manifest(
    manifest: Path,
    out: Path,
    language: str | None = None,
    *,
    source: Source = "auto",
    scheme: Scheme = "ipa",
    notation: Notation | None = None,
    lexicon: Path | None = None,
    reader: Reader | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> int:
    """Write a manifest whose utterances have pronunciations, and print which phones they use and what was left out.

    Args:
        manifest: file.
        out: manifest to write.
        language, source, scheme, notation, reader: as of `data.pronounce.pronounce_utterances`.
        lexicon: file of pronunciations that go before all others.
        overwrite: replace the file `out`.
        console: to print to.

    Raises:
        DataError: the manifest or lexicon is missing or damaged, no utterance can be pronounced, or `out` exists.
        ConfigError: as of `data.pronounce.pronounce_utterances`.
    """
    require_free(out, overwrite)
    known = Lexicon.read(lexicon) if lexicon is not None else None
    utterances = read_manifest(manifest)
    found, report = pronounce_utterances(utterances, language, scheme, known, source, reader=reader, notation=notation)
    if not found:
        name, reason = report.dropped[0]
        raise DataError(f"{manifest}: no utterance can be pronounced; the first, '{name}': {reason}")
    write_manifest(out, found)
    phones = Counter(phone for u in found if u.pronunciation is not None for phone in u.pronunciation.split())
    told = f"{len(phones)} phones: " + ", ".join(f"{phone} {count:,}" for phone, count in phones.most_common())
    for line in (*f"{out}: written; {report}".split("\n"), told):
        show(legible(line), console)
    return 0
