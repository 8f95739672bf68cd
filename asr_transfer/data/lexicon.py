"""Holds pronunciation lexica: which words there are, and how each is pronounced.

A file has a pronunciation per line: `word<TAB>phones separated by spaces`, optionally with a weight in a third column.

    zero	z ih r ow
    zero	z iy r ow	-0.7
    zorro	z ao r ow	?

The weight is a natural logarithm that is added to the pronunciation's score. A `?` behind it, or in its place, marks a
pronunciation that was guessed by rule. Blank lines and lines that begin with `#` are skipped. A word with several
pronunciations has several lines. Text is UTF-8, with or without byte order mark, and is read in Unicode's form NFC,
without marks of direction and the like, as transcripts are.
The lexica of CMUdict, Kaldi and the Montreal Forced Aligner are read too (`lexicon_lines`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from asr_transfer import textfiles
from asr_transfer.data.lexicon_file import (
    CONTROL,
    GUESSED,
    Entry,
    entries_of,
    is_tabbed,
    nfc,
    read_lines,
    require_own_form,
)
from asr_transfer.data.lexicon_lines import (
    FORMAT,
    LONGEST_LINE,
    as_arpabet,
    is_held,
    is_skipped,
    seems_lexicon,
    shown,
)
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.errors import DataError, nearest_hint
from asr_transfer.orthography import listed_word, visible
from asr_transfer.remarks import remark
from asr_transfer.whitespace import single_spaced, words_of

__all__ = ["GUESSED", "LONGEST_LINE", "Entry", "Lexicon", "read_for", "require_own_form", "spelled_lexicon"]

_DIGITS = "0123456789"


class Lexicon:
    """Pronunciations in a fixed order; no two entries have both the word and the phones in common.

    Args:
        entries: entries, at least one; iterating over the lexicon gives them back.
        source: origin of the entries, for messages: a file, or a description.

    Raises:
        DataError: no entries, an entry that no file could hold, or one that occurs twice.
    """

    def __init__(self, entries: Iterable[Entry], source: str = "the lexicon") -> None:
        self.source = source
        self._entries = tuple(entries)
        if not self._entries:
            raise DataError(f"{source}: holds no words; add lines {FORMAT}.")
        seen: dict[tuple[str, tuple[str, ...]], Entry] = {}
        for entry in self._entries:
            if entry.line is None:  # what came from a file has been looked at
                _check_entry(entry, source)
            first = seen.setdefault((entry.word, entry.phones), entry)
            if first is not entry:
                before = "" if first.line is None else f" on line {first.line}"
                raise DataError(
                    f"{self.where(entry)}: {shown(entry.word)} already has the pronunciation "
                    f"{shown(' '.join(entry.phones))}{before}; keep one of the two."
                )

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __getitem__(self, index: int) -> Entry:
        return self._entries[index]

    @property
    def words(self) -> list[str]:
        """Distinct words, in the order of their first entries."""
        return list(dict.fromkeys(entry.word for entry in self._entries))

    def where(self, entry: Entry) -> str:
        """Return the place of `entry` for a message."""
        return self.source if entry.line is None else f"{self.source} line {entry.line}"

    @classmethod
    def read(cls, path: str | Path) -> Lexicon:
        """Read a file; the module's docstring says what it looks like.

        Raises:
            DataError: the file is missing, empty or not UTF-8 text, or a line is wrong; the message names the line.
        """
        source = str(path)
        lines = read_lines(path)
        if not is_tabbed(lines) and (kept := [n for n, line in enumerate(lines, start=1) if not is_skipped(line)]):
            words, comments = ([line for line in lines if is_skipped(line) == skipped] for skipped in (False, True))
            if len(words[0]) <= LONGEST_LINE and not seems_lexicon(words, comments):
                raise DataError(
                    f"{source} line {kept[0]}: {shown(words[0])} is a word or phrase without phones; write {FORMAT}."
                )
        return cls(entries_of(lines, source), source)

    def save(self, path: str | Path) -> None:
        """Write a file that `read` gives back, through a temporary name.

        Raises:
            DataError: it cannot be written.
        """
        with textfiles.writing(path) as out:
            out.writelines(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield the lines of its file."""
        for entry in self:
            yield "\t".join([entry.word, " ".join(entry.phones), *_weight_column(entry)]) + "\n"

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]], source: str = "the lexicon") -> Lexicon:
        """Make a lexicon of words and their phones, the phones separated by spaces.

        Raises:
            DataError: as of the class.
        """
        return cls((Entry(listed_word(word), tuple(words_of(nfc(phones)))) for word, phones in pairs), source)

    @classmethod
    def from_utterances(cls, utterances: Iterable[Utterance], source: str = "the utterances") -> Lexicon:
        """Take each utterance's text as a word and its pronunciation as the word's; repetitions count once.

        Raises:
            DataError: an utterance has no pronunciation.
        """
        pairs: dict[tuple[str, str], None] = {}
        for utterance in utterances:
            if utterance.pronunciation is None:
                raise DataError(
                    f"{source}: utterance '{utterance.id}' has no `pronunciation`; prepare the corpus with "
                    "pronunciations or give a lexicon file."
                )
            pairs[listed_word(utterance.text), single_spaced(nfc(utterance.pronunciation))] = None
        return cls.from_pairs(pairs, source)

    def check(self, symbols: Sequence[str], where: str = "the model") -> None:
        """Make sure that every phone is one of `symbols`.

        Args:
            symbols: symbols that the model can emit, without the blank.
            where: owner of the symbols, for the message.

        Raises:
            DataError: a phone is unknown; the message names the file, line, word, phone and the nearest known phone.
        """
        known = {nfc(symbol) for symbol in symbols}
        unknown = [entry for entry in self if not known.issuperset(entry.phones)]
        if not unknown:
            return
        first = unknown[0]
        phone = next(phone for phone in first.phones if phone not in known)
        others = f" ({len(unknown) - 1} other entries have unknown phones too)" if len(unknown) > 1 else ""
        close = phone.lower() if phone.lower() in known else phone
        raise DataError(
            f"{self.where(first)}: the word {shown(first.word)} has the phone {shown(phone)}, which {where} does not "
            f"know{others}; write it in the model's phones.{nearest_hint(close[:40], known)}"
        )

    def _is_of_phones(self, tokens: Tokens) -> bool:
        """Return whether few words are spelled in their own letters, and the model does not know all the phones."""
        if 2 * sum("".join(entry.phones) == entry.word.replace(" ", "") for entry in self) > len(self):
            return False
        known = {nfc(symbol) for symbol in tokens.symbols[1:]}
        return not all(known.issuperset(entry.phones) for entry in self)

    def homophones(self) -> dict[tuple[str, ...], list[str]]:
        """Return the pronunciations that several words share, with those words."""
        words: dict[tuple[str, ...], list[str]] = {}
        for entry in self:
            words.setdefault(entry.phones, []).append(entry.word)
        return {phones: sharing for phones, sharing in words.items() if len(sharing) > 1}

    def toneless(self) -> Lexicon:
        """Return the lexicon with the digits at the end of each phone (tone, stress) cut off.

        Entries that become equal are merged: the highest weight and the first line are kept, and the entry counts as
        guessed if all of them were. A phone that is nothing but digits stays.
        """
        cut = (replace(e, phones=tuple(phone.rstrip(_DIGITS) or phone for phone in e.phones)) for e in self)
        return _merged(cut, self.source)

    def fitted(self, tokens: Tokens) -> Lexicon:
        """Return the lexicon as a model of these tokens takes it.

        Without tones for `toneless-phones`; ARPAbet with the model's own case and without stress where the model has
        none. Words spelled in letters have the apostrophe that the model writes. For `subwords` each word is spelled in
        pieces, whatever its phones, for pieces are found by the letters; an entry in pieces of the model stays as it
        is. They are the likeliest pieces alone, as in training: up to 16 spellings of a word took no errors away on
        AN4, and up to 64 found no more new words of GCompris.
        For `words` each word is itself, whatever its phones.

        Raises:
            DataError: a character of a word is in no piece, or a word is not one of the model's; the message names the
                file, line, word and character.
        """
        if spells_phones(tokens.units):
            found = self.toneless() if tokens.units == "toneless-phones" else self
            return found._in_case_of(tokens)
        if tokens.units == "characters":
            return self._with_marks_of(tokens)
        known = {nfc(symbol) for symbol in tokens.symbols[1:]}
        written = (known.issuperset(e.phones) and (e.in_pieces or tokens.units == "words") for e in self)
        kept = (e if own else _spelled(e, tokens, self.where(e)) for e, own in zip(self, written, strict=True))
        return _merged(kept, self.source)

    def _with_marks_of(self, tokens: Tokens) -> Lexicon:
        """Return the lexicon with words that are spelled in letters spelled with the model's own apostrophe."""
        known = {nfc(symbol) for symbol in tokens.symbols[1:]}
        changed: dict[int, Entry] = {}
        for n, entry in enumerate(self):
            if not known.issuperset(entry.phones) and "".join(entry.phones) == entry.word:
                written = nfc(tokens.written(entry.word))
                if known.issuperset(written):
                    changed[n] = replace(entry, phones=tuple(written))
        return _merged((changed.get(n, e) for n, e in enumerate(self)), self.source) if changed else self

    def _in_case_of(self, tokens: Tokens) -> Lexicon:
        """Return the lexicon with ARPAbet's phones as the model calls them, if that makes all of them known."""
        phones = {phone for entry in self for phone in entry.phones}
        called = as_arpabet(phones, tokens.symbols[1:])
        if not called:
            return self
        some, symbol = next(iter(sorted(called.items())))
        remark(f"{self.source}: its ARPAbet is read as the model writes it, such as {some} as {symbol}")
        return _merged((replace(e, phones=tuple(called.get(p, p) for p in e.phones)) for e in self), self.source)

    def targets(self, tokens: Tokens) -> list[list[int]]:
        """Return the token indices of each entry.

        Raises:
            DataError: as of `check`; also a lexicon of phones for a model that writes letters.
        """
        if tokens.units == "characters" and self._is_of_phones(tokens):
            raise DataError(
                f"{self.source}: is a lexicon of phones, but the model writes letters; give a list of its words, one "
                "per line without phones, which the model spells itself."
            )
        self.check(tokens.symbols[1:])
        # A symbol that is written as it stands goes before one that is equal in NFC only.
        index = {nfc(symbol): n for n, symbol in enumerate(tokens.symbols)}
        index.update({symbol: n for n, symbol in enumerate(tokens.symbols)})
        return [[index[phone] for phone in entry.phones] for entry in self]


