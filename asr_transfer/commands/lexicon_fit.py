"""Checks whether a model can spell a lexicon, and makes one fit a model's phones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from asr_transfer.commands.lexicon_show import MOST_SHOWN, amounts, mapping_table, phones_of
from asr_transfer.data.lexicon import Lexicon, read_for
from asr_transfer.data.notations import Scheme, scheme_of
from asr_transfer.data.phones import map_lexicon
from asr_transfer.data.tokens import Tokens, spells_phones
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.runs.console import require_free, show


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
        head: head to spell for, where the model has several; by default the one that it was taught or adapted in last.
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
    from asr_transfer.commands.language import find_head
    from asr_transfer.decoding.recogniser import Recogniser

    if out is not None and not nearest:
        raise ConfigError("--out is for the mapped lexicon; give --map too.")
    if out is not None:
        require_free(out, overwrite)
    recogniser = Recogniser.load(model, find_head(model, head, lambda line: show(Text(line), console)))
    words = read_for(lexicon, recogniser.tokens)
    symbols = recogniser.tokens.symbols[1:]
    if not nearest:
        _require_same_language(words, symbols, str(model), recogniser.tokens.units)
        words.check(symbols, str(model))
        show(Text(f"{lexicon}: {amounts(words)}; {model} knows all {len(phones_of(words))} phones"), console)
        return 0
    mapped = _mapped(words, symbols, console)
    if out is not None:
        mapped.save(out)
        show(Text(f"{out}: written, in the phones of {model}"), console)
    return 0


@dataclass(frozen=True)
class Fit:
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
    def to(cls, model: Path | None, language: str, nearest: bool) -> Fit:
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
        phones = phones_of(words)
        if lacking := [phone for phone, _ in phones.most_common() if phone not in set(symbols)]:
            named = ", ".join(f"'{phone}' ({phones[phone]:,})" for phone in lacking[:MOST_SHOWN])
            raise DataError(
                f"{words.source}: {self.model} lacks {len(lacking)} of the {len(phones)} phones of the pronunciations: "
                f"{named}; give --map to take the nearest that it has, or leave these words out."
            )
        return words


def _mapped(words: Lexicon, symbols: Sequence[str], console: Console | None) -> Lexicon:
    """Return a lexicon in a model's phones, and print what stands for what."""
    mapped, replaced = map_lexicon(words, symbols)
    if not replaced:
        show(Text(f"{words.source}: {amounts(words)}; nothing had to be replaced by something near"), console)
        return mapped
    show(mapping_table(replaced), console)
    more = len(_ambiguous(mapped) - _ambiguous(words))
    changed = f"{sum(r.entries for r in replaced):,} replacements in {amounts(words)}"
    show(Text(f"{words.source}: {changed}; {more:,} more words share a pronunciation than before"), console)
    return mapped


def _require_same_language(words: Lexicon, symbols: Sequence[str], model: str, units: str) -> None:
    """Refuse a lexicon most of whose phones are unknown in one sentence, before `check` names a single one."""
    phones = phones_of(words)
    unknown = [phone for phone, _ in phones.most_common() if phone not in set(symbols)]
    # Single letters are phones of every notation, so that many may seem known.
    if len(unknown) * 2 > len(phones) or (unknown and scheme_of(phones) != scheme_of(symbols)):
        kind = "phones" if units in ("phones", "toneless-phones") else f"{units}, not phones"
        raise DataError(
            f"{words.source}: {model} knows {len(phones) - len(unknown)} of its {len(phones)} phones only (not "
            f"{', '.join(repr(phone) for phone in unknown[:3])}), so it seems to be of another language or notation; "
            f"the model spells {kind} such as {', '.join(map(repr, symbols[:5]))}: write them, or give --map."
        )


def _ambiguous(lexicon: Lexicon) -> set[str]:
    return {word for words in lexicon.homophones().values() if len(set(words)) > 1 for word in words}
