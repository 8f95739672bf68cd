"""Reads sentences out of files of plain text and out of manifests, and spells them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr_transfer.data.manifest import read_manifest
from asr_transfer.data.subwords import MARK
from asr_transfer.errors import DataError
from asr_transfer.orthography import tidied, visible
from asr_transfer.textfiles import read_lines
from asr_transfer.whitespace import words_of


def read_texts(paths: Sequence[Path]) -> list[str]:
    """Return the sentences of files: the lines of texts, and the `text` of manifests (.jsonl).

    Raises:
        DataError: a file is missing, not UTF-8 text, or holds no sentences.
    """
    return [text for path in paths for text in sentences_of(path)]


def sentences_of(path: Path) -> list[str]:
    """Return the sentences of one file, as `read_texts` does."""
    if path.suffix == ".jsonl":
        return [visible(utterance.text) for utterance in read_manifest(path)]
    lines = read_lines(path, "give a file with a sentence per line")
    if not (found := [visible(line) for line in lines if line.strip()]):
        raise DataError(f"{path}: holds no sentences; write one per line.")
    return found


def spelled(text: str) -> str:
    """Return a sentence as a language model of letters reads it: each letter a word, and `▁` behind each word."""
    return " ".join(" ".join([*tidied(word), MARK]) for word in words_of(text))
