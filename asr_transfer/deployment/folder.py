"""Writes a model for a target into a folder of its own: its files, a card, and a record of what was checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_transfer.deployment.card import card
from asr_transfer.deployment.libraries import library
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import ExportOptions, find_target, require_carried
from asr_transfer.errors import ModelError
from asr_transfer.models.adapters import adapter_specs
from asr_transfer.models.configuration import refuse_foreign
from asr_transfer.models.replacing import replace_folder
from asr_transfer.plain import to_json, to_plain
from asr_transfer.runs.record import versions
from asr_transfer.textfiles import require_writable_folder, write_text

RECORD, FORMAT = "export.json", 1


@dataclass(frozen=True)
class Exported:
    """A model as it was written.

    Attributes:
        folder: Folder that was written.
        target: Name of the target.
        check: Results of the comparison with the model itself.
        lines: Sentences on them, and on what stayed behind.
    """

    folder: Path
    target: str
    check: Mapping[str, Any]
    lines: Sequence[str]


def export(source: Source, to: str, out: Path, options: ExportOptions, overwrite: bool = False) -> Exported:
    """Write a model for a target.

    Args:
        source: model, its head and what its folders say of it.
        to: name of the target.
        out: folder to write.
        options: ways to write that the target takes.
        overwrite: whether to replace an export that `out` holds.

    Raises:
        ConfigError: the target is unknown, cannot carry the model or an option, or needs what is not installed.
        DataError: a lexicon is damaged, or holds what the model cannot write.
        ModelError: `out` holds something else, cannot be written, or what was written recognises otherwise than the
            model; nothing is left behind then, and what stood there is untouched.
    """
    target = find_target(to)
    require_place(out, overwrite)
    require_carried(target, source, options)
    for module, extra in target.needs.items():
        library(module, extra, to)
    lines: list[str] = []
    check: dict[str, Any] = {}

    def write(partial: Path) -> None:
        report = target.write(source, partial, options)
        lines.extend([*report.lines, *_left_behind(source)])
        check.update(report.check)
        written = sorted(path for path in partial.rglob("*") if path.is_file())
        record = {
            "format": FORMAT,
            "target": to,
            "model": source.model,
            "profile": source.profile,
            "head": source.recogniser.head,
            "options": to_plain(options),
            "versions": versions(),
            "check": report.check,
            "files": {path.relative_to(partial).as_posix(): path.stat().st_size for path in written},
            **report.facts,
        }
        write_text(partial / RECORD, f"{to_json(record, indent=2)}\n")
        write_text(partial / "README.md", card(source, target, options, lines))

    try:
        replace_folder(out, write)
    except OSError as error:
        raise ModelError(
            f"{out}: the export cannot be written ({error}); free space or choose another folder. "
            "What stood there before is untouched."
        ) from error
    return Exported(out, to, check, lines)


def require_place(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something else, or an export that is not to be replaced.

    Raises:
        ConfigError: it cannot be written.
        ModelError: it holds something else, or an export already.
    """
    require_writable_folder(out)
    refuse_foreign(out, RECORD, "model's export")
    if not (out / RECORD).is_file():
        return
    try:
        known = {RECORD, "README.md", *json.loads((out / RECORD).read_bytes())["files"]}
    except (OSError, ValueError, TypeError, KeyError):
        raise ModelError(f"{out}: holds a damaged {RECORD}; choose another --out.") from None
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    if foreign := sorted(files - known):
        raise ModelError(f"{out}: holds other things than an export ({foreign[0]}); choose another --out.")
    if not overwrite:
        raise ModelError(f"{out}: already holds an export; give --overwrite to replace it, or another --out.")


def _left_behind(source: Source) -> list[str]:
    """Return sentences on what of a recogniser no runtime has."""
    recogniser = source.recogniser
    lines = []
    if recogniser.others:
        lines.append(f"the heads {', '.join(recogniser.others)} stay behind: an export listens in one language")
    if recogniser.test_time is not None:
        lines.append("its adaptation to each recording stays behind: only asr-transfer adapts while it recognises")
    if specs := adapter_specs(recogniser.model):
        lines.append(f"adapters that cannot be folded into weights went with it: {', '.join(map(str, specs))}")
    return lines
