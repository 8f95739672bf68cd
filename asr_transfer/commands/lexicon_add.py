"""Adds words to a lexicon's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from asr_transfer import textfiles
from asr_transfer.commands.lexicon_show import counted, entries_table, phones_of
from asr_transfer.data.g2p import Reader, Source, pronounce
from asr_transfer.data.lexicon import Entry, Lexicon, require_own_form
from asr_transfer.data.notations import Scheme, scheme_of
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.runs.console import show


def add_words(
    lexicon: Path,
    words: Sequence[str],
    language: str,
    *,
    phones: str | None = None,
    source: Source = "auto",
    scheme: Scheme | None = None,
    reader: Reader | None = None,
    console: Console | None = None,
) -> int:
    """Add words to a lexicon's file, behind what stands there; a missing file is made.

    Args:
        lexicon: lexicon file.
        words: words to add.
        language: ISO 639 code.
        phones: pronunciation of the one word, separated by spaces; otherwise they are looked up or guessed.
        source: place to look words up in, as in `data.g2p.pronounce`.
        scheme: notation of what is looked up or guessed; by default the lexicon's own, of a new one IPA.
        reader: dictionary of the language.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: the file is damaged, a word is already there with that pronunciation, or cannot be pronounced.
        ConfigError: `phones` with several words; an unknown language; a notation that the lexicon is not in.
    """
    textfiles.require_writable_file(lexicon, "lexicon")
    before = Lexicon.read(lexicon) if lexicon.exists() else None
    if before is not None:
        require_own_form(lexicon)
    if phones is not None:
        if len(words) != 1:
            raise ConfigError(
                f"--phones is the pronunciation of one word, but {len(words)} are given; add one at a time."
            )
        added = list(Lexicon.from_pairs([(words[0], phones)], "--phones"))
        _require_known(added, before, lexicon)
    else:
        own = scheme_of(phones_of(before)) if before is not None else scheme or "ipa"
        if scheme not in (None, own):
            raise ConfigError(f"{lexicon} is written in {own}, not in {scheme}; leave --scheme out.")
        added = pronounce(words, language, source, scheme=own, reader=reader)
    old = list(before) if before is not None else []
    Lexicon([*old, *added], str(lexicon))  # refuses what stands there already
    _append(lexicon, added)
    show(entries_table(added), console)
    show(Text(f"{lexicon}: {counted(len(added), 'pronunciation')} added"), console)
    return 0


def _require_known(added: Sequence[Entry], before: Lexicon | None, lexicon: Path) -> None:
    """Refuse a given pronunciation whose notation is not that of the lexicon."""
    if before is None:
        return
    scheme = scheme_of(phones_of(before))
    if scheme != "ipa" and scheme_of([*phones_of(before), *added[0].phones]) != scheme:
        raise DataError(
            f"{lexicon}: is written in {scheme}, but --phones {' '.join(added[0].phones)!r} is not; write it so too."
        )


def _append(lexicon: Path, added: Sequence[Entry]) -> None:
    """Write entries behind a file's lines, comments kept, through a temporary name."""
    before = textfiles.read_text(lexicon) if lexicon.exists() else ""
    with textfiles.writing(lexicon, "lexicon") as out:
        out.write(before + ("\n" if before and not before.endswith("\n") else ""))
        out.writelines(Lexicon(added).lines())
