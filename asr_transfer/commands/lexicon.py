"""Checks, extends, makes and shows pronunciation lexica: `asr-transfer lexicon`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace
from rapidfuzz import process
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asr_transfer import textfiles
from asr_transfer.commands.options import Command, NewParser
from asr_transfer.data.g2p import Notation, Reader, Source, pronounce
from asr_transfer.data.lexicon import Entry, Lexicon, read_for, require_own_form
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.notations import Scheme, scheme_of
from asr_transfer.data.phones import Replaced, map_lexicon
from asr_transfer.data.pronounce import pronounce_utterances
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.orthography import listed_word
from asr_transfer.runs.console import legible, require_free, show

SUMMARIES: Mapping[str, str] = {
    "check": "Say whether a model can spell every word of a lexicon.",
    "add": "Add words to a lexicon, their pronunciations given, looked up or guessed.",
    "g2p": "Write a lexicon of a list of words.",
    "pronounce": "Write a manifest with pronunciations, for models of phones.",
    "show": "Print what a lexicon holds, or the pronunciations of some words.",
}
MOST_SHOWN = 20
"""Rows of a table that would otherwise have as many as the lexicon has words."""


def check_lexicon(
    lexicon: Path,
    model: Path,
    *,
    head: str | None = None,
    nearest: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> int:
    """Say whether a model can spell every word of a lexicon, and what would have to be mapped.

    Args:
        lexicon: lexicon file.
        model: model folder, or the run folder of `train` or `adapt`.
        head: head to spell for, where the model has several.
        nearest: whether to take the nearest phone for each that the model lacks.
        out: file to write the mapped lexicon to.
        overwrite: whether to replace the file `out`.
        console: terminal to print to; None for the standard output.

    Returns:
        0; a lexicon that does not fit raises.

    Raises:
        DataError: the lexicon is missing or damaged, or has phones that the model does not know.
        ModelError: the model is missing or damaged.
        ConfigError: `out` without `nearest`.
    """
    from asr_transfer.decoding.recogniser import Recogniser

    if out is not None and not nearest:
        raise ConfigError("--out is for the mapped lexicon; give --map too.")
    if out is not None:
        require_free(out, overwrite)
    recogniser = Recogniser.load(model, head)
    words = read_for(lexicon, recogniser.tokens)
    symbols = recogniser.tokens.symbols[1:]
    if not nearest:
        _require_same_language(words, symbols, str(model), recogniser.tokens.units)
        words.check(symbols, str(model))
        show(Text(f"{lexicon}: {_amounts(words)}; {model} knows all {len(_phones(words))} phones"), console)
        return 0
    mapped = _mapped(words, symbols, console)
    if out is not None:
        mapped.save(out)
        show(Text(f"{out}: written, in the phones of {model}"), console)
    return 0


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
        own = scheme_of(_phones(before)) if before is not None else scheme or "ipa"
        if scheme not in (None, own):
            raise ConfigError(f"{lexicon} is written in {own}, not in {scheme}; leave --scheme out.")
        added = pronounce(words, language, source, scheme=own, reader=reader)
    old = list(before) if before is not None else []
    Lexicon([*old, *added], str(lexicon))  # refuses what stands there already
    _append(lexicon, added)
    show(_entries(added), console)
    show(Text(f"{lexicon}: {_counted(len(added), 'pronunciation')} added"), console)
    return 0


def write_pronunciations(
    wordlist: Path,
    out: Path,
    language: str,
    *,
    source: Source = "auto",
    scheme: Scheme | None = None,
    notation: Notation | None = None,
    lexicon: Path | None = None,
    reader: Reader | None = None,
    voice: str | None = None,
    model: Path | None = None,
    nearest: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> int:
    """Write a lexicon of the words of a list, one per line; blank lines and lines that begin with `#` are skipped.

    Args:
        wordlist: file with a word per line.
        out: lexicon file to write.
        language: ISO 639 code.
        source, notation, reader: parameters of `data.g2p.pronounce`.
        scheme: notation; None for the one of the model, without a model IPA.
        lexicon: file of pronunciations that go before all others.
        voice: language by whose rules the words are read, where there are none of their own.
        model: model folder whose head of the language must know all phones; None for whatever phones there are.
        nearest: whether to take the nearest phone for each that the model lacks.
        overwrite: whether to replace the file `out`.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: the list is missing, empty or not UTF-8, a word cannot be pronounced, the model lacks a phone, or
            `out` exists.
        ModelError: the model is missing or damaged, or has no head of the language.
        ConfigError: the same as of `data.g2p.pronounce`; the model spells no phones; `nearest` without a model.
    """
    require_free(out, overwrite)
    fit = _Fit.to(model, language, nearest)
    known = Lexicon.read(lexicon) if lexicon is not None else None
    places = _read_words(wordlist)
    found = pronounce(
        list(places),
        voice or language,
        source,
        scheme=fit.scheme(scheme),
        lexicon=known,
        reader=reader,
        notation=notation,
        where=places,
    )
    made = fit.fitted(Lexicon(found, str(wordlist)), console)
    made.save(out)
    guessed = sum(entry.guessed for entry in made)
    share = f"{guessed:,} of them guessed by rule" if guessed else "none of them guessed"
    show(Text(f"{out}: written, {_amounts(made)}, {share}"), console)
    return 0


def pronounce_manifest(
    manifest: Path,
    out: Path,
    language: str | None = None,
    *,
    source: Source = "auto",
    scheme: Scheme | None = None,
    notation: Notation | None = None,
    lexicon: Path | None = None,
    reader: Reader | None = None,
    voice: str | None = None,
    model: Path | None = None,
    nearest: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> int:
    """Write a manifest whose utterances have pronunciations, and print which phones they use and what was left out.

    Args:
        manifest: manifest to read.
        out: manifest to write.
        language, source, notation, reader, voice: parameters of `data.pronounce.pronounce_utterances`.
        scheme: notation; None for the one of the model, without a model IPA.
        lexicon: file of pronunciations that go before all others.
        model: model folder whose head of the language must know all phones; None for whatever phones there are.
        nearest: whether to take the nearest phone for each that the model lacks.
        overwrite: whether to replace the file `out`.
        console: terminal to print to; None for the standard output.

    Raises:
        DataError: the manifest or lexicon is missing or damaged, no utterance can be pronounced, the model lacks a
            phone, or `out` exists.
        ModelError: the model is missing or damaged, or has no head of the language.
        ConfigError: the same as of `data.pronounce.pronounce_utterances`; the model spells no phones; `nearest` without
            a model.
    """
    require_free(out, overwrite)
    known = Lexicon.read(lexicon) if lexicon is not None else None
    utterances = read_manifest(manifest)
    fit = _Fit.to(model, language or _only_language(utterances, manifest, model), nearest)
    found, report = pronounce_utterances(
        utterances,
        language,
        fit.scheme(scheme),
        known,
        source,
        reader=reader,
        notation=notation,
        voice=voice,
    )
    if not found:
        name, reason = report.dropped[0]
        raise DataError(f"{manifest}: no utterance can be pronounced; the first, '{name}': {reason}")
    if model is not None:
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
        show(_entries([entry for word in words for entry in _entries_of(loaded, word)]), console)
        return 0
    phones = _phones(loaded)
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


@dataclass(frozen=True)
class _Fit:
    """Makes pronunciations fit a head of a model, if there is one.

    Attributes:
        tokens: token set of the head; None without a model.
        model: place of the model, for messages.
        nearest: whether to take the nearest phone for each that the model lacks.
    """

    tokens: Tokens | None = None
    model: str = ""
    nearest: bool = False

    @classmethod
    def to(cls, model: Path | None, language: str, nearest: bool) -> _Fit:
        """Open the head of a language, or of a voice such as `en-gb` that of its language."""
        if model is None:
            if nearest:
                raise ConfigError("--map takes phones of a model; give --model too.")
            return cls()
        from asr_transfer.decoding.recogniser import Recogniser

        try:
            recogniser = Recogniser.load(model, language)
        except ModelError:
            if "-" not in language:
                raise
            recogniser = Recogniser.load(model, language.partition("-")[0])
        if not spells_phones(recogniser.tokens.units):
            raise ConfigError(
                f"{model}: its head '{recogniser.head}' spells {recogniser.tokens.units}, so words need no "
                "pronunciations; give the list of words itself as --lexicon."
            )
        return cls(recogniser.tokens, str(model), nearest)

    def scheme(self, asked: Scheme | None) -> Scheme:
        """Return the notation that was asked for, else the model's, else IPA."""
        return asked or ("ipa" if self.tokens is None else scheme_of(self.tokens.symbols[1:]))

    def fitted(self, words: Lexicon, console: Console | None) -> Lexicon:
        """Return pronunciations that the model knows; raises a DataError that names the phones it lacks."""
        if self.tokens is None:
            return words
        words, symbols = words.fitted(self.tokens), self.tokens.symbols[1:]
        if self.nearest:
            return _mapped(words, symbols, console)
        phones = _phones(words)
        if lacking := [phone for phone, _ in phones.most_common() if phone not in set(symbols)]:
            named = ", ".join(f"'{phone}' ({phones[phone]:,})" for phone in lacking[:MOST_SHOWN])
            raise DataError(
                f"{words.source}: {self.model} lacks {len(lacking)} of the {len(phones)} phones of the pronunciations: "
                f"{named}; give --map to take the nearest that it has, or leave these words out."
            )
        return words