def spelled_lexicon(words: Iterable[str], tokens: Tokens | None = None, source: str = "the lexicon") -> Lexicon:
    """Spell words as a model of characters does: each letter stands for itself.

    Args:
        words: distinct words without spaces.
        tokens: token set of the model that shall know the spellings; None for letters. Pieces of words are taken as the
            tokens spell the word by itself.
        source: origin of the words, for messages.

    Raises:
        DataError: a word cannot be spelled in the tokens, or the tokens are phones; there are no words.
    """
    if tokens is not None and spells_phones(tokens.units):
        raise DataError(
            f"{source}: the tokens of the model are phones, which letters do not spell; give a lexicon in its phones."
        )
    normal = map(visible, words)
    if tokens is None:
        return Lexicon((Entry(word, tuple(word)) for word in normal), source)
    return Lexicon((_spelled(Entry(word, ()), tokens, source) for word in normal), source)


def read_for(path: str | Path, tokens: Tokens) -> Lexicon:
    """Read a lexicon, or a plain list of words that the model spells itself, as `Lexicon.fitted` to its tokens.

    Args:
        path: lexicon file; or a file with a word or phrase per line and no tab, with blank lines and comments alike. It
            is a lexicon without tabs where every line looks like a word and its phones or letters.
        tokens: token set of the model's head.

    Raises:
        DataError: as of `Lexicon.read` and `fitted`; the file is a plain list, but the tokens are phones.
    """
    source = str(path)
    lines = read_lines(path)
    words = {n: line for n, line in enumerate(lines, start=1) if not is_skipped(line) and listed_word(line)}
    too_long = any(len(line) > LONGEST_LINE for line in words.values())
    if not words or too_long or is_tabbed(lines) or _has_phones(lines, tokens):
        return Lexicon(entries_of(lines, source), source).fitted(tokens)
    if spells_phones(tokens.units):
        raise DataError(
            f"{source}: is a list of words without phones, but the tokens of the model are phones; write {FORMAT}, "
            "or have `asr-transfer lexicon g2p` make a lexicon of it."
        )
    bare = (Entry(listed_word(line), (), line=n) for n, line in words.items())
    return _merged((_spelled(entry, tokens, f"{source} line {entry.line}") for entry in bare), source)


