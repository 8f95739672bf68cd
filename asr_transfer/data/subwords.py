"""Finds pieces of words by SentencePiece's unigram model (Kudo 2018; Kudo and Richardson 2018).

A piece that begins a word begins with `▁`; every character of the texts is a piece too, so that any text of them can be
spelled. A text is spelled in the pieces that are likeliest together, always in the same way.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from asr_transfer.errors import DataError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

MARK = "▁"
"""Stands for the space before a word."""
_RESERVED = "▅"
"""SentencePiece takes no text that holds it: the name of what it does not know, at the index of the blank."""
_MOST = 100_000
"""No larger vocabulary is asked for."""


@dataclass(frozen=True)
class SubwordModel:
    """A SentencePiece model.

    Attributes:
        data: its file.
    """

    data: bytes

    def __getstate__(self) -> dict[str, bytes]:
        return {"data": self.data}

    @cached_property
    def _processor(self) -> SentencePieceProcessor:
        from sentencepiece import SentencePieceProcessor  # late, for it takes a while

        processor = SentencePieceProcessor()
        try:
            processor.load_from_serialized_proto(self.data)
        except RuntimeError:
            raise DataError("is no SentencePiece model") from None
        return processor

    @cached_property
    def pieces(self) -> list[str]:
        """The pieces in the order of their index, which begins at 1: 0 is what cannot be spelled.

        Raises:
            DataError: `data` is no such model.
        """
        processor = self._processor
        if processor.unk_id() != 0:
            raise DataError("is no SentencePiece model of this toolkit")
        return [processor.id_to_piece(index) for index in range(1, processor.get_piece_size())]

    def listed(self) -> list[tuple[str, float]]:
        """Return all pieces of whichever SentencePiece model with their scores, in the order of their index from 0.

        Raises:
            DataError: `data` is no such model.
        """
        processor = self._processor
        return [(processor.id_to_piece(n), processor.get_score(n)) for n in range(processor.get_piece_size())]

    @cached_property
    def characters(self) -> frozenset[str]:
        """The characters that can be spelled, the space among them."""
        return frozenset("".join(self.pieces).replace(MARK, " ")) | {" "}

    @property
    def merges(self) -> bool:
        """Whether texts are spelled by merging neighbours, as `subwords_of` was told, not in the likeliest pieces."""
        return self.data.endswith(_settings(True))

    @property
    def checksum(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.data).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return the indices of the pieces that spell `text`, which holds known characters and single spaces alone."""
        return list(self._processor.encode(text, out_type=int)) if text else []


def train_subwords(texts: Iterable[str], pieces: int) -> SubwordModel:
    """Find the pieces that make the texts likeliest; the same texts in any order give the same pieces.

    Args:
        texts: texts to be spelled; how often one occurs counts.
        pieces: number of pieces that are wanted. There are more where the texts have more characters than that, and
            fewer where they hold no more pieces.

    Raises:
        DataError: the texts are empty or hold a character that SentencePiece keeps for itself.
    """
    lines = sorted(" ".join(text.split()) for text in texts)
    lines = lines[sum(not line for line in lines) :]
    characters = set("".join(lines)) - {" "}
    if not characters:
        raise DataError("the transcripts hold no symbols to make tokens from; check the manifest's `text`.")
    unfit = sorted(c for c in characters if c in (MARK, _RESERVED, "\0") or "\ud800" <= c <= "\udfff")
    if unfit:
        raise DataError(f"the transcripts hold {unfit[0]!r}, which subwords cannot spell; take it out of them.")
    from sentencepiece import SentencePieceTrainer

    out = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=out,
            model_type="unigram",
            # Every character, the mark, and the unknown.
            vocab_size=min(max(pieces + 1, len(characters) + 2), max(_MOST, len(characters) + 2)),
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=max(10, *(len(line.encode()) for line in lines)),
            unk_id=0,
            unk_piece=_RESERVED,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(
            f"SentencePiece finds no pieces of words in the transcripts ({error}); take `characters` as units."
        ) from None
    return SubwordModel(out.getvalue())


def subwords_of(pieces: Sequence[tuple[str, float]], merges: bool = False) -> SubwordModel:
    """Return the model of pieces that others found, in their order.

    Args:
        pieces: pieces and their scores: logarithms of probabilities, or of `merges` the higher the sooner.
        merges: whether a text is spelled by merging neighbours (byte-pair encoding, Sennrich et al. 2016) instead of in
            the likeliest pieces.

    Raises:
        DataError: SentencePiece takes no such pieces, such as one that stands twice.
    """
    listed = [(_RESERVED, 0.0, 2), *((piece, score, 1) for piece, score in pieces)]
    data = b"".join(
        _field(1, _field(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind]))
        for piece, score, kind in listed
    )
    model = SubwordModel(data + _settings(merges))
    try:
        found = model.pieces
    except DataError:
        found = []
    if found != [piece for piece, _ in pieces]:
        raise DataError("the pieces of words cannot be those of a SentencePiece model; one of them may stand twice.")
    return model


def _settings(merges: bool) -> bytes:
    """Return the way of spelling (field 3 of the trainer's settings), and that texts are left as they are."""
    return _field(2, bytes([0x18, 1 + merges])) + _field(3, _field(1, b"identity"))


def _field(number: int, data: bytes) -> bytes:
    """Return a field of bytes of a protocol buffer, as SentencePiece's files are."""
    size, length = len(data), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes([number << 3 | 2]) + bytes(length) + data