def _only_language(utterances: Sequence[Utterance], manifest: Path, model: Path | None) -> str:
    """Return the language of the utterances, which a model is to fit."""
    languages = sorted({utterance.language for utterance in utterances})
    if model is not None and len(languages) != 1:
        raise DataError(
            f"{manifest}: holds utterances in {', '.join(languages)}, but --model fits one language; divide them."
        )
    return languages[0] if languages else ""


def _mapped(words: Lexicon, symbols: Sequence[str], console: Console | None) -> Lexicon:
    """Return a lexicon in a model's phones, and print what stands for what."""
    mapped, replaced = map_lexicon(words, symbols)
    if not replaced:
        show(Text(f"{words.source}: {_amounts(words)}; nothing had to be replaced by something near"), console)
        return mapped
    show(_mapping(replaced), console)
    more = len(_ambiguous(mapped) - _ambiguous(words))
    changed = f"{sum(r.entries for r in replaced):,} replacements in {_amounts(words)}"
    show(Text(f"{words.source}: {changed}; {more:,} more words share a pronunciation than before"), console)
    return mapped


def _require_same_language(words: Lexicon, symbols: Sequence[str], model: str, units: str) -> None:
    """Refuse a lexicon most of whose phones are unknown in one sentence, before `check` names a single one."""
    phones = _phones(words)
    unknown = [phone for phone, _ in phones.most_common() if phone not in set(symbols)]
    # Single letters are phones of every notation, so that many may seem known.
    if len(unknown) * 2 > len(phones) or (unknown and scheme_of(phones) != scheme_of(symbols)):
        kind = "phones" if units in ("phones", "toneless-phones") else f"{units}, not phones"
        raise DataError(
            f"{words.source}: {model} knows {len(phones) - len(unknown)} of its {len(phones)} phones only (not "
            f"{', '.join(repr(phone) for phone in unknown[:3])}), so it seems to be of another language or notation; "
            f"the model spells {kind} such as {', '.join(map(repr, symbols[:5]))}: write them, or give --map."
        )


