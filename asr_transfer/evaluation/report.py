"""Writes a comparison: `report.html` (one file that needs nothing else), `report.md`, `report.csv`, plots.

The page's texts are escaped by jinja2, its data stands in a JSON block that no text can end, its script makes text
nodes only, and a content security policy lets nothing else run and nothing be fetched but recordings.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from asr_transfer import textfiles
from asr_transfer.data.voice import HEADINGS, Measured
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation import listing
from asr_transfer.evaluation.breakdown import Group, confusions, per_language, per_speaker
from asr_transfer.evaluation.compare import Compared, Entry
from asr_transfer.evaluation.comparison_plots import factors, plots, transfer
from asr_transfer.evaluation.comparison_table import MARKS, columns, reading, verdict
from asr_transfer.evaluation.normalisation import find_profile
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.plots import Plot
from asr_transfer.evaluation.spectrograms import spectrograms
from asr_transfer.evaluation.transfer_table import shown
from asr_transfer.runs.attempts import describe_origin

TEMPLATES = Path(__file__).parent / "templates"
CONFUSIONS = 15
"""Confusions shown for each system."""


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


def write_report(folder: Path, compared: Compared, mode: listing.AudioMode, command: str) -> Path:
    """Write the report's files into `folder` and return the page's path.

    Args:
        folder: made when it does not exist; an earlier report's files are replaced, others are left.
        compared: comparison to report.
        mode: way in which recordings are put in.
        command: the command line, to be shown.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        addresses, notes = listing.recordings(compared, mode, folder)
        drawn = plots(compared)
        pictures = spectrograms(compared) if mode != "none" else {}
        for plot in drawn:
            _write(folder / f"{plot.name}.svg", plot.svg())
            _write(folder / f"{plot.name}.png", plot.png())
        _write(folder / "report.csv", csv_text(compared))
        _write(folder / "report.md", markdown(compared, drawn, command))
        page = folder / "report.html"
        _write(page, html(compared, drawn, addresses, pictures, notes, command))
    except OSError as error:
        raise ConfigError(f"`out`: {folder} cannot be written ({error.strerror}); give another folder.") from None
    return page


