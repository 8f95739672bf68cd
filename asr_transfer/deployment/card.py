"""Writes the card of an export: what it is, how it is run, how well it recognises, and under which licences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from asr_transfer.deployment.losses import lost_by_others
from asr_transfer.deployment.source import Source
from asr_transfer.deployment.target import ExportOptions, Target
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.finished_run import profile_of, read_finished
from asr_transfer.evaluation.foreign import read_hypotheses
from asr_transfer.evaluation.normalisation import Unit
from asr_transfer.evaluation.scoring import align
from asr_transfer.evaluation.significance import error_rate
from asr_transfer.language_codes import require_code
from asr_transfer.textfiles import decoded, spelled

UNITS: tuple[Unit, ...] = ("word", "character")
LONGEST = 20_000
"""Characters of a model's own card that are taken over."""

_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def card(source: Source, target: Target, options: ExportOptions, lines: Sequence[str]) -> str:
    """Return the text of an export's README.md.

    Args:
        source: model that was exported.
        target: target that it was exported to.
        options: ways in which it was written.
        lines: sentences on what was checked and what stayed behind.
    """
    recogniser = source.recogniser
    own, licence = _own_card(source.folder)
    base = f"Base: the model `{source.model}`"
    method = recogniser.origin.get("method")
    base += f", adapted by `{method}`" if isinstance(method, str) else ""
    base += f", with the profile `{source.profile}` folded in: {source.profile_facts}" if source.profile else ""
    parts = [
        f"# Speech recogniser{_languages(source)} for {target.runtime}",
        f"Written by `asr-transfer export --to {target.name}`. {base}.",
        "## How to run it",
        target.usage(source, options).strip(),
    ]
    if lines:
        parts += ["## What was checked", "\n".join(f"- {line[0].upper()}{line[1:]}." for line in lines)]
    figures = [line for run in source.runs for line in run_figures(run, recogniser.speaks)]
    parts += ["## Errors", "\n".join(f"- {line}" for line in figures) or "No run record states any."]
    if lost := [line for run in source.runs for line in lost_by_others(run)]:
        parts += ["## What others lost", "\n".join(f"- {line}" for line in lost)]
    parts += ["## Licences", licence]
    if own:
        parts += ["## Card of the model that it was made from", own]
    front = dict(target.front_matter(source, options))
    head = f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n" if front else ""
    return head + spelled("\n\n".join(parts)) + "\n"


def _languages(source: Source) -> str:
    """Return the languages that an export writes, in brackets; empty where they are not known, or too many to name."""
    name = source.recogniser.speaks
    try:
        require_code(name)
    except ConfigError:
        return ""
    return f" ({name})"


def run_figures(run: Path, language: str = "") -> list[str]:
    """Return lines on the errors that a finished run counted, with intervals of 95 %; none where it counted none.

    Args:
        run: run folder.
        language: language that counts, where the run scored several.
    """
    try:
        record = read_finished(run)
        found = read_hypotheses(run / "hypotheses.jsonl").utterances
        profile = profile_of(record, run / "run.json")
    except DataError:
        return []
    own = [one for one in found if one.language == language]
    if own and len(own) < len(found):
        found = own
    lines = []
    for unit in UNITS:
        if (rate := error_rate(align(found, unit, profile))) is None:
            continue
        between = ""
        if rate.low is not None and rate.high is not None:
            between = f" ({100 * rate.low:.1f} … {100 * rate.high:.1f})"
        lines.append(f"errors in {unit}s: {100 * rate.value:.1f} %{between} of {len(found)} utterances of `{run}`")
    return lines


def _own_card(folder: Path) -> tuple[str, str]:
    """Return the text of a model folder's card, its headings two steps lower, and a sentence on licences."""
    unknown = "The model's folder states none: ask whoever made it and its data before you pass it on."
    try:
        text = decoded((folder / "README.md").read_bytes(), folder / "README.md")
    except (OSError, DataError):
        return "", unknown
    licence = unknown
    if front := _FRONT.match(text):
        text = text[front.end() :]
        try:
            stated = yaml.safe_load(front[1])
        except (yaml.YAMLError, ValueError, TypeError, RecursionError):
            stated = None
        if isinstance(stated, dict) and isinstance(stated.get("license"), str):
            licence = f"The model's card states `{stated['license']}`."
    elif re.search(r"licen[cs]e", text, re.IGNORECASE):
        licence = "Those of the data that it was trained on stand on the model's card below."
    text = text.strip()
    if len(text) > LONGEST:
        text = f"{text[:LONGEST].rpartition(chr(10))[0]}\n\n(The rest is left out.)"
    return re.sub(r"^(#+ )", r"##\1", text, flags=re.MULTILINE), licence