def _require_known(added: Sequence[Entry], before: Lexicon | None, lexicon: Path) -> None:
    """Refuse a given pronunciation whose notation is not that of the lexicon."""
    if before is None:
        return
    scheme = scheme_of(_phones(before))
    if scheme != "ipa" and scheme_of([*_phones(before), *added[0].phones]) != scheme:
        raise DataError(
            f"{lexicon}: is written in {scheme}, but --phones {' '.join(added[0].phones)!r} is not; write it so too."
        )


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


def _append(lexicon: Path, added: Sequence[Entry]) -> None:
    """Write entries behind a file's lines, comments kept, through a temporary name."""
    before = textfiles.read_text(lexicon) if lexicon.exists() else ""
    with textfiles.writing(lexicon, "lexicon") as out:
        out.write(before + ("\n" if before and not before.endswith("\n") else ""))
        out.writelines(Lexicon(added).lines())


def _entries_of(lexicon: Lexicon, word: str) -> list[Entry]:
    found = [entry for entry in lexicon if entry.word == listed_word(word)]
    if not found:
        close = process.extractOne(word, lexicon.words, score_cutoff=50)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(f"{lexicon.source}: does not hold the word {word!r}; add it with `lexicon add`.{hint}")
    return found


def _phones(lexicon: Lexicon) -> Counter[str]:
    return Counter(phone for entry in lexicon for phone in entry.phones)


def _ambiguous(lexicon: Lexicon) -> set[str]:
    return {word for words in lexicon.homophones().values() if len(set(words)) > 1 for word in words}


def _amounts(lexicon: Lexicon) -> str:
    return f"{_counted(len(lexicon.words), 'word')}, {_counted(len(lexicon), 'pronunciation')}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(items: Sequence[str]) -> str:
    more = f"; and {len(items) - MOST_SHOWN:,} more" if len(items) > MOST_SHOWN else ""
    return f"{len(items):,}: {'; '.join(items[:MOST_SHOWN])}{more}" if items else "none"


