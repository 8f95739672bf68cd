"""What corpora were prepared to, read back: manifests by split, and what was left out as it was printed."""

from __future__ import annotations

from pathlib import Path

from asr_transfer.data.manifest import Utterance, read_manifest

SPLITS = ("train", "dev", "test")

NUMBERS = [
    *("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht"),
    *("neun", "zehn", "elf", "zwölf", "dreizehn", "achtzehn"),
]
"""Texts of which every split gets some."""


def splits_of(folder: Path, splits: tuple[str, ...] = SPLITS) -> dict[str, list[Utterance]]:
    """Return the utterances of each split."""
    return {split: read_manifest(folder / f"{split}.jsonl") for split in splits}


def rows_of(folder: Path, splits: tuple[str, ...] = SPLITS) -> dict[str, list[tuple[str, str, str, str]]]:
    """Return id, speaker, text and language of the utterances of each split."""
    manifests = splits_of(folder, splits)
    return {split: [(u.id, u.speaker, u.text, u.language) for u in found] for split, found in manifests.items()}


def by_id(splits: dict[str, list[Utterance]]) -> dict[str, Utterance]:
    """Return utterances by what stands behind corpus and language in their ids."""
    return {utterance.id.partition("/")[2]: utterance for utterances in splits.values() for utterance in utterances}


def left_out(printed: str, reason: str) -> set[str]:
    """Return the ids, without corpus and language where they have one, that were said to be left out for a reason."""
    lines = [line for line in printed.splitlines() if line.startswith(f"  left out, {reason}: ")]
    return {name.partition("/")[2] or name for line in lines for name in line.rpartition(": ")[2].split(", ")}


def assert_by_text(splits: dict[str, list[Utterance]]) -> None:
    """Check that no text is in two splits."""
    texts = [{u.text for u in utterances} for utterances in splits.values()]
    assert len(set.union(*texts)) == sum(map(len, texts))


def write(file: Path, *lines: str) -> Path:
    """Write lines of text into a file, with the folders that it lies in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file
