"""Prints what a lexicon holds, and what was changed in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rapidfuzz import process
from rich.console import Console
from rich.table import Table

from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.notations import scheme_of
from asr_transfer.data.phones import Replaced
from asr_transfer.errors import DataError
from asr_transfer.orthography import listed_word
from asr_transfer.runs.console import legible, show

MOST_SHOWN = 20
"""Rows of a table that would otherwise have as many as the lexicon has words."""


def show_lexicon(lexicon: Path, words: Sequence[str] = (), *, console: Console | None = None) -> int:
    """Print what a lexicon holds: counts, phones, homophones and guesses, or the pronunciations of some words.

    Args:
        lexicon: lexicon file.
        words: words to show; none for the lexicon as a whole.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: the file is missing or damaged, or holds none of a word.
    """
    loaded = Lexicon.read(lexicon)
    if words:
        show(entries_table([entry for word in words for entry in _entries_of(loaded, word)]), console)
        return 0
    phones = phones_of(loaded)
    homophones = loaded.homophones()
    sharing = [", ".join(dict.fromkeys(same)) + f" ({' '.join(spelt)})" for spelt, same in homophones.items()]
    guesses = [f"{entry.word} ({' '.join(entry.phones)})" for entry in loaded if entry.guessed]
    variants = Counter(entry.word for entry in loaded)
    rows = [
        ("words", f"{len(variants):,}"),
        ("pronunciations", f"{len(loaded):,}, up to {max(variants.values())} of a word"),
        ("phones per word", f"{sum(len(entry.phones) for entry in loaded) / len(loaded):.1f}"),
        ("notation", {"ipa": "IPA", "arpabet": "ARPAbet", "pinyin": "pinyin"}[scheme_of(phones)]),
        ("phones", f"{len(phones)}: " + ", ".join(f"{phone} {count:,}" for phone, count in phones.most_common())),
        ("guessed", _listed(guesses)),
        ("homophones", _listed(sharing)),
    ]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, legible(value))
    show(table, console)
    return 0


def _entries_of(lexicon: Lexicon, word: str) -> list[Entry]:
    found = [entry for entry in lexicon if entry.word == listed_word(word)]
    if not found:
        close = process.extractOne(word, lexicon.words, score_cutoff=50)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(f"{lexicon.source}: does not hold the word {word!r}; add it with `lexicon add`.{hint}")
    return found


def _listed(items: Sequence[str]) -> str:
    more = f"; and {len(items) - MOST_SHOWN:,} more" if len(items) > MOST_SHOWN else ""
    return f"{len(items):,}: {'; '.join(items[:MOST_SHOWN])}{more}" if items else "none"


def phones_of(lexicon: Lexicon) -> Counter[str]:
    return Counter(phone for entry in lexicon for phone in entry.phones)


def amounts(lexicon: Lexicon) -> str:
    return f"{counted(len(lexicon.words), 'word')}, {counted(len(lexicon), 'pronunciation')}"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(*headings: tuple[str, bool]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, number in headings:
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    return table


def mapping_table(replaced: Sequence[Replaced]) -> Table:
    table = _table(("phone", False), ("taken for", False), ("distance", True), ("pronunciations", True))
    for one in replaced:
        table.add_row(legible(one.phone), legible(one.by), f"{one.distance:.2f}", f"{one.entries:,}")
    return table


def entries_table(entries: Iterable[Entry]) -> Table:
    table = _table(("word", False), ("phones", False), ("weight", True), ("", False), ("line", True))
    for entry in entries:
        weight = f"{entry.weight:g}" if entry.weight else ""
        line = "" if entry.line is None else str(entry.line)
        table.add_row(
            legible(entry.word), legible(" ".join(entry.phones)), weight, "guessed" if entry.guessed else "", line
        )
    return table