def _has_phones(lines: Sequence[str], tokens: Tokens) -> bool:
    """Return whether lines without tabs are words with phones, which the model of `tokens` may or may not know."""
    words = [line for line in lines if not is_skipped(line)]
    found = seems_lexicon(words, [line for line in lines if is_skipped(line)])
    if spells_phones(tokens.units) and not found:
        # Phones of any other notation are told by the model's own.
        rows = [words_of(line) for line in words]
        phones = {nfc(phone) for row in rows for phone in row[1:]}
        known = {nfc(symbol) for symbol in tokens.symbols[1:]}
        return all(len(row) > 1 for row in rows) and len(phones & known) * 2 >= len(phones)
    return found


def _spelled(entry: Entry, tokens: Tokens, where: str) -> Entry:
    """Return the entry with the spelling of its word instead of its phones."""
    labels = tokens.encode(entry.word, f"{where}: the word {shown(entry.word)}", "word")
    return replace(entry, phones=tuple(nfc(tokens.symbols[label]) for label in labels))


def _merged(entries: Iterable[Entry], source: str) -> Lexicon:
    """Make a lexicon of entries of which some are equal: of these the first stays, with the highest weight of all."""
    merged: dict[tuple[str, tuple[str, ...]], Entry] = {}
    for entry in entries:
        first = merged.setdefault((entry.word, entry.phones), entry)
        weight, guessed = max(first.weight, entry.weight), first.guessed and entry.guessed
        if (weight, guessed) != (first.weight, first.guessed):
            merged[entry.word, entry.phones] = replace(first, weight=weight, guessed=guessed)
    return Lexicon(merged.values(), source)