def html(
    compared: Compared,
    drawn: Sequence[Plot],
    addresses: Mapping[int, str],
    pictures: Mapping[int, str],
    notes: Sequence[str],
    command: str,
) -> str:
    """Return the page; recordings' addresses and pictures are by utterance."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style, script = (textfiles.read_text(TEMPLATES / name) for name in ("report.css", "report.js"))
    base = compared.base
    linked = any(not address.startswith("data:") for address in addresses.values())
    return environment.get_template("report.html.j2").render(
        title=_title(compared),
        facts=_facts(compared),
        verdict=verdict(compared),
        notes=[*compared.notes, *notes],
        reading=reading(compared),
        summary=_summary(compared),
        plots=[_plot(plot) for plot in drawn],
        extras=[*_factors(compared), *_transfer(compared), *_voices(compared)],
        groups=_groups(compared),
        worst=listing.worst(compared, addresses),
        pictures=pictures,
        names=[entry.name for entry in compared.entries],
        focus=compared.focus.name,
        baseline=base.name,
        speakers=compared.speakers,
        languages=compared.languages,
        confusions=[{"name": e.name, "table": _confusions(e)} for e in compared.entries],
        runs=[{"name": e.name, "parts": _origin(e)} for e in compared.entries],
        command=command,
        version=metadata.version("asr-transfer"),
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        linked=linked,
        # Our own files and data that cannot end its element; everything else is escaped.
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=Markup(listing.embedded(listing.data(compared, addresses))),
    )


def markdown(compared: Compared, drawn: Sequence[Plot], command: str) -> str:
    """Return the report as Markdown."""
    chosen = columns(compared)
    lines = [f"# {_plain(_title(compared))}", ""]
    lines += [f"- {label}: {_plain(value)}" for label, value in _facts(compared)] + [""]
    lines += [_plain(sentence) for sentence in verdict(compared)] + [""]
    lines += [f"> {_plain(note)}" for note in compared.notes] + ([""] if compared.notes else [])
    lines += _rows([c.label for c in chosen], [[c.text(e) for c in chosen] for e in compared.entries])
    lines += ["", *(_plain(sentence) for sentence in reading(compared)), ""]
    lines += [f"![{_plain(plot.caption)}]({plot.name}.svg)\n" for plot in drawn]
    for grid in [*_factors(compared), *_transfer(compared), *_voices(compared), *_groups(compared)]:
        body = [[cell.text for cell in line.cells] for line in grid.rows]
        lines += [f"## {_plain(grid.caption)}", "", *_rows([h.label for h in grid.headings], body), ""]
    lines += ["## How it was made", "", _code(command), ""]
    for entry in compared.entries:
        made = entry.system.record.get("command")
        lines += [f"{_plain(entry.name)}:", "", _code(str(made)), ""] if made else []
    return "\n".join(lines).rstrip() + "\n"


def csv_text(compared: Compared) -> str:
    """Return the summary as CSV, with plain numbers (rates are shares, not per cent)."""
    with io.StringIO() as out:
        writer = csv.DictWriter(out, list(_record(compared, compared.base)), lineterminator="\n")
        writer.writeheader()
        for entry in compared.entries:
            writer.writerow(_record(compared, entry))
        return out.getvalue()


def _title(compared: Compared) -> str:
    count = len(compared.entries)
    return f"{count} systems compared" if count > 1 else f"Results of {compared.base.name}"


def _facts(compared: Compared) -> list[tuple[str, str]]:
    base = compared.base
    profile = find_profile(compared.profile)
    return [
        ("utterances", f"{len(base.words.ids):,}"),
        ("words" if profile.spaced else "characters", f"{base.counts.reference:,}"),
        ("speakers", f"{len(compared.speakers):,}" if any(compared.speakers) else "not known"),
        *([("languages", ", ".join(filter(None, compared.languages)))] if any(compared.languages) else []),
        *([("baseline", base.name)] if len(compared.entries) > 1 else []),
        ("normalisation", f"{profile.name}: {profile.summary}"),
    ]


def _summary(compared: Compared) -> Grid:
    chosen = columns(compared)
    errors = {entry.counts.errors for entry in compared.entries}
    lowest = min(errors) if len(errors) > 1 else -1
    rows = []
    for number, entry in enumerate(compared.entries):
        line = []
        for column in chosen:
            mark = entry.mark if column.label == "verdict" else ""
            best = column.label == f"{compared.rate} %" and entry.counts.errors == lowest
            line.append(Cell(column.text(entry), _value(column.value(entry)), mark, best))
        rows.append(Line(line, number == compared.baseline and len(compared.entries) > 1))
    return Grid("All systems", [Heading(c.label, c.label in ("system", "verdict")) for c in chosen], rows)


def _groups(compared: Compared) -> list[Grid]:
    parts: list[tuple[str, int, Callable[[Any], list[Group]]]] = [
        ("speaker", len(compared.speakers), per_speaker),
        ("language", len(compared.languages), per_language),
    ]
    return [_by_group(compared, name, make) for name, count, make in parts if count > 1]


def _factors(compared: Compared) -> list[Grid]:
    found = factors(compared)
    if found is None:
        return []
    beside, made = found
    rows = []
    for method, factor in made.items():
        amounts = [factor.baseline, factor.amount]
        cells = [Cell(method), Cell(percent(factor.error, 1), _value(factor.error))]
        cells += [Cell("outside" if n is None else f"{n:.1f}", _value(n)) for n in amounts]
        rows.append(Line([*cells, Cell(str(factor), _value(factor.factor))]))
    headings = [
        Heading("method", True), Heading(f"at {compared.rate} %"), Heading(f"utterances with {beside}"),
        Heading("with the method"), Heading("times less data [95 % interval]"),
    ]  # fmt: skip
    return [Grid(f"Data for the same error as {beside}", headings, rows)]


def _transfer(compared: Compared) -> list[Grid]:
    found = transfer(compared)
    if found is None:
        return []
    kind, table = found
    rows = []
    for name, cells in zip(table.names, table.rows(), strict=True):
        rows.append(Line([Cell(name, name), *(Cell(shown(c), _value(c.rate if c else None)) for c in cells)]))
    caption = f"{compared.rate} % by source (rows) and target {kind} (columns) [95 % interval]; the diagonal is the "
    caption += "control, * differs from it (p < 0.05, Holm)"
    if any(cell.over == "utterances" for cell in table.cells.values()):
        caption += "; intervals over utterances, of fewer than four speakers, say nothing of other speakers"
    return [Grid(caption, [Heading("source", True), *(Heading(name) for name in table.headings())], rows)]


def _voices(compared: Compared) -> list[Grid]:
    """Return what the recordings were like that systems were adapted to: all of them, and those that stand out."""
    rows = []
    for entry in compared.entries:
        adaptation = entry.system.record.get("adaptation")
        voice = adaptation.get("voice") if isinstance(adaptation, dict) else None
        if voice:
            for number, plain in enumerate([voice["all"], *voice["standing_out"]]):
                cells = [Cell(text, text) for text in Measured.from_plain(plain).cells()]
                rows.append(Line([Cell(entry.name, entry.name), *cells], base=number == 0))
    texts = ("system", "recording", "what to do")
    headings = [Heading(name, name in texts) for name in ("system", *HEADINGS)]
    return [Grid("Recordings that were adapted to, and those among them that stand out", headings, rows)] * bool(rows)


def _by_group(compared: Compared, name: str, make: Callable[[Any], list[Group]]) -> Grid:
    found = [make(entry.words) for entry in compared.entries]
    rows = []
    for own in zip(*found, strict=True):
        rates = [group.counts.rate for group in own]
        finite = {rate for rate in rates if math.isfinite(rate)}
        lowest = min(finite) if len(finite) > 1 else math.nan
        first = own[0]
        cells = [Cell(first.name, first.name), Cell(str(first.utterances), str(first.utterances))]
        cells.append(Cell(str(first.counts.reference), str(first.counts.reference)))
        cells += [Cell(percent(rate, 1), _value(rate), lowest=rate == lowest) for rate in rates]
        rows.append(Line(cells))
    unit = "words" if compared.rate == "WER" else "characters"
    headings = [Heading(name, True), Heading("utterances"), Heading(unit), *(Heading(e.name) for e in compared.entries)]
    return Grid(f"{compared.rate} % by {name}", headings, rows)


def _confusions(entry: Entry) -> Grid:
    rows = [
        Line([Cell(c.reference or "(nothing)"), Cell(c.hypothesis or "(nothing)"), Cell(str(c.count), str(c.count))])
        for c in confusions(entry.words, CONFUSIONS)
    ]
    headings = [Heading("said", True), Heading("recognised", True), Heading("times")]
    return Grid(f"Most frequent confusions of {entry.name}", headings, rows)


def _origin(entry: Entry) -> list[tuple[str, str]]:
    """Return what is known of how a system came about, as texts under labels."""
    record = entry.system.record
    if not record:
        return [("Record", "A result of another toolkit; nothing is known of how it was made.")]
    cost = {key: record[key] for key in ("time", "training", "adaptation", "peak_memory_mb") if key in record}
    if isinstance(cost.get("adaptation"), dict):
        cost["adaptation"] = {key: value for key, value in cost["adaptation"].items() if key not in ("plan", "voice")}
    when = {key: record[key] for key in ("started", "finished") if record.get(key)}
    if origin := describe_origin(record).replace("`", ""):
        when["code"] = origin
    parts = [
        ("Command", str(record.get("command", "not known"))),
        ("Configuration", _yaml(record.get("config"))),
        ("Data and checksums", _yaml(record.get("data"))),
        ("Versions", _yaml({**when, **(record.get("versions") or {})})),
        ("Cost", _yaml(cost)),
    ]
    return [(label, text) for label, text in parts if text]


def _record(compared: Compared, entry: Entry) -> dict[str, Any]:
    change, test = (entry.test.change, entry.test) if entry.test else (None, None)
    counts, low_high = entry.counts, entry.interval or (None, None)
    return {
        "system": entry.name,
        "method": entry.method,
        "amount": entry.amount,
        "profile": compared.profile,
        "utterances": len(entry.words.ids),
        "reference_units": counts.reference,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "rate": counts.rate,
        "low": low_high[0],
        "high": low_high[1],
        "intervals_over": compared.over,
        "cer": entry.characters.rate if entry.characters else counts.rate,
        "baseline": compared.base.name if change else None,
        "difference": change.difference if change else None,
        "difference_low": change.low if change else None,
        "difference_high": change.high if change else None,
        "probability_of_improvement": change.improvement if change else None,
        "p": change.p if change else None,
        "p_holm": test.p_change if test else None,
        "p_mapsswe_holm": test.p_mapsswe if test else None,
        "verdict": MARKS[entry.mark].lstrip("▼▲ ") if test else "",
        "speakers_harmed": entry.harmed,
        "worst_tenth_of_speakers": entry.worst,
        "others_before": entry.others[0] if entry.others else None,
        "others_after": entry.others[1] if entry.others else None,
        "others_change_low": entry.forgetting.low if entry.forgetting else None,
        "others_change_high": entry.forgetting.high if entry.forgetting else None,
        "others_change_speakers": entry.forgetting.clusters if entry.forgetting else None,
        "missing_hypotheses": len(entry.system.missing),
        "word_list_recall": entry.recall.rate if entry.recall else None,
        "unknown_words_recall": entry.unknown.rate if entry.unknown else None,
    }


def _plot(plot: Plot) -> dict[str, Any]:
    size = {"width": round(96 * plot.width), "height": round(96 * plot.height)}
    return {"caption": plot.caption, "alt": plot.alt, "light": plot.uri("light"), "dark": plot.uri("dark"), **size}


def _rows(headings: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    first = ["| " + " | ".join(map(_plain, headings)) + " |", "|" + "---|" * len(headings)]
    return first + ["| " + " | ".join(map(_plain, row)) + " |" for row in body]


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _yaml(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).rstrip() if values else ""


def _value(value: float | str | None) -> str:
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else str(value)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _write(path: Path, content: str | bytes) -> None:
    if isinstance(content, str):
        textfiles.write_text(path, content)
    else:
        textfiles.write_bytes(path, content)
