"""Tables and files of a language experiment: what a person reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from asr_transfer.decoding.identify import told_confusions
from asr_transfer.experiments.languages.curve import Row, all_points, plot, tried
from asr_transfer.experiments.languages.negative import SURE, Effect
from asr_transfer.experiments.languages.pairs import Pair
from asr_transfer.experiments.languages.points import Corpora
from asr_transfer.experiments.languages.savings import Saving, savings
from asr_transfer.experiments.languages.search import Tried
from asr_transfer.experiments.languages.systems import CurveConfig

Column = tuple[str, Callable[[Row], str]]

SAVED = ("system", "instead of", "with minutes", "error %", "minutes needed", "times the data (95 %)")
TRIED = ("settings", "error on development speech %", "chosen", "CPU-s")
IDENTIFIED = ("language", "recordings", "raw %", "with offsets %", "other voices %")

EFFECT_HEADINGS = (
    "language", "error without %", "error with %", "fewer errors with %", "95 % interval", "p (Holm)", "verdict",
)  # fmt: skip


def curve_table(rows: Sequence[Row], test: str) -> Table:
    """Return a test set's rows as a table for the terminal."""
    table = Table(title=f"Test set '{test}'")
    own = [row for row in rows if row.test == test]
    columns = _columns(own)
    for heading, _ in columns:
        table.add_column(heading, justify="left" if heading == "system" else "right")
    for row in own:
        table.add_row(*(cell(row) for _, cell in columns))
    return table


def savings_table(saved: Sequence[Saving], test: str) -> Table:
    """Return how much data each system saves on a test set as a table for the terminal."""
    table = Table(title=f"Target speech saved at equal error on '{test}'")
    for heading in SAVED:
        table.add_column(heading, justify="left" if heading == "system" else "right")
    for one in saved:
        if one.test == test:
            table.add_row(*_saved_cells(one))
    return table