def _weight_column(entry: Entry) -> list[str]:
    column = (repr(entry.weight) if entry.weight else "") + (GUESSED if entry.guessed else "")
    return [column] if column else []


def _check_entry(entry: Entry, source: str) -> None:
    """Make sure that a file could hold `entry` and would give it back."""
    if not entry.phones:
        raise DataError(f"{source}: the word {shown(entry.word)} has an empty pronunciation; give its phones.")
    if not entry.word or entry.word[0] == "#" or single_spaced(entry.word) != entry.word:
        raise DataError(
            f"{source}: {shown(entry.word)} cannot be a word; it must not be empty, begin with `#` or hold spaces "
            "other than single ones between its parts."
        )
    if (unfit := next((phone for phone in entry.phones if words_of(phone) != [phone]), None)) is not None:
        raise DataError(f"{source}: {unfit!r} in {shown(entry.word)} cannot be a phone; phones hold no spaces.")
    if not is_held(entry.word, entry.phones):
        raise DataError(
            f"{source}: {shown(entry.word)} with {shown(' '.join(entry.phones))} would be read as something else from "
            "a file; a word must not end in a number in parentheses nor begin with `;;;`, and numbers are no phones."
        )
    if not math.isfinite(entry.weight):
        raise DataError(f"{source}: the weight of {shown(entry.word)} is {entry.weight}; give a finite number.")
    for text in (entry.word, *entry.phones):
        if CONTROL.search(text) or not (text.isascii() or (nfc(text) == text and _encodes(text))):
            raise DataError(
                f"{source}: {shown(text)} holds control characters or is not in Unicode's form NFC; normalise it."
            )


def _encodes(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
