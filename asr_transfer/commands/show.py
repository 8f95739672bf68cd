"""Shows one run at a glance: what it was, what it learnt, what it scored, what it cost (`asr-transfer show`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from asr_transfer.commands.options import Command
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.runs.attempts import describe_origin
from asr_transfer.runs.console import say
from asr_transfer.runs.emptying import holds_run
from asr_transfer.runs.record import read_record
from asr_transfer.textfiles import require_writable_folder

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40
"""Greatest width of a sparkline."""
_KINDS: dict[str, type] = {
    "config": dict, "data": dict, "files": dict, "scores": dict, "history": list, "time": dict,
    "training": dict, "adaptation": dict,
}  # fmt: skip


def show_run(folder: Path, console: Console | None = None) -> None:
    """Print a run folder's record, or of a model folder what it is.

    Raises:
        DataError: the folder holds neither, or its record is damaged.
        ModelError: the model is damaged.
    """
    told = describe_model(folder) if _is_model(folder) else describe(folder, read_record(folder))
    (console or Console()).print(told)


def export_run(folder: Path, target: Path) -> int:
    """Write a run's learning curve as TensorBoard events into `target`, and return the number of figures.

    Raises:
        DataError: the folder holds no run or no learning curve, or its record is damaged.
        ConfigError: the extra `tensorboard` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            "`tensorboard` is not installed; install it with: pip install asr-transfer[tensorboard]"
        ) from None
    record = read_record(folder)
    _check(folder, record)
    entries = [entry for entry in record.get("history") or [] if isinstance(entry, Mapping)]
    if not entries:
        raise DataError(f"{folder / 'run.json'}: `history` is empty; there is no learning curve to write.")
    written = 0
    with SummaryWriter(str(target / folder.resolve().name)) as writer:
        for number, entry in enumerate(entries, start=1):
            for name, value in entry.items():
                if name != "step" and math.isfinite(_number(value)):
                    writer.add_scalar(name, float(value), round(_number(entry.get("step", number))))
                    written += 1
    return written


def describe(folder: Path, record: Mapping[str, Any]) -> Group:
    """Return a record as something rich can print.

    Raises:
        DataError: a field of the record is of the wrong kind.
    """
    _check(folder, record)
    parts: list[RenderableType] = [_head(folder, record)]
    for title, part in (
        ("Scores", _scores(record.get("scores") or {})),
        ("Error by amount", _amounts(record.get("scores") or {})),
        ("Learning curve", _history(record.get("history") or [])),
        ("Cost", _cost(record)),
        ("Data", _data({**(record.get("data") or {}), **(record.get("files") or {})})),
        ("Settings", _settings(record.get("config") or {})),
    ):
        if part is not None:
            parts += [Text(f"\n{title}", style="bold"), part]
    systems = sorted(path.parent.name for path in (folder / "systems").glob("*/run.json"))
    if systems:
        parts.append(Text(f"\n{len(systems)} systems; compare them with: asr-transfer compare {folder}"))
    return Group(*parts)


def describe_model(folder: Path) -> Text:
    """Return what a model folder is, ours or a published one: its heads, and the base model with its licence.

    Raises:
        ModelError: it is damaged.
    """
    from asr_transfer.decoding.folder import heads_in
    from asr_transfer.models.configuration import read_config
    from asr_transfer.models.pretrained.door import is_foreign
    from asr_transfer.models.pretrained.provenance import base_of, told_base

    foreign = is_foreign(folder)
    text = Text(folder.resolve().name, style="bold")
    heads = heads_in(folder)
    text.append(f"\n{'pretrained ' if foreign else ''}model with the head{'s' * (len(heads) > 1)} {', '.join(heads)}")
    if base := told_base(base_of(folder) if foreign else read_config(folder)["origin"]):
        text.append(f"\n{base}", style="dim")
    if holds_run(folder.resolve().parent):
        text.append(f"\nwritten by a run; show it with: asr-transfer show {folder.parent}", style="dim")
    return text


