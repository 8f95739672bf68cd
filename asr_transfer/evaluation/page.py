"""Makes what every report is made of: the page, its tables and plots, how a system came about, and Markdown.

The page's texts are escaped by jinja2, its data stands in a JSON block that no text can end, its script makes text
nodes only, and a content security policy lets nothing else run and nothing be fetched but recordings.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from asr_transfer import textfiles
from asr_transfer.evaluation.comparison_table import Column, System
from asr_transfer.evaluation.plots import Plot
from asr_transfer.runs.attempts import describe_origin

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Heading:
    """A column's heading; `text` columns are sorted as words and stand left."""

    label: str
    text: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell: what is read, what is sorted by, and whether it is a mark or the lowest of its row."""

    text: str
    value: str = ""
    mark: str = ""
    lowest: bool = False


@dataclass(frozen=True)
class Line:
    """A row; the baseline's is set off."""

    cells: list[Cell]
    base: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of the page."""

    caption: str
    headings: list[Heading]
    rows: list[Line]


def render(template: str, scripts: Sequence[str], data: str = "", **values: Any) -> str:
    """Return a page.

    Args:
        template: file of the page, in `TEMPLATES`.
        scripts: files of its script, in their order.
        data: JSON for the script that can stand in a page; empty where there is none.
        values: values that the template shows; every text is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style, script = (
        "".join(textfiles.read_text(TEMPLATES / name) for name in own) for own in (["report.css"], scripts)
    )
    return environment.get_template(template).render(
        **values,
        version=metadata.version("asr-transfer"),
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        # Our own files and data that cannot end its element; everything else is escaped.
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=Markup(data),
    )


def summary(
    chosen: Sequence[Column[System]], systems: Sequence[System], marks: Sequence[str], errors: Sequence[int], rate: str
) -> Grid:
    """Return the table of all systems.

    Args:
        chosen: its columns.
        systems: its rows.
        marks: mark of each system; the baseline's is `base`.
        errors: number of errors of each system, the lowest of which is set off.
        rate: label of the column where that is.
    """
    lowest = min(errors) if len(set(errors)) > 1 else -1
    rows = []
    for system, mark, wrong in zip(systems, marks, errors, strict=True):
        cells = [
            Cell(
                column.text(system),
                sortable(column.value(system)),
                mark if column.label == "verdict" else "",
                column.label == rate and wrong == lowest,
            )
            for column in chosen
        ]
        rows.append(Line(cells, mark == "base" and len(systems) > 1))
    return Grid("All systems", [Heading(c.label, c.label in ("system", "verdict")) for c in chosen], rows)


def origin(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a run record, empty where there is none, says of how a system came about, as texts under labels."""
    if not record:
        return [("Record", "A result of another toolkit; nothing is known of how it was made.")]
    cost = {key: record[key] for key in ("time", "training", "adaptation", "peak_memory_mb") if key in record}
    if isinstance(cost.get("adaptation"), dict):
        cost["adaptation"] = {key: value for key, value in cost["adaptation"].items() if key not in ("plan", "voice")}
    when = {key: record[key] for key in ("started", "finished") if record.get(key)}
    if code := describe_origin(record).replace("`", ""):
        when["code"] = code
    parts = [
        ("Command", str(record.get("command", "not known"))),
        ("Configuration", _yaml(record.get("config"))),
        ("Data and checksums", _yaml(record.get("data"))),
        ("Versions", _yaml({**when, **(record.get("versions") or {})})),
        ("Cost", _yaml(cost)),
    ]
    return [(label, text) for label, text in parts if text]


def picture(plot: Plot) -> dict[str, Any]:
    """Return what the page shows of a plot."""
    size = {"width": round(96 * plot.width), "height": round(96 * plot.height)}
    return {"caption": plot.caption, "alt": plot.alt, "light": plot.uri("light"), "dark": plot.uri("dark"), **size}


def markdown_table(headings: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    first = ["| " + " | ".join(map(markdown_text, headings)) + " |", "|" + "---|" * len(headings)]
    return first + ["| " + " | ".join(map(markdown_text, row)) + " |" for row in body]


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))


def markdown_code(text: str) -> str:
    """Return a block of code."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def sortable(value: float | str | None) -> str:
    """Return what a cell is sorted by; nothing of what is no number."""
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else str(value)


def write_plots(folder: Path, plots: Sequence[Plot]) -> None:
    """Write each plot as SVG and PNG."""
    for plot in plots:
        textfiles.write_text(folder / f"{plot.name}.svg", plot.svg())
        textfiles.write_bytes(folder / f"{plot.name}.png", plot.png())


def _yaml(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).rstrip() if values else ""


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
