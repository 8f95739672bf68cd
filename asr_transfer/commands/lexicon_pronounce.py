"""Writes pronunciations of the words of a list, or of the utterances of a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from asr_transfer import textfiles
from asr_transfer.commands.lexicon_fit import Fit
from asr_transfer.commands.lexicon_show import amounts
from asr_transfer.data.g2p import Notation, Reader, Source, pronounce
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.notations import Scheme
from asr_transfer.data.pronounce import pronounce_utterances
from asr_transfer.errors import DataError
from asr_transfer.orthography import listed_word
from asr_transfer.runs.console import legible, require_free, show


@dataclass(frozen=True, kw_only=True)
class Pronouncing:
    """How words are pronounced.

    Attributes:
        source, notation, reader: parameters of `data.g2p.pronounce`.
        scheme: notation; None for the one of the model, without a model IPA.
        lexicon: file of pronunciations that go before all others.
        voice: language by whose rules the words are read, where there are none of their own.
        model: model folder whose head of the language must know all phones; None for whatever phones there are.
        nearest: whether to take the nearest phone for each that the model lacks.
        overwrite: whether to replace the file that is written.
    """

    source: Source = "auto"
    notation: Notation | None = None
    reader: Reader | None = None
    scheme: Scheme | None = None
    lexicon: Path | None = None
    voice: str | None = None
    model: Path | None = None
    nearest: bool = False
    overwrite: bool = False

    def known(self) -> Lexicon | None:
        """Return the pronunciations that go before all others."""
        return Lexicon.read(self.lexicon) if self.lexicon is not None else None


def write_pronunciations(
    wordlist: Path,
    out: Path,
    language: str,
    how: Pronouncing = Pronouncing(),
    *,
    console: Console | None = None,
) -> int:
    """Write a lexicon of the words of a list, one per line; blank lines and lines that begin with `#` are skipped.

    Args:
        wordlist: file with a word per line.
        out: lexicon file to write.
        language: ISO 639 code.
        how: ways and limits of pronouncing them.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: the list is missing, empty or not UTF-8, a word cannot be pronounced, the model lacks a phone, or
            `out` exists.
        ModelError: the model is missing or damaged, or has no head of the language.
        ConfigError: the same as of `data.g2p.pronounce`; the model spells no phones; `nearest` without a model.
    """
    require_free(out, how.overwrite)
    fit = Fit.to(how.model, language, how.nearest)
    known, places = how.known(), _read_words(wordlist)
    found = pronounce(
        list(places),
        how.voice or language,
        how.source,
        scheme=fit.scheme(how.scheme),
        lexicon=known,
        reader=how.reader,
        notation=how.notation,
        where=places,
    )
    made = fit.fitted(Lexicon(found, str(wordlist)), console)
    made.save(out)
    guessed = sum(entry.guessed for entry in made)
    share = f"{guessed:,} of them guessed by rule" if guessed else "none of them guessed"
    show(Text(f"{out}: written, {amounts(made)}, {share}"), console)
    return 0


def pronounce_manifest(
    manifest: Path,
    out: Path,
    language: str | None = None,
    how: Pronouncing = Pronouncing(),
    *,
    console: Console | None = None,
) -> int:
    """Write a manifest whose utterances have pronunciations, and print which phones they use and what was left out.

    Args:
        manifest: manifest to read.
        out: manifest to write.
        language: ISO 639 code; by default each utterance's own.
        how: ways and limits of pronouncing them.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: the manifest or lexicon is missing or damaged, no utterance can be pronounced, the model lacks a
            phone, or `out` exists.
        ModelError: the model is missing or damaged, or has no head of the language.
        ConfigError: the same as of `data.pronounce.pronounce_utterances`; the model spells no phones; `nearest` without
            a model.
    """
    require_free(out, how.overwrite)
    known, utterances = how.known(), read_manifest(manifest)
    fit = Fit.to(how.model, language or _only_language(utterances, manifest, how.model), how.nearest)
    found, report = pronounce_utterances(
        utterances,
        language,
        fit.scheme(how.scheme),
        known,
        how.source,
        reader=how.reader,
        notation=how.notation,
        voice=how.voice,
    )
    if not found:
        name, reason = report.dropped[0]
        raise DataError(f"{manifest}: no utterance can be pronounced; the first, '{name}': {reason}")
    if how.model is not None:
        # Utterances are fitted as words are, each under a name of its own so that none is taken for another.
        rows = [Entry(f"utterance-{n}", tuple((u.pronunciation or "").split())) for n, u in enumerate(found)]
        fitted = fit.fitted(Lexicon(rows, str(manifest)), console)
        found = [replace(u, pronunciation=" ".join(e.phones)) for u, e in zip(found, fitted, strict=True)]
    write_manifest(out, found)
    phones = Counter(phone for u in found if u.pronunciation is not None for phone in u.pronunciation.split())
    told = f"{len(phones)} phones: " + ", ".join(f"{phone} {count:,}" for phone, count in phones.most_common())
    for line in (*f"{out}: written; {report}".split("\n"), told):
        show(legible(line), console)
    return 0


def _only_language(utterances: Sequence[Utterance], manifest: Path, model: Path | None) -> str:
    """Return the language of the utterances, which a model is to fit."""
    languages = sorted({utterance.language for utterance in utterances})
    if model is not None and len(languages) != 1:
        raise DataError(
            f"{manifest}: holds utterances in {', '.join(languages)}, but --model fits one language; divide them."
        )
    return languages[0] if languages else ""


def _read_words(path: Path) -> dict[str, str]:
    """Return the words of a list with their places for messages."""
    places: dict[str, str] = {}
    for number, line in enumerate(textfiles.read_lines(path, "give a list of words, one per line"), start=1):
        word = listed_word(line)
        if word and not word.startswith("#"):
            if "\t" in line.strip():
                raise DataError(f"{path} line {number}: holds a tab, so it is no word; give one word per line.")
            places.setdefault(word, f"{path} line {number}")
    if not places:
        raise DataError(f"{path}: holds no words; write one per line.")
    return places
