"""Small published models, opened as sources of an export."""

from __future__ import annotations

from pathlib import Path

from asr_transfer.commands.export import ExportCommand, open_source
from asr_transfer.deployment import Source
from tests.models.pretrained import ctc_folders, whole_whisper


def opened(folder: Path, profile: Path | None = None, language: str | None = None) -> Source:
    """Return the source that `asr-transfer export` makes of a model folder."""
    command = ExportCommand(model=folder, to="transformers", profile=profile, language=language, out=folder / "out")
    return open_source(command, lambda line: None)


def whisper(folder: Path, language: str | None = None) -> Source:
    """Write a small Whisper, and return it."""
    whole_whisper.write_whisper(folder)
    return opened(folder, language=language)


def ctc(folder: Path, name: str = "wav2vec2") -> Source:
    """Write a small model of a family of `ctc_folders`, and return it."""
    ctc_folders.write(folder, name)
    return opened(folder)