def _table(*headings: tuple[str, bool]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, number in headings:
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    return table


def _mapping(replaced: Sequence[Replaced]) -> Table:
    table = _table(("phone", False), ("taken for", False), ("distance", True), ("pronunciations", True))
    for one in replaced:
        table.add_row(legible(one.phone), legible(one.by), f"{one.distance:.2f}", f"{one.entries:,}")
    return table


def _entries(entries: Iterable[Entry]) -> Table:
    table = _table(("word", False), ("phones", False), ("weight", True), ("", False), ("line", True))
    for entry in entries:
        weight = f"{entry.weight:g}" if entry.weight else ""
        line = "" if entry.line is None else str(entry.line)
        table.add_row(
            legible(entry.word), legible(" ".join(entry.phones)), weight, "guessed" if entry.guessed else "", line
        )
    return table


def _parsers(make: NewParser) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name."""
    parsers = {name: make(name, summary) for name, summary in SUMMARIES.items()}
    for name in ("check", "add", "show"):
        parsers[name].add_argument("lexicon", type=Path, help="lexicon file: word, tab, phones")
    part = parsers["check"]
    part.add_argument("--model", type=Path, required=True, help="model folder, or the run folder of `train` or `adapt`")
    part.add_argument("--language", type=str, default=None, help="head to spell for, where the model has several")
    part.add_argument(
        "--map", type=bool, default=False, help="whether to take the nearest phone for each that the model lacks"
    )
    part.add_argument("--out", type=Path, default=None, help="file to write the mapped lexicon to")
    part.add_argument("--overwrite", type=bool, default=False, help="whether to replace the file --out")
    parsers["add"].add_argument("words", nargs="+", type=str, help="words to add")
    parsers["add"].add_argument("--phones", type=str, default=None, help="pronunciation of the one word")
    part = parsers["g2p"]
    part.add_argument("wordlist", type=Path, help="file with a word per line")
    part.add_argument("--out", type=Path, required=True, help="lexicon to write")
    part.add_argument("--lexicon", type=Path, default=None, help="pronunciations that go before all others")
    part.add_argument("--overwrite", type=bool, default=False, help="whether to replace the file --out")
    part = parsers["pronounce"]
    part.add_argument("manifest", type=Path, help="manifest whose utterances are to be pronounced")
    part.add_argument("--language", type=str, default=None, help="ISO 639 code; by default each utterance's own")
    part.add_argument("--out", type=Path, required=True, help="manifest to write")
    part.add_argument("--lexicon", type=Path, default=None, help="pronunciations that go before all others")
    part.add_argument("--overwrite", type=bool, default=False, help="whether to replace the file --out")
    for name in ("g2p", "pronounce"):
        part = parsers[name]
        part.add_argument(
            "--voice",
            type=str,
            default=None,
            help="language by whose rules the words are read, where espeak-ng has none for theirs",
        )
        part.add_argument(
            "--model", type=Path, default=None, help="model whose head of the language must know all phones"
        )
        part.add_argument(
            "--map", type=bool, default=False, help="whether to take the nearest phone for each that the model lacks"
        )
    for name in ("add", "g2p"):
        parsers[name].add_argument("--language", type=str, required=True, help="ISO 639 code of the words' language")
    for part in (parsers["add"], parsers["g2p"], parsers["pronounce"]):
        part.add_argument(
            "--source",
            type=Literal["auto", "dictionary", "espeak"],
            default="auto",
            help="origin of the pronunciations",
        )
        part.add_argument(
            "--scheme",
            type=Literal["ipa", "arpabet", "pinyin"] | None,
            default=None,
            help="notation; by default that of the lexicon or model, else IPA",
        )
    parsers["show"].add_argument("words", nargs="*", type=str, help="words to show; the whole lexicon by default")
    return parsers


def _run(arguments: Namespace) -> int:
    name = arguments.subcommand
    given = arguments[name]
    if name == "check":
        return check_lexicon(
            given.lexicon, given.model, head=given.language, nearest=given.map, out=given.out, overwrite=given.overwrite
        )
    if name == "show":
        return show_lexicon(given.lexicon, given.words)
    reader = _reader(given.language)
    if name == "add":
        return add_words(
            given.lexicon,
            given.words,
            given.language,
            phones=given.phones,
            source=given.source,
            scheme=given.scheme,
            reader=reader,
        )
    manifest = name == "pronounce"
    write = pronounce_manifest if manifest else write_pronunciations
    return write(
        given.manifest if manifest else given.wordlist,
        given.out,
        given.language,
        source=given.source,
        scheme=given.scheme,
        lexicon=given.lexicon,
        reader=reader,
        voice=given.voice,
        model=given.model,
        nearest=given.map,
        overwrite=given.overwrite,
    )


def _reader(language: str | None) -> Reader | None:
    """Return what reads words of a language better than a general G2P, if anything does."""
    if language != "cmn":
        return None
    from data_prep.pinyin import pronunciation

    return lambda word: (pronunciation(word), "pinyin")


COMMAND = Command("check, extend, make or show a pronunciation lexicon", _run, below=_parsers)
