"""Describes where a table's figures come from, and whether its run is to be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asr_transfer.adaptation.adapt import BESIDE, BESIDE_PUBLISHED
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig
from asr_transfer.config import to_record
from asr_transfer.errors import AsrTransferError
from asr_transfer.runs.attempts import describe_origin, is_older
from asr_transfer.runs.resuming import plain
from docs.commands import differences, leaves, makes_runs, printed, settings_of

NAMED = 3
"""Settings that a page names where several differ."""
OLDER = "older run, to be repeated"
GPUS = ("NVIDIA", "AMD Instinct", "Tesla")
"""How names of GPUs begin in records; those of processors begin otherwise."""
_NOT_THE_METHOD = ("adapt.precision", "adapt.seed", "adapt.device")


def changed(values: Mapping[str, Any]) -> dict[str, str]:
    """Return how today's settings of a record's printed command differ from the record's, in words by name.

    Benchmarks are no recipes, and have nothing to set but what they measure.
    """
    try:
        command = printed(values)
        found = differences(settings_of(command), values) if makes_runs(command) else {}
        return {name: words for name, words in found.items() if name not in unread(values)}
    except AsrTransferError as error:
        return {"command": f"refused today: {error}"}


def older(values: Mapping[str, Any]) -> bool:
    """Return whether a record is an older run to be repeated.

    It is from before attempts were kept, and of unknown code or of settings that the command no longer has. Records
    with attempts are never excused: their settings must be today's.
    """
    if "attempts" in values:
        return False
    return is_older(values) or bool(changed(values))


def origin(values: Mapping[str, Any]) -> str:
    """Return which code made a record, and why it is to be repeated where it is."""
    text = describe_origin(values)
    if older(values) and not is_older(values):
        reason = f"its command has other settings today: {_told(changed(values))}"
        text += f" ({OLDER}: {reason})"
    if older(values) and "rows" in values["scores"]:
        text += ", without its intervals, which were too narrow"
    precision = values.get("precision") or {}
    if taken := precision.get("taken"):
        text += f", in {taken}" + (f" on {precision['processor']}" if "processor" in precision else "")
    return text


def gpu(values: Mapping[str, Any]) -> str:
    """Return the GPU that a record's models were trained on; empty where processors trained them."""
    where = (values.get("precision") or {}).get("processor", "")
    return where if where.startswith(GPUS) else ""


def made(values: Mapping[str, Any]) -> str:
    """Return by which command a record was made, and by which code."""
    return f"Made by `{printed(values)}` at {origin(values)}"


def unshipped(values: Mapping[str, Any]) -> str:
    """Return in which settings a record's `auto` differs from what `adapt` does by default; empty where in none."""
    shipped = leaves(plain({"choice": to_record(ChoiceConfig()), "adapt": to_record(AdaptConfig())}))
    own = leaves({name: values["config"].get(name, {}) for name in ("choice", "adapt")})
    passed = {*_NOT_THE_METHOD, *unread(values)}
    other = {name: "" for name in shipped if name not in passed and own.get(name, ...) != shipped[name]}
    return _told(other, len(other))


def unread(values: Mapping[str, Any]) -> set[str]:
    """Return the settings that tell nothing of a record's figures.

    They are those of `auto` that are for another kind of model than that of the experiment, where a model listened, and
    source utterances per batch where their number was set to what is taken of such models today.
    """
    rows = _within(values, "scores", "rows") or []
    writes = any(isinstance(row, Mapping) and row.get("capped") is not None for row in rows)
    published = any(
        _within(values, "config", *path) is not None for path in (("model",), ("source", "model", "pretrained"))
    )
    beside = _within(values, "config", "adapt", "source_budget")
    return {
        "device",
        *(() if writes else ("choice.token_by_token",)),
        *(() if published and not writes else ("choice.on_published",)),
        *(("adapt.source_budget",) if beside == (BESIDE_PUBLISHED if published and not writes else BESIDE) else ()),
    }


def _within(values: Any, *path: str) -> Any:
    """Return what lies at a path of names within a record; None where nothing does."""
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _told(settings: Mapping[str, str], most: int = NAMED) -> str:
    """Return names of settings for a page, the first of them where they are many."""
    named = ", ".join(f"`{name}`" for name in [*settings][:most])
    return named + (f" and {len(settings) - most} more" if len(settings) > most else "")