def curve_markdown(rows: Sequence[Row], saved: Sequence[Saving], found: Sequence[Tried] = ()) -> str:
    """Return all test sets' tables, how much data each system saves, and what a search tried, as Markdown."""
    parts = []
    for test in dict.fromkeys(row.test for row in rows):
        own = [row for row in rows if row.test == test]
        columns = _columns(own)
        head = "| " + " | ".join(heading for heading, _ in columns) + " |"
        lines = [f"Test set `{test}`:", "", head, "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(cell(row) for _, cell in columns) + " |" for row in own]
        own_saved = [one for one in saved if one.test == test]
        if own_saved:
            lines += ["", "| " + " | ".join(SAVED) + " |", "|" + "---|" * len(SAVED)]
            lines += ["| " + " | ".join(_saved_cells(one)) + " |" for one in own_saved]
        parts.append("\n".join(lines))
    if found:
        lines = [
            "Settings tried for a start from scratch:",
            "",
            "| " + " | ".join(TRIED) + " |",
            "|" + "---|" * len(TRIED),
        ]
        parts.append("\n".join([*lines, *("| " + " | ".join(_tried_cells(one)) + " |" for one in found)]))
    return "\n\n".join(parts) + "\n"


def brief_markdown(rows: Sequence[Row], system: str = "transfer") -> str:
    """Return one system beside what it is held against, all test sets in one table, as Markdown."""
    tests = list(dict.fromkeys(row.test for row in rows))
    found = {(row.test, row.minutes, row.system): row for row in rows}
    headings = ["minutes"]
    for test in tests:
        headings += [f"{test}: from scratch %", f"{test}: `{system}` %", "fewer errors (95 %)"]
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    for minutes in sorted({row.minutes for row in rows if row.system == system}):
        cells = [f"{minutes:g}"]
        for test in tests:
            own = found.get((test, minutes, system))
            base = found.get((test, minutes, own.baseline)) if own else None
            cells += [percent(one.rate if one else None) for one in (base, own)]
            told = f"{percent(own.reduction, 0)} % ({between(own.low, own.high)})" if own and base else "–"
            cells.append(told)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_curve(config: CurveConfig, corpora: Corpora, folder: Path, rows: Sequence[Row]) -> list[Saving]:
    """Write `table.md` and a plot for each test set, and return how much data each system saves."""
    points = all_points(config, corpora, folder)
    saved: list[Saving] = []
    for test in corpora.tests:
        saved += savings(folder, points, test)
        (folder / f"curve-{test}.svg").write_text(plot(rows, test, "unit error rate").svg(), encoding="utf-8")
    (folder / "table.md").write_text(curve_markdown(rows, saved, tried(config, folder)), encoding="utf-8")
    return saved


def pairs_markdown(pairs: Sequence[Pair]) -> str:
    """Return what each source is worth to each target, against both controls, as Markdown."""
    targets, sources = (list(dict.fromkeys(getattr(pair, end) for pair in pairs)) for end in ("target", "source"))
    by_ends = {(pair.source, pair.target): pair for pair in pairs}
    head = ["| source \\ target | " + " | ".join(targets) + " |", "|---" * (len(targets) + 1) + "|"]

    def matrix(cell: Callable[[Pair], str]) -> list[str]:
        lines = []
        for source in sources:
            texts = [cell(by_ends[source, target]) for target in targets]
            marked = [f"**{text}**" if source == target else text for text, target in zip(texts, targets, strict=True)]
            lines.append(f"| {source} | " + " | ".join(marked) + " |")
        return lines

    def controls(name: str, rate: Callable[[Pair], float]) -> str:
        return f"| {name} | " + " | ".join(percent(rate(by_ends[sources[0], target])) for target in targets) + " |"

    def gain(pair: Pair) -> str:
        star = " *" if pair.gain_p < SURE else ""
        return f"{percent(pair.gain, 0)} ({between(pair.gain_low, pair.gain_high)}){star}"

    return "\n".join(
        [
            "Errors less than from scratch with as many steps as source and target together, %, with 95 % intervals; "
            "bold: self-transfer; *: p < 0.05 after Holm's correction.",
            "",
            *head,
            *matrix(gain),
            "",
            "The same against scratch with the target's steps only.",
            "",
            *head,
            *matrix(lambda pair: f"{percent(pair.plain, 0)} ({between(pair.plain_low, pair.plain_high)})"),
            "",
            f"Error rates, %, in {' and '.join(sorted({f'{pair.unit}s' for pair in pairs}))}.",
            "",
            *head,
            *matrix(lambda pair: percent(pair.rate)),
            controls("scratch", lambda pair: pair.scratch),
            controls("scratch, all steps", lambda pair: pair.scratch_long),
            "",
        ]
    )


def negative_markdown(effects: Sequence[Effect]) -> str:
    """Return what each source language does, a table for each test set and design, as Markdown."""
    titles = {"leave-out": "left out of all", "add": "added"}
    parts = []
    for test, design in dict.fromkeys((effect.test, effect.design) for effect in effects):
        own = [effect for effect in effects if (effect.test, effect.design) == (test, design)]
        lines = [f"Test set `{test}`, each language {titles[design]}:", ""]
        lines += ["| " + " | ".join(EFFECT_HEADINGS) + " |", "|" + "---|" * len(EFFECT_HEADINGS)]
        lines += ["| " + " | ".join(_effect_cells(effect)) + " |" for effect in sorted(own, key=lambda e: e.share)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def pairs_table(pairs: Sequence[Pair]) -> Table:
    """Return what each source is worth to each target, as a table for the terminal."""
    table = Table(title="Errors less than from scratch with all steps, %")
    targets = list(dict.fromkeys(pair.target for pair in pairs))
    for heading in ("source \\ target", *targets):
        table.add_column(heading, justify="left" if heading not in targets else "right")
    for source in dict.fromkeys(pair.source for pair in pairs):
        own = {pair.target: pair for pair in pairs if pair.source == source}
        table.add_row(source, *(f"{percent(own[t].gain, 0)}{' *' if own[t].gain_p < SURE else ''}" for t in targets))
    return table


def negative_table(effects: Sequence[Effect]) -> Table:
    """Return what each source language does, the most harmful first, as a table for the terminal."""
    table = Table(title="What each source language does")
    for heading in ("test set", "design", *EFFECT_HEADINGS):
        table.add_column(heading, justify="right" if "%" in heading or heading.startswith("p") else "left")
    for effect in sorted(effects, key=lambda e: (e.test, e.design, e.share)):
        table.add_row(effect.test, effect.design, *_effect_cells(effect))
    return table


def _effect_cells(effect: Effect) -> list[str]:
    return [
        effect.language,
        percent(effect.without),
        percent(effect.rate),
        percent(effect.share),
        between(effect.low, effect.high),
        f"{effect.p:.3f}",
        effect.verdict or "–",
    ]


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in per cent, a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def between(low: float | None, high: float | None) -> str:
    """Return an interval in whole per cent."""
    return "–" if low is None or high is None else f"{percent(low, 0)} … {percent(high, 0)}"


def _columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of a test set's table; those that no row has anything to say in are left out."""
    columns: list[Column] = [
        ("minutes", lambda row: f"{row.minutes:g}"),
        ("system", lambda row: row.system),
        ("seeds", lambda row: str(row.seeds)),
        ("error %", lambda row: percent(row.rate)),
        ("± seeds", lambda row: percent(row.spread)),
    ]
    if any(row.syllables is not None for row in rows):
        columns.append(("syllable error %", lambda row: percent(row.syllables)))
    if any(row.lexicon is not None for row in rows):
        columns += [
            ("CER by lexicon %", lambda row: percent(row.lexicon)),
            ("± seeds", lambda row: percent(row.lexicon_spread)),
        ]
    if any(row.baseline for row in rows):
        columns += [
            ("fewer errors %", lambda row: percent(row.reduction, 0)),
            ("95 % interval", lambda row: between(row.low, row.high)),
            ("than", lambda row: f"`{row.baseline}`" if row.baseline else "–"),
        ]
    columns += [
        ("CPU-s", lambda row: f"{row.cpu_seconds:.0f}"),
        ("CPU-s of the source", lambda row: f"{row.source_seconds:.0f}" if row.source_seconds else "–"),
    ]
    plain = next((row.plain for row in rows if row.versus is not None), None)
    if plain is not None:
        columns += [
            (f"fewer errors than `{plain}` %", lambda row: percent(row.versus, 0)),
            ("95 % interval", lambda row: between(row.versus_low, row.versus_high)),
        ]
    return columns


def identification_table(found: Mapping[str, Any]) -> Table:
    """Return the shares of recordings whose language was identified, by language, as a table for the terminal."""
    table = Table(title="Languages identified", caption=f"most often mistaken: {told_confusions(found['confusions'])}")
    for heading in IDENTIFIED:
        table.add_column(heading, justify="left" if heading == "language" else "right")
    for cells in _identified(found):
        table.add_row(*cells)
    return table


def identification_markdown(found: Mapping[str, Any]) -> str:
    """Return the shares of recordings whose language was identified, by language, as Markdown."""
    lines = ["| " + " | ".join(IDENTIFIED) + " |", "|" + "---|" * len(IDENTIFIED)]
    lines += ["| " + " | ".join(cells) + " |" for cells in _identified(found)]
    return "\n".join([*lines, "", f"Most often mistaken: {told_confusions(found['confusions'])}.", ""])


def _tried_cells(one: Tried) -> list[str]:
    return [one.name, percent(one.error), "yes" if one.chosen else "", f"{one.cpu_seconds:.0f}"]


def _saved_cells(one: Saving) -> list[str]:
    needed = "–" if one.needed is None else f"{one.needed:.1f}"
    return [one.system, one.baseline, f"{one.minutes:g}", percent(one.error), needed, one.told]


def _identified(found: Mapping[str, Any]) -> list[list[str]]:
    rows = [*found["languages"].items(), ("mean", found)]
    ways = ("raw_share", "calibrated_share", "other_voices_share")
    return [[name, str(own["utterances"]), *(percent(own.get(way)) for way in ways)] for name, own in rows]
