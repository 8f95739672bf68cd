"""Spells texts in the byte pairs of a pretrained model's own tokenizer, between the tokens that tell it what to do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence, Set
from functools import cached_property
from pathlib import Path
from typing import Any

from asr_transfer import textfiles
from asr_transfer.data.tokens import Tokens
from asr_transfer.errors import DataError, nearest_hint

UNITS = "byte-pairs"
"""How a token file names them."""

_START, _END = "<|startoftranscript|>", "<|endoftext|>"
_TASK, _PLAIN = "<|transcribe|>", "<|notimestamps|>"
_PREVIOUS = "<|startofprev|>"
_NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
_CHECKSUM, _SIZE, _NEVER, _NEVER_FIRST = "# tokenizer: sha256 ", "# size: ", "# never: ", "# never first: "

_ALIASES = {"cmn": "zh", "nb": "no", "fil": "tl", "jv": "jw", "iw": "he", "sh": "sr", "cnr": "sr"}
"""Codes that manifests have, and the ones that Whisper calls the same languages by."""
_UNSPACED = frozenset(("zh", "ja", "th", "lo", "my", "yue", "bo", "km"))
"""Languages written without spaces, in whose texts none stands before the first word."""


class BytePairTokens(Tokens):
    """Tokens of a `tokenizer.json` such as Whisper's: byte pairs of any text, and marks such as languages.

    A target is what a decoder writes: the prompt (start, language, task, no timestamps), the text, and the end.

    Args:
        data: Bytes of the tokenizer's file.
        size: Number of tokens that the model knows; None for those of the file.
        never: Tokens that the model's makers never let it write, such as brackets.
        never_first: Tokens that they never let a text begin with.

    Raises:
        DataError: The file is damaged, or lacks the marks that a prompt is made of.
    """

    def __init__(
        self, data: bytes, size: int | None = None, never: Sequence[int] = (), never_first: Sequence[int] = ()
    ) -> None:
        self.data, self.never, self.never_first = data, tuple(never), tuple(never_first)
        self._tokenizer = _read(data)
        vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        self.symbols = [""] * max(size or 0, 1 + max(vocabulary.values()))
        for symbol, index in vocabulary.items():
            self.symbols[index] = symbol
        self.units = "subwords"
        self.model = None
        self._index = vocabulary
        if missing := [mark for mark in (_START, _END, _PLAIN) if mark not in vocabulary]:
            raise DataError(f"the tokenizer knows no {missing[0]}, so it is not one of Whisper's.")
        self.start, self.end = vocabulary[_START], vocabulary[_END]
        self.no_speech = next((vocabulary[mark] for mark in _NO_SPEECH if mark in vocabulary), None)
        # Only multilingual models have languages; those of English alone have other marks of the same names.
        several = _TASK in vocabulary and vocabulary.get("<|en|>", -1) > self.start
        marks = (_LANGUAGE.fullmatch(symbol) for symbol in vocabulary)
        self.languages: dict[str, int] = {m[1]: vocabulary[m[0]] for m in marks if m} if several else {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BytePairTokens):
            return False
        mine, theirs = ((o.data, o.never, o.never_first, len(o)) for o in (self, other))
        return mine == theirs

    __hash__ = None

    @property
    def alphabet(self) -> Set[str]:
        """See `Tokens.alphabet`; any text can be written."""
        return self._index.keys()

    @property
    def writes_everything(self) -> bool:
        """See `Tokens.writes_everything`."""
        return True

    @property
    def writes_spaces(self) -> bool:
        """See `Tokens.writes_spaces`."""
        return True

    def language(self, code: str) -> str | None:
        """Return the model's own code of a language, None where it does not know it."""
        first = code.partition("-")[0].partition("_")[0].lower()
        found = _ALIASES.get(first, first)
        return found if found in self.languages else None

    def require_language(self, code: str, where: str) -> str:
        """Return the model's own code of a language; `where` begins the message.

        Raises:
            DataError: The model does not know it.
        """
        found = self.language(code)
        if found is None:
            hint = nearest_hint(code, self.languages)
            raise DataError(f"{where}: the model knows no language '{code}'; name another with --language.{hint}")
        return found

    def prompt(self, language: str | None) -> list[int]:
        """Return what a decoder is told before it writes, in one of the model's own languages."""
        if not self.languages:
            return [self.start, self._index[_PLAIN]]
        assert language is not None
        return [self.start, self.languages[language], self._index[_TASK], self._index[_PLAIN]]

    def previous(self, text: str, most: int) -> list[int]:
        """Return what a decoder is told to have been said before, to stand before the prompt.

        Args:
            text: Text of what was said, of which the end is kept.
            most: Greatest number of tokens.

        Raises:
            DataError: The model knows no mark for that.
        """
        if _PREVIOUS not in self._index:
            raise DataError(f"the model's tokenizer knows no {_PREVIOUS}, so it takes no prompt; leave it out.")
        return [self._index[_PREVIOUS], *self._spelled(text, True)[1 - most :]]

    def spellings(self, text: str) -> list[tuple[int, ...]]:
        """Return the tokens of a text behind a space, and behind anything else."""
        return [tuple(self._spelled(text, spaced)) for spaced in (True, False)]

    @cached_property
    def pieces(self) -> list[bytes]:
        """Bytes of each token; none of marks."""
        byte_of = _bytes_of_symbols()
        found = [b""] * len(self.symbols)
        for index, symbol in enumerate(self.symbols[: self.end]):
            found[index] = bytes(byte_of[letter] for letter in symbol if letter in byte_of)
        return found

    def encode(self, text: str, where: str = "the transcript", what: str = "transcript") -> list[int]:
        """Spell a text; see `Tokens.encode`. Marks that stand in it are letters like any others."""
        return self._spelled(text, True)

    def targets(self, text: str, language: str, where: str = "the transcript") -> list[int]:
        """See `Tokens.targets`: the prompt, the text, and the end."""
        own = self.require_language(language, where) if self.languages else None
        return [*self.prompt(own), *self._spelled(text, own not in _UNSPACED), self.end]

    def _spelled(self, text: str, spaced: bool) -> list[int]:
        joined = " ".join(text.split())
        ids: list[int] = self._tokenizer.encode((" " if spaced else "") + joined, add_special_tokens=False).ids
        return ids

    def written(self, text: str) -> str:
        """See `Tokens.written`: any text as it is."""
        return text

    def decode(self, indices: Iterable[int]) -> str:
        """Return the text of `indices` with single spaces; what is no text, such as the prompt, is skipped."""
        text: str = self._tokenizer.decode([index for index in indices if index < self.end])
        return " ".join(text.split())

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the tokenizer's file."""
        return hashlib.sha256(self.data).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write a token file that names the tokenizer, and the tokenizer beside it (`tokenizer_file`)."""
        textfiles.write_bytes(tokenizer_file(path), self.data)
        lines = [f"# units: {UNITS}", _CHECKSUM + self.checksum, f"{_SIZE}{len(self)}"]
        lines += [_NEVER + " ".join(map(str, self.never)), _NEVER_FIRST + " ".join(map(str, self.never_first))]
        textfiles.write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> BytePairTokens:
        """Read what `save` wrote.

        Raises:
            DataError: A file is missing or damaged.
        """
        file, beside = Path(path), tokenizer_file(path)
        lines = textfiles.read_text(file, "copy the model again").splitlines()
        try:
            checksum, size, never, first = (
                line.removeprefix(name)
                for line, name in zip(lines[1:], (_CHECKSUM, _SIZE, _NEVER, _NEVER_FIRST), strict=True)
            )
            numbers = [[int(part) for part in line.split()] for line in (size, never, first)]
            ((count,), own, begin) = numbers
        except ValueError:
            raise DataError(f"{file}: is no token file of byte pairs; copy the model again.") from None
        if not beside.is_file():
            raise DataError(f"{beside}: the tokenizer is missing; the model folder is incomplete, copy it again.")
        data = textfiles.read_bytes(beside, "copy the model again")
        if hashlib.sha256(data).hexdigest() != checksum:
            raise DataError(f"{beside}: is damaged or not the one that {file.name} belongs to; copy the model again.")
        return cls(data, count, own, begin)


def tokenizer_file(path: str | Path) -> Path:
    """Return where the tokenizer of a token file is: `tokens.HEAD.json` beside `tokens.HEAD.txt`."""
    return Path(path).with_suffix(".json")


def _bytes_of_symbols() -> dict[str, int]:
    """Return the byte that each letter of a symbol stands for: printable ones for themselves (Radford et al. 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


def _read(data: bytes) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise DataError(
            "this model's tokens are read by the package tokenizers, which is not installed; "
            "`pip install 'asr-transfer[pretrained]'` installs it."
        ) from None
    try:
        tokenizer = Tokenizer.from_str(data.decode("utf-8"))
    except Exception as error:  # the library raises its base class
        raise DataError(f"the tokenizer is damaged ({error}); copy the model again.") from None
    tokenizer.encode_special_tokens = True  # a transcript that holds the text of a mark must not become that mark
    return tokenizer
