"""Writes a comparison of classes: `report.html` (a file that needs nothing else), `report.md`, `report.csv`, a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asr_transfer import textfiles
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.class_comparison import ClassEntry, ComparedClasses
from asr_transfer.evaluation.class_table import ERROR, columns, reading, verdict
from asr_transfer.evaluation.classes import ClassGroup, Prediction, by_class, by_domain, confusions
from asr_transfer.evaluation.comparison_table import MARKS
from asr_transfer.evaluation.page import (
    Cell,
    Grid,
    Heading,
    Line,
    markdown_code,
    markdown_table,
    markdown_text,
    origin,
    picture,
    render,
    sortable,
    summary,
    write_plots,
)
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.plots import Plot, Point, intervals

CONFUSIONS = 15
"""Confusions shown for each system."""
HARDEST = 200
"""Items shown, those that the most systems have wrong first."""


def write_class_report(folder: Path, compared: ComparedClasses, command: str) -> Path:
    """Write the report's files into `folder` and return the page's path.

    Args:
        folder: made when it does not exist; an earlier report's files are replaced, others are left.
        compared: comparison to report.
        command: the command line, to be shown.

    Raises:
        ConfigError: the folder cannot be written.
    """
    page = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = _plots(compared)
        write_plots(folder, drawn)
        textfiles.write_text(folder / "report.csv", csv_text(compared))
        textfiles.write_text(folder / "report.md", markdown(compared, drawn, command))
        textfiles.write_text(page, html(compared, drawn, command))
    except OSError as error:
        raise ConfigError(f"`out`: {folder} cannot be written ({error.strerror}); give another folder.") from None
    return page


def html(compared: ComparedClasses, drawn: Sequence[Plot], command: str) -> str:
    """Return the page."""
    return render(
        "classes.html.j2",
        ("tables.js",),
        title=_title(compared),
        facts=_facts(compared),
        verdict=verdict(compared),
        notes=compared.notes,
        reading=reading(compared),
        summary=_summary(compared),
        plots=[picture(plot) for plot in drawn],
        extras=[],
        groups=_groups(compared),
        items=_hardest(compared),
        confusions=[{"name": e.name, "table": _confusions(e)} for e in compared.entries],
        nothing_confused="Every item is right.",
        runs=[{"name": e.name, "parts": origin(e.system.record)} for e in compared.entries],
        command=command,
    )


def markdown(compared: ComparedClasses, drawn: Sequence[Plot], command: str) -> str:
    """Return the report as Markdown."""
    chosen = columns(compared)
    lines = [f"# {markdown_text(_title(compared))}", ""]
    lines += [f"- {label}: {markdown_text(value)}" for label, value in _facts(compared)] + [""]
    lines += [markdown_text(sentence) for sentence in verdict(compared)] + [""]
    lines += [f"> {markdown_text(note)}" for note in compared.notes] + ([""] if compared.notes else [])
    lines += markdown_table([c.label for c in chosen], [[c.text(e) for c in chosen] for e in compared.entries])
    lines += ["", *(markdown_text(sentence) for sentence in reading(compared)), ""]
    lines += [f"![{markdown_text(plot.caption)}]({plot.name}.svg)\n" for plot in drawn]
    for grid in [*_groups(compared), *(_confusions(entry) for entry in compared.entries)]:
        body = [[cell.text for cell in line.cells] for line in grid.rows]
        lines += [f"## {markdown_text(grid.caption)}", "", *markdown_table([h.label for h in grid.headings], body), ""]
    lines += ["## How it was made", "", markdown_code(command), ""]
    for entry in compared.entries:
        made = entry.system.record.get("command")
        lines += [f"{markdown_text(entry.name)}:", "", markdown_code(str(made)), ""] if made else []
    return "\n".join(lines).rstrip() + "\n"


def csv_text(compared: ComparedClasses) -> str:
    """Return the summary as CSV, with plain numbers (errors and accuracies are shares, not per cent)."""
    with io.StringIO() as out:
        writer = csv.DictWriter(out, list(_record(compared, compared.base)), lineterminator="\n")
        writer.writeheader()
        for entry in compared.entries:
            writer.writerow(_record(compared, entry))
        return out.getvalue()


def _record(compared: ComparedClasses, entry: ClassEntry) -> dict[str, Any]:
    low, high = entry.interval or (None, None)
    accuracy_low, accuracy_high = entry.per_class_interval or (None, None)
    change = entry.test.change if entry.test else None
    return {
        "system": entry.name,
        "items": entry.counts.items,
        "classes": entry.counts.classes,
        "errors": entry.counts.errors,
        "error": entry.counts.rate,
        "low": low,
        "high": high,
        "intervals_over": compared.over,
        "per_class_accuracy": entry.counts.per_class_accuracy,
        "per_class_accuracy_low": accuracy_low,
        "per_class_accuracy_high": accuracy_high,
        "baseline": compared.base.name if change else None,
        "difference": change.value if change else None,
        "difference_low": change.low if change else None,
        "difference_high": change.high if change else None,
        "items_that_differ": entry.test.differing if entry.test else None,
        "p": change.p if change else None,
        "p_holm": entry.test.p_change if entry.test else None,
        "verdict": MARKS[entry.mark].lstrip("▼▲ ") if entry.test else "",
    }


def _title(compared: ComparedClasses) -> str:
    count = len(compared.entries)
    return f"{count} systems compared" if count > 1 else f"Results of {compared.base.name}"


def _facts(compared: ComparedClasses) -> list[tuple[str, str]]:
    counts, predictions = compared.base.counts, compared.base.system.predictions
    domains = sorted({own.domain for own in predictions} - {""})
    episodes = len({own.episode for own in predictions} - {""})
    return [
        ("items", f"{counts.items:,}"),
        ("classes", f"{counts.classes:,}"),
        *([("domains", ", ".join(domains))] if domains else []),
        *([("episodes", f"{episodes:,}")] if episodes else []),
        *([("baseline", compared.base.name)] if len(compared.entries) > 1 else []),
    ]


def _summary(compared: ComparedClasses) -> Grid:
    marks, errors = zip(*((e.mark, e.counts.errors) for e in compared.entries), strict=True)
    return summary(columns(compared), compared.entries, marks, errors, ERROR)


def _groups(compared: ComparedClasses) -> list[Grid]:
    """Return the error by class, and by domain where there are several."""
    parts: list[tuple[str, Callable[[Sequence[Prediction]], list[ClassGroup]]]] = [
        ("class", by_class), ("domain", by_domain),
    ]  # fmt: skip
    grids = []
    for name, make in parts:
        found = [make(entry.system.predictions) for entry in compared.entries]
        rows = []
        for own in zip(*found, strict=True):
            errors = [group.errors for group in own]
            lowest = min(errors) if len(set(errors)) > 1 else -1
            cells = [Cell(own[0].name, own[0].name), Cell(str(own[0].items), str(own[0].items))]
            cells += [Cell(percent(g.rate, 1), sortable(g.rate), lowest=g.errors == lowest) for g in own]
            rows.append(Line(cells))
        if len(rows) > 1:
            headings = [Heading(name, True), Heading("items"), *(Heading(entry.name) for entry in compared.entries)]
            grids.append(Grid(f"Error % by {name}", headings, rows))
    return grids


def _hardest(compared: ComparedClasses) -> Grid:
    """Return the items that the most systems have wrong, and what each took them for."""
    rows = []
    every = list(zip(*(entry.system.predictions for entry in compared.entries), strict=True))
    wrong = [sum(own.wrong for own in item) for item in every]
    for n in sorted(range(len(every)), key=lambda n: -wrong[n])[:HARDEST]:
        if wrong[n]:
            first = every[n][0]
            cells = [Cell(first.id, first.id), Cell(first.label, first.label), Cell(str(wrong[n]), str(wrong[n]))]
            cells += [_taken(own) for own in every[n]]
            rows.append(Line(cells))
    names = [entry.name for entry in compared.entries]
    headings = [Heading("item", True), Heading("class", True), Heading("systems that err")]
    total = sum(count > 0 for count in wrong)
    caption = "Items that a system has wrong" + (f", {HARDEST} of {total:,}" if total > HARDEST else "")
    return Grid(caption, [*headings, *(Heading(name, True) for name in names)], rows)


def _taken(own: Prediction) -> Cell:
    text = own.predicted or "(none)"
    return Cell(text, text, "worse" if own.wrong else "")


def _confusions(entry: ClassEntry) -> Grid:
    rows = [
        Line([Cell(c.reference or ""), Cell(c.hypothesis or "(none)"), Cell(str(c.count), str(c.count))])
        for c in confusions(entry.system.predictions, CONFUSIONS)
    ]
    headings = [Heading("class", True), Heading("taken for", True), Heading("times")]
    return Grid(f"Most frequent confusions of {entry.name}", headings, rows)


def _plots(compared: ComparedClasses) -> list[Plot]:
    """Return differences from the baseline, or the one error."""
    points = []
    for entry in compared.entries:
        if entry.test and entry.test.change.low is not None and entry.test.change.high is not None:
            change, low, high = entry.test.change.value, entry.test.change.low, entry.test.change.high
            kind = entry.mark if entry.mark in ("better", "worse") else ""
            points.append(Point(entry.name, 100 * change, 100 * low, 100 * high, kind))
    base = compared.base
    if points:
        caption = f"Difference from {base.name} in error, with 95 % intervals over {compared.over}; left of the line "
        return [intervals(points, "error minus that of the baseline, percentage points", f"{caption}is better.", 0.0)]
    if base.interval and len(compared.entries) == 1:
        rate, low, high = (100 * own for own in (base.counts.rate, *base.interval))
        caption = f"Error with its 95 % interval over {compared.over}."
        return [intervals([Point(base.name, rate, low, high, "base")], ERROR, caption, None)]
    return []
