"""Writes a comparison: `report.html` (one file that needs nothing else), `report.md`, `report.csv`, plots."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_transfer import textfiles
from asr_transfer.data.voice import HEADINGS, Measured
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation import listing
from asr_transfer.evaluation.breakdown import Group, confusions, per_language, per_speaker
from asr_transfer.evaluation.compare import Compared, Entry
from asr_transfer.evaluation.comparison_plots import factors, plots, transfer
from asr_transfer.evaluation.comparison_table import MARKS, columns, reading, verdict
from asr_transfer.evaluation.normalisation import find_profile
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
from asr_transfer.evaluation.plots import Plot
from asr_transfer.evaluation.spectrograms import spectrograms
from asr_transfer.evaluation.transfer_table import shown

CONFUSIONS = 15
"""Confusions shown for each system."""


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
        write_plots(folder, drawn)
        textfiles.write_text(folder / "report.csv", csv_text(compared))
        textfiles.write_text(folder / "report.md", markdown(compared, drawn, command))
        page = folder / "report.html"
        textfiles.write_text(page, html(compared, drawn, addresses, pictures, notes, command))
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
    base = compared.base
    return render(
        "report.html.j2",
        ("tables.js", "report.js"),
        listing.embedded(listing.data(compared, addresses)),
        title=_title(compared),
        facts=_facts(compared),
        verdict=verdict(compared),
        notes=[*compared.notes, *notes],
        reading=reading(compared),
        summary=_summary(compared),
        plots=[picture(plot) for plot in drawn],
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
        nothing_confused="Nothing was substituted.",
        runs=[{"name": e.name, "parts": origin(e.system.record)} for e in compared.entries],
        command=command,
        linked=any(not address.startswith("data:") for address in addresses.values()),
    )


def markdown(compared: Compared, drawn: Sequence[Plot], command: str) -> str:
    """Return the report as Markdown."""
    chosen = columns(compared)
    lines = [f"# {markdown_text(_title(compared))}", ""]
    lines += [f"- {label}: {markdown_text(value)}" for label, value in _facts(compared)] + [""]
    lines += [markdown_text(sentence) for sentence in verdict(compared)] + [""]
    lines += [f"> {markdown_text(note)}" for note in compared.notes] + ([""] if compared.notes else [])
    lines += markdown_table([c.label for c in chosen], [[c.text(e) for c in chosen] for e in compared.entries])
    lines += ["", *(markdown_text(sentence) for sentence in reading(compared)), ""]
    lines += [f"![{markdown_text(plot.caption)}]({plot.name}.svg)\n" for plot in drawn]
    for grid in [*_factors(compared), *_transfer(compared), *_voices(compared), *_groups(compared)]:
        body = [[cell.text for cell in line.cells] for line in grid.rows]
        lines += [f"## {markdown_text(grid.caption)}", "", *markdown_table([h.label for h in grid.headings], body), ""]
    lines += ["## How it was made", "", markdown_code(command), ""]
    for entry in compared.entries:
        made = entry.system.record.get("command")
        lines += [f"{markdown_text(entry.name)}:", "", markdown_code(str(made)), ""] if made else []
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
    marks, errors = zip(*((e.mark, e.counts.errors) for e in compared.entries), strict=True)
    return summary(columns(compared), compared.entries, marks, errors, f"{compared.rate} %")


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
        cells = [Cell(method), Cell(percent(factor.error, 1), sortable(factor.error))]
        cells += [Cell("outside" if n is None else f"{n:.1f}", sortable(n)) for n in amounts]
        rows.append(Line([*cells, Cell(str(factor), sortable(factor.factor))]))
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
        rows.append(Line([Cell(name, name), *(Cell(shown(c), sortable(c.rate if c else None)) for c in cells)]))
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
        cells += [Cell(percent(rate, 1), sortable(rate), lowest=rate == lowest) for rate in rates]
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