def _is_model(folder: Path) -> bool:
    """Return whether a folder holds a model and no run."""
    names = ("config.yaml", "config.json", "hyperparams.yaml")
    return not holds_run(folder) and any((folder / name).is_file() for name in names)


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Return a line of bars from the least to the greatest value; what is not a number is a gap.

    More values than `width` are averaged in groups of neighbours.
    """
    if len(values) > width:
        edges = [round(n * len(values) / width) for n in range(width + 1)]
        groups = [values[first:last] for first, last in pairwise(edges)]
        values = [sum(group) / len(group) for group in groups]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return " " * len(values)
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    top = len(BARS) - 1
    return "".join(BARS[round((v - low) / span * top)] if math.isfinite(v) else " " for v in values)


def flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dicts with dotted names."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, values


def _check(folder: Path, record: Mapping[str, Any]) -> None:
    for name, kind in _KINDS.items():
        if record.get(name) is not None and not isinstance(record[name], kind):
            raise DataError(f"{folder / 'run.json'}: `{name}` is damaged; run again with --overwrite.")


def _head(folder: Path, record: Mapping[str, Any]) -> Text:
    status = str(record.get("status", "unknown"))
    text = Text()
    text.append(folder.resolve().name, style="bold")
    text.append(f"  {status}", style="green" if status == "finished" else "yellow")
    text.append(f"\n{record.get('command', '')}\n", style="cyan")
    commit = f", {origin}" if (origin := describe_origin(record).replace("`", "")) else ""
    ended = f", finished {record['finished']}" if record.get("finished") else ""
    text.append(f"started {record.get('started', 'unknown')}{ended}{commit}", style="dim")
    if base := _base(folder):
        text.append(f"\n{base}", style="dim")
    return text


def _base(folder: Path) -> str:
    """Say which pretrained model the run's model began with, and its licence; nothing where there is none."""
    from asr_transfer.models.configuration import read_config
    from asr_transfer.models.pretrained.provenance import told_base

    if not (folder / "model" / "config.yaml").is_file():
        return ""
    try:
        return told_base(read_config(folder / "model")["origin"])
    except ModelError:  # damaged; the record is worth showing nevertheless
        return ""


def _settings(config: Mapping[str, Any]) -> RenderableType | None:
    leaves = [(name, value) for name, value in flat(config) if value is not None and name]
    if not leaves:
        return None
    # Two pairs of columns: half the height, still within 100 columns.
    table = _plain_table()
    half = (len(leaves) + 1) // 2
    for number in range(half):
        cells: list[RenderableType] = []
        for name, value in leaves[number::half]:
            cells += [Text(name, style="dim"), Text(_short(value))]
        table.add_row(*cells)
    return table


def _data(data: Mapping[str, Any]) -> RenderableType | None:
    entries = {name: entry for name, entry in data.items() if isinstance(entry, Mapping)}
    if not entries:
        return None
    items = {name: entry for name, entry in entries.items() if "items" in entry}
    others = {name: entry for name, entry in entries.items() if "items" not in entry}
    speech = any("utterances" in entry for entry in others.values())
    parts = ((_items, items), (_utterances if speech else _files, others))
    return Group(*(make(own) for make, own in parts if own))


