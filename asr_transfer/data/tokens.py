"""Defines tokens: the symbols a CTC head can emit. Index 0 is always the blank."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import get_args

from asr_transfer import textfiles
from asr_transfer.config import PIECES, SubwordConfig, Units
from asr_transfer.data.subwords import MARK, SubwordModel, train_subwords
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.orthography import respelled, tidied

BLANK = "<blank>"
SPACE = "<space>"
_CHECKSUM = "# model: sha256 "


class Tokens:
    """The symbols of a head, in order of their index.

    Args:
        symbols: distinct symbols without the blank; a space is a symbol like any other.
        units: `characters` (a text is spelled letter by letter), `subwords` (in pieces of words), `words` (a token per
            word), `phones` (a token per symbol of a pronunciation), or `toneless-phones` (the same without the digits
            that tell tone or stress).
        model: SentencePiece model of subwords, and of nothing else; `symbols` are its pieces.

    Raises:
        DataError: a symbol stands twice or cannot be one; subwords are not those of their model.
    """

    def __init__(self, symbols: Sequence[str], units: Units = "characters", model: SubwordModel | None = None) -> None:
        if len(set(symbols)) != len(symbols):
            raise DataError("the tokens contain a symbol twice; every symbol may stand once.")
        unfit = [symbol for symbol in symbols if symbol in ("", BLANK, SPACE) or "\n" in symbol]
        if unfit:
            raise DataError(f"{unfit[0]!r} cannot be a token: it has a meaning of its own in the token file.")
        if (units == "subwords") != (model is not None) or (model is not None and model.pieces != list(symbols)):
            raise DataError("subwords are the pieces of a SentencePiece model, which is another one or not given.")
        self.symbols = [BLANK, *symbols]
        self.units: Units = units
        self.model = model
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokens):
            return False
        return (self.symbols, self.units, self.model) == (other.symbols, other.units, other.model)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_texts(cls, texts: Iterable[str], units: Units = "characters", pieces: int | None = None) -> Tokens:
        """Collect the symbols that occur in `texts`, sorted; or of subwords learn `pieces` (`config.PIECES`) from them.

        Raises:
            DataError: the texts are empty, or hold what cannot be a token.
        """
        if not spells_phones(units):
            # Canonically equivalent letters are one token, and marks of direction and the like none.
            texts = (tidied(text) for text in texts)
        if units == "subwords":
            model = train_subwords(texts, pieces or PIECES)
            return cls(model.pieces, units, model)
        found: set[str] = set()
        for text in texts:
            found.update(pieces_of(text, units))
        if not found:
            raise DataError("the transcripts hold no symbols to make tokens from; check the manifest's `text`.")
        return cls(sorted(found), units)

    def encode(self, text: str, where: str = "the transcript", what: str = "transcript") -> list[int]:
        """Spell `text`, which is a `what`, in token indices, in the form that `written` returns.

        Raises:
            DataError: a symbol is not among the tokens; the message names `where`, the symbol and the mend.
        """
        # Each character is a piece, so that what subwords cannot spell are characters.
        pieces = pieces_of(self.written(text), self.units)
        if unknown := sorted(set(pieces) - self.alphabet):
            listed = ", ".join(repr(piece) for piece in unknown[:5])
            noun = "phones" if spells_phones(self.units) else self.units
            other_case = sum(piece.swapcase() in self.alphabet for piece in unknown)
            mends = ["use the model's case"] * bool(other_case)
            mends += ["spell out digits", "drop punctuation"] * (other_case < len(unknown))
            whole = " A model of whole words writes no others: leave them out." if self.units == "words" else ""
            raise DataError(
                f"{where}: {listed} cannot be spelled by the model's {noun}; "
                f"rewrite the {what} ({', '.join(mends)}) or choose a model that knows them.{whole}"
            )
        if self.model is not None:
            return self.model.encode("".join(pieces))
        return [self._index[piece] for piece in pieces]

    @property
    def alphabet(self) -> Set[str]:
        """What texts can be made of: the symbols, of subwords their characters and the space; a view, not to change."""
        return self._index.keys() if self.model is None else self.model.characters

    def written(self, text: str) -> str:
        """Return the form of a text that the tokens can write: composed or decomposed, without stray invisible marks.

        Forms that Unicode calls equivalent are one text, whichever of them the model has learnt, and so are texts with
        other code points for the apostrophe; where none can be written, it is the one with the fewest strange
        characters. Phones stay as they are.
        """
        strange = any(mark in text and mark not in self.alphabet for mark in "'`")
        if spells_phones(self.units) or (text.isascii() and not strange):
            return text
        plain = tidied(text)
        forms = (plain, text, unicodedata.normalize("NFD", plain), *respelled(plain, self.alphabet))
        return min(forms, key=lambda form: len(set(pieces_of(form, self.units)) - self.alphabet))

    def targets(self, text: str, language: str, where: str = "the transcript") -> list[int]:
        """Return what a model is trained to write for a text in a language: of CTC its spelling alone.

        Raises:
            DataError: It cannot be spelled; the message names `where`.
        """
        return self.encode(text, where)

    @property
    def writes_everything(self) -> bool:
        """Whether any text can be written, with capital letters and punctuation."""
        return False

    @property
    def writes_spaces(self) -> bool:
        """Whether texts of these tokens hold spaces: those of some scripts do not."""
        return self.units != "characters" or " " in self._index

    def decode(self, indices: Iterable[int]) -> str:
        """Join the symbols of `indices` (blanks skipped) into a text with single spaces."""
        joiner = "" if self.units in ("characters", "subwords") else " "
        text = joiner.join(self.symbols[index] for index in indices if index != 0)
        return " ".join((text if self.model is None else text.replace(MARK, " ")).split())

    def save(self, path: str | Path) -> None:
        """Write one symbol per line after a line that names the units; of subwords their model too (`model_file`)."""
        lines = [f"# units: {self.units}", *(SPACE if s == " " else s for s in self.symbols)]
        if self.model is not None:
            lines.insert(1, _CHECKSUM + self.model.checksum)
            textfiles.write_bytes(model_file(path), self.model.data)
        textfiles.write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Tokens:
        """Read what `save` wrote.

        Raises:
            DataError: the file, or the model of its subwords, is missing or damaged.
        """
        file = Path(path)
        if not file.is_file():
            raise DataError(f"{file}: the token file is missing; the model folder is incomplete, copy it again.")
        # Not `splitlines`, which would also split at exotic separators that may be symbols.
        data = textfiles.read_bytes(file, "copy the model again")
        lines = data.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n").split("\n")
        units, model = lines[0].removeprefix("# units: "), None
        if units == "byte-pairs":  # imported late: it is made of this module
            from asr_transfer.data.byte_pairs import BytePairTokens

            return BytePairTokens.load(file)
        if units == "subwords" and len(lines) > 1 and lines[1].startswith(_CHECKSUM):
            model = _read_model(model_file(file), lines.pop(1).removeprefix(_CHECKSUM), file)
        if len(lines) < 3 or lines[1] != BLANK or units not in get_args(Units):
            raise DataError(f"{file}: is not a token file (`# units: …`, then `{BLANK}`, then a symbol per line).")
        try:
            return cls([" " if line == SPACE else line for line in lines[2:]], units, model)  # type: ignore[arg-type]
        except DataError as error:
            raise DataError(f"{file}: {error}") from None


def language_tokens(
    texts: Mapping[str, Sequence[str]], units: Mapping[str, Units], config: SubwordConfig | None = None
) -> dict[str, Tokens]:
    """Return each language's tokens; shared subwords are the same for all languages that have any.

    Args:
        texts: texts to be spelled, by language.
        units: units by language.
        config: settings of the subwords; None for the usual ones.

    Raises:
        ConfigError: there are settings of subwords but no subwords, or some of a language that has none.
        DataError: the texts of a language hold no symbols, or hold what cannot be a token.
    """
    pieced = [language for language in texts if units[language] == "subwords"]
    if config is not None and not pieced:
        raise ConfigError("`subwords` says what pieces are wanted, but no units are `subwords`; leave it out.")
    config = config or SubwordConfig()
    for language in config.pieces_of:
        if language not in pieced:
            raise ConfigError(
                f"`subwords.pieces_of` names the language '{language}', which has no units `subwords`."
                f"{nearest_hint(language, pieced)}"
            )
    shared = None
    if pieced and config.shared:
        every = [text for language in pieced for text in texts[language]]
        shared = Tokens.from_texts(every, "subwords", config.pieces)
    return {
        language: shared
        if shared is not None and language in pieced
        else Tokens.from_texts(own, units[language], config.pieces_of.get(language, config.pieces))
        for language, own in texts.items()
    }


def piece_remarks(tokens: Mapping[str, Tokens], config: SubwordConfig | None = None) -> list[str]:
    """Return a line for each language (one for all, if shared) whose subwords are more or fewer than was wanted."""
    config, lines = config or SubwordConfig(), []
    for language, own in tokens.items():
        wanted, found = config.pieces_of.get(language, config.pieces), len(own) - 1
        if own.units == "subwords" and found != wanted:
            reason = "there are so many characters" if found > wanted else "no more recur in the texts"
            whose = "shared by the languages" if config.shared else language
            lines.append(f"{whose}: {found} pieces of words instead of {wanted}, for {reason}")
    return list(dict.fromkeys(lines))


def model_file(path: str | Path) -> Path:
    """Return where the SentencePiece model of a token file is: `tokens.HEAD.model` beside `tokens.HEAD.txt`."""
    return Path(path).with_suffix(".model")


def frames_needed(indices: Sequence[int]) -> int:
    """Return the fewest output frames CTC can spell `indices` in: one each, and a blank between equal neighbours."""
    return len(indices) + sum(a == b for a, b in itertools.pairwise(indices))


def spells_phones(units: Units) -> bool:
    """Say whether tokens of `units` spell pronunciations instead of texts."""
    return units in ("phones", "toneless-phones")


def without_tone(phone: str) -> str:
    """Cut off the digits that tell tone or stress (`ong1`, `AH0`), unless nothing would be left."""
    return phone.rstrip("0123456789") or phone


def pieces_of(text: str, units: Units) -> list[str]:
    """Return what tokens of `units` are made of in `text`: its characters, or its words or phones."""
    words = text.split()
    if units == "toneless-phones":
        return [without_tone(word) for word in words]
    return list(" ".join(words)) if units in ("characters", "subwords") else words


def _read_model(file: Path, checksum: str, listed: Path) -> SubwordModel:
    if not file.is_file():
        raise DataError(f"{file}: the subwords' model is missing; the model folder is incomplete, copy it again.")
    model = SubwordModel(file.read_bytes())
    # Before anything is read from it: what is damaged must not reach the parser.
    if model.checksum != checksum:
        raise DataError(f"{file}: is damaged or not the one that {listed.name} belongs to; copy the model again.")
    try:
        model.characters  # noqa: B018 - reads it
    except DataError as error:
        raise DataError(f"{file}: {error}; copy the model again.") from None
    return model
