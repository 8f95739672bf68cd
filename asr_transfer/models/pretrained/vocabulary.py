"""Arranges what the outputs of a published CTC model mean as tokens, with the blank first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.config import Units
from asr_transfer.data.subwords import MARK, subwords_of
from asr_transfer.data.tokens import BLANK, SPACE, Tokens
from asr_transfer.errors import DataError, ModelError

SPECIAL = frozenset(
    {"<unk>", "<s>", "</s>", "<pad>", "[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "<blank>", "<|endoftext|>"}
)
"""Symbols that stand in no text."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens, and where the published head has them.

    Attributes:
        tokens: Tokens, the blank first.
        rows: Row of the published head for each of them.
        left_out: Symbols that texts never hold, such as `<s>`, whose rows are not taken over.
        language: Name of the language, where the vocabulary is one of several.
    """

    tokens: Tokens
    rows: tuple[int, ...]
    left_out: tuple[str, ...] = ()
    language: str | None = None


def arranged(
    file: Path,
    indices: Mapping[str, int],
    blank: int,
    delimiter: str = "",
    special: Collection[str] = SPECIAL,
    scores: Mapping[str, float] | None = None,
    merges: bool = False,
    units: Units = "characters",
) -> Vocabulary:
    """Arrange the symbols of a published head as tokens, the blank first, without those that no text holds.

    Args:
        file: file that they are from, for messages.
        indices: row of each symbol.
        blank: row of the blank.
        delimiter: symbol that stands for a space, among symbols that are no pieces of words; "" for none.
        special: symbols that stand in no text.
        scores: scores of pieces of words; None where the symbols are none.
        merges: whether texts are spelled by merging pieces.
        units: units of symbols that are no pieces of words.

    Raises:
        ModelError: they cannot be tokens.
    """
    by_index = sorted((index, name) for name, index in indices.items() if index != blank)
    pieced = bool(scores) and any(len(name) > 1 for _, name in by_index if name not in special)
    kept: dict[str, int] = {}
    left_out = []
    for index, name in by_index:
        # Pieces of words have their own mark for spaces, so that among them the delimiter is a letter like any other.
        symbol = " " if not pieced and name in (MARK, delimiter) and name else name
        if name in special or symbol in ("", BLANK, SPACE, *kept) or "\n" in symbol:
            left_out.append(name)
        else:
            kept[symbol] = index
    if not kept:
        raise ModelError(f"{file}: names no symbols that texts are written in; copy the tokenizer's files again.")
    try:
        if pieced and scores is not None:
            model = subwords_of([(symbol, scores[symbol]) for symbol in kept], merges)
            tokens = Tokens(list(kept), "subwords", model)
        else:
            tokens = Tokens(list(kept), units)
    except DataError as error:
        raise ModelError(f"{file}: {error}") from None
    return Vocabulary(tokens, (blank, *kept.values()), tuple(left_out))