def _items(entries: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return what is known of items with classes."""
    table = _plain_table("set", "items", "classes", "checksum", "path")
    for name, entry in entries.items():
        cells = [str(entry.get(key, "–")) for key in ("items", "classes", "checksum", "path")]
        table.add_row(*map(Text, [name, *cells]))
    return table


def _files(entries: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return what is known of files, where there is no speech beside them."""
    table = _plain_table("file", "checksum", "path")
    for name, entry in entries.items():
        table.add_row(*map(Text, [name, *(str(entry.get(key, "–")) for key in ("checksum", "path"))]))
    return table


def _utterances(entries: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return what is known of manifests, and of files beside them."""
    table = _plain_table("set", "utterances", "speakers", "hours", "checksum", "manifest")
    for name, entry in entries.items():
        seconds = _number(entry.get("seconds"))
        hours = f"{seconds / 3600:.2f}" if math.isfinite(seconds) else "–"
        words = [_short(entry.get(key, "–")) for key in ("utterances", "speakers")]
        table.add_row(*map(Text, [name, *words, hours, str(entry.get("checksum", "–")), str(entry.get("path", "–"))]))
    return table


def _history(history: Sequence[Any]) -> RenderableType | None:
    entries = [entry for entry in history if isinstance(entry, Mapping)]
    names = list(dict.fromkeys(name for entry in entries for name in entry if name != "step"))
    if not entries or not names:
        return None
    table = _plain_table("figure", "", "first", "lowest", "at step", "last")
    for name in names:
        values = [_number(entry.get(name)) for entry in entries]
        finite = [n for n, value in enumerate(values) if math.isfinite(value)]
        if not finite:
            continue
        best = min(finite, key=lambda n: values[n])
        step = _short(entries[best].get("step", best + 1))
        first, last = values[finite[0]], values[finite[-1]]
        figures = [f"{first:.4g}", f"{values[best]:.4g}", step, f"{last:.4g}"]
        table.add_row(Text(name), Text(sparkline(values), style="cyan"), *map(Text, figures))
    return table


def _scores(scores: Mapping[str, Any]) -> RenderableType | None:
    found = list(_scored(scores))
    words = [(name, entry) for name, entry in found if "wer" in entry]
    classes = [(name, entry) for name, entry in found if "wer" not in entry]
    tables = [make(own) for make, own in ((_word_errors, words), (_class_errors, classes)) if own]
    return Group(*tables) if tables else None


def _class_errors(found: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    table = _plain_table("scored on", "error %", "per-class accuracy %", "errors", "items", "classes")
    for name, entry in found:
        counts = [_short(entry.get(key, "–")) for key in ("errors", "items", "classes")]
        rates = [_percent(entry.get(key)) for key in ("error", "per_class_accuracy")]
        table.add_row(*map(Text, [name, *rates, *counts]))
    return table


def _word_errors(found: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    table = _plain_table("scored on", "WER %", "CER %", "errors", "words", "sub", "del", "ins", "utterances")
    for name, entry in found:
        words = entry["words"]
        counts = [words.get(k, "–") for k in ("errors", "reference", "substitutions", "deletions", "insertions")]
        cells = [_percent(entry.get("wer")), _percent(entry.get("cer")), *counts, entry.get("utterances", "–")]
        table.add_row(Text(name), *(Text(_short(cell)) for cell in cells))
    return table


def _scored(scores: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, entry in scores.items():
        if isinstance(entry, Mapping):
            if ("wer" in entry and isinstance(entry.get("words"), Mapping)) or {"error", "items"} <= set(entry):
                yield f"{prefix}{name}", entry
            else:
                yield from _scored(entry, f"{prefix}{name} ")


def _amounts(scores: Mapping[str, Any]) -> RenderableType | None:
    """Return the error of a recipe's methods against the amount of speech."""
    rows = [
        row for row in scores.get("rows") or [] if isinstance(row, Mapping) and {"method", "amount", "wer"} <= set(row)
    ]
    if not rows:
        return None
    start = next((_number(row["wer"]) for row in rows if row["method"] == "none"), math.nan)
    amounts = sorted({int(row["amount"]) for row in rows if row["method"] != "none"})
    table = _plain_table("method", "", "before", *map(str, amounts))
    for method in dict.fromkeys(str(row["method"]) for row in rows if row["method"] != "none"):
        at = {int(row["amount"]): _number(row["wer"]) for row in rows if row["method"] == method}
        values = [at.get(amount, math.nan) for amount in amounts]
        cells = [_percent(value) for value in (start, *values)]
        table.add_row(Text(method), Text(sparkline([start, *values]), style="cyan"), *map(Text, cells))
    return Group(Text("WER % by utterances adapted on", style="dim"), table)


def _cost(record: Mapping[str, Any]) -> RenderableType | None:
    parts = []
    time = record.get("time") or {}
    for key, label in (("wall_seconds", "elapsed"), ("cpu_seconds", "of the processor")):
        if math.isfinite(_number(time.get(key))):
            parts.append(f"{_duration(time[key])} {label}")
    for part in ("training", "adaptation"):
        entry = record.get(part) or {}
        if math.isfinite(_number(entry.get("cpu_seconds"))):
            parts.append(f"{_duration(entry['cpu_seconds'])} of it {part}")
        if math.isfinite(_number(entry.get("audio_seconds_per_cpu_second"))):
            parts.append(f"{entry['audio_seconds_per_cpu_second']:.0f} s of audio per processor second")
    if math.isfinite(_number(record.get("peak_memory_mb"))):
        parts.append(f"{record['peak_memory_mb']:.0f} MB at most")
    return Text(", ".join(parts)) if parts else None


def _plain_table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=bool(headings), header_style="dim")
    for number, heading in enumerate(headings):
        left = number == 0 or heading in ("", "checksum", "manifest", "path")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading == "")
    return table


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan


def _percent(value: Any) -> str:
    return f"{100 * number:.2f}" if math.isfinite(number := _number(value)) else "–"


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 48 else text[:47] + "…"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _declare(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="run folder of any command or recipe, or a model folder")
    parser.add_argument(
        "--tensorboard", type=Path, default=None, help="folder to write the learning curve to as TensorBoard events"
    )


def _run(arguments: Namespace) -> int:
    target = arguments.tensorboard
    if target is not None:
        require_writable_folder(target, "--tensorboard")
    show_run(arguments.run)
    if target is not None:
        written = export_run(arguments.run, target)
        say(f"{target}: {written} figures written; show them with: tensorboard --logdir {target}")
    return 0


COMMAND = Command("print one run at a glance", _run, _declare)
