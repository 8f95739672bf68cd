"""Tokens: the symbols a CTC head can emit. Index 0 is always the blank."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from asr_transfer.config import Units
from asr_transfer.errors import DataError

BLANK = "<blank>"
SPACE = "<space>"


class Tokens:
    """The symbols of a head, in order of their index.

    Args:
        symbols: distinct symbols without the blank; a space is a symbol like any other.
        units: `characters` (a text is spelled letter by letter), `words` (a token per word), `phones` (a token per
            symbol of a pronunciation), or `toneless-phones` (the same without the digits that tell tone or stress).
    """

    def __init__(self, symbols: Sequence[str], units: Units = "characters") -> None:
        if len(set(symbols)) != len(symbols):
            raise DataError("the tokens contain a symbol twice; every symbol may stand once.")
        unfit = [symbol for symbol in symbols if symbol in ("", BLANK, SPACE) or "\n" in symbol]
        if unfit:
            raise DataError(f"{unfit[0]!r} cannot be a token: it has a meaning of its own in the token file.")
        self.symbols = [BLANK, *symbols]
        self.units: Units = units
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokens) and self.symbols == other.symbols and self.units == other.units

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_texts(cls, texts: Iterable[str], units: Units = "characters") -> Tokens:
        """Collect the symbols that occur in `texts`, sorted."""
        found: set[str] = set()
        for text in texts:
            found.update(_pieces(text, units))
        if not found:
            raise DataError("the transcripts hold no symbols to make tokens from; check the manifest's `text`.")
        return cls(sorted(found), units)

    def encode(self, text: str, where: str = "the transcript") -> list[int]:
        """Spell `text` in token indices.

        Raises:
            DataError: a symbol is not among the tokens; the message names `where`, the symbol and the mend.
        """
        pieces = _pieces(text, self.units)
        unknown = sorted({piece for piece in pieces if piece not in self._index})
        if unknown:
            listed = ", ".join(repr(piece) for piece in unknown[:5])
            noun = "phones" if spells_phones(self.units) else self.units
            raise DataError(
                f"{where}: {listed} cannot be spelled by the model's {noun}; "
                "rewrite the transcript (spell out digits, drop punctuation) or choose a model that knows them."
            )
        return [self._index[piece] for piece in pieces]

    def decode(self, indices: Iterable[int]) -> str:
        """Join the symbols of `indices` (blanks skipped) into a text with single spaces."""
        joiner = "" if self.units == "characters" else " "
        return " ".join(joiner.join(self.symbols[index] for index in indices if index != 0).split())

    def save(self, path: str | Path) -> None:
        """Write one symbol per line after a line that names the units."""
        lines = [f"# units: {self.units}", *(SPACE if s == " " else s for s in self.symbols)]
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Tokens:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or not a token file.
        """
        file = Path(path)
        if not file.is_file():
            raise DataError(f"{file}: the token file is missing; the model folder is incomplete, copy it again.")
        # Not `splitlines`, which would also split at exotic separators that may be symbols.
        lines = file.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
        units = lines[0].removeprefix("# units: ")
        if len(lines) < 3 or lines[1] != BLANK or units not in get_args(Units):
            raise DataError(f"{file}: is not a token file (`# units: …`, then `{BLANK}`, then a symbol per line).")
        try:
            return cls([" " if line == SPACE else line for line in lines[2:]], units)  # type: ignore[arg-type]
        except DataError as error:
            raise DataError(f"{file}: {error}") from None


def frames_needed(indices: Sequence[int]) -> int:
    """Return the fewest output frames CTC can spell `indices` in: one each, and a blank between equal neighbours."""
    return len(indices) + sum(a == b for a, b in itertools.pairwise(indices))


def spells_phones(units: Units) -> bool:
    """Say whether tokens of `units` spell pronunciations instead of texts."""
    return units in ("phones", "toneless-phones")


def without_tone(phone: str) -> str:
    """Cut off the digits that tell tone or stress (`ong1`, `AH0`), unless nothing would be left."""
    return phone.rstrip("0123456789") or phone


def _pieces(text: str, units: Units) -> list[str]:
    words = text.split()
    if units == "toneless-phones":
        return [without_tone(word) for word in words]
    return list(" ".join(words)) if units == "characters" else words
