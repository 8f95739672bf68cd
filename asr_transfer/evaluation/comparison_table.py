"""Writes a comparison in a few lines: the summary's columns and sentences, and the table for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.table import Table
from rich.text import Text

from asr_transfer.evaluation.clusters import LEVEL, Estimate
from asr_transfer.evaluation.compare import ALPHA, Compared, Entry, Mark
from asr_transfer.evaluation.percentages import percent, span
from asr_transfer.evaluation.significance import Comparison

MARKS: dict[Mark, str] = {
    "base": "baseline",
    "better": "▼ better",
    "worse": "▲ worse",
    "open": "not shown",
    "same": "identical",
}
"""Words of the marks, readable without colour."""
STYLES: dict[Mark, str] = {"base": "dim", "better": "bold green", "worse": "bold red", "open": "", "same": "dim"}
MEANINGS: tuple[tuple[Mark, str], ...] = (
    ("better", "Fewer errors than {} beyond chance: "),
    ("worse", "More errors than {} beyond chance: "),
    ("open", "No difference from {} is shown, which is not to say there is none: "),
    ("same", "The same errors as {}: "),
)
"""What the marks say of a baseline."""

System = TypeVar("System")


@dataclass(frozen=True)
class Column(Generic[System]):
    """A column of the summary.

    Attributes:
        label: its heading.
        text: cell that a reader sees; empty where a system has no such figure.
        value: value that it is sorted by and that the CSV file holds.
        wide: left out where room is short.
    """

    label: str
    text: Callable[[System], str]
    value: Callable[[System], float | str | None]
    wide: bool = False


def columns(compared: Compared, wide: bool = True) -> list[Column[Entry]]:
    """Return the columns that at least one system fills."""
    several = len(compared.entries) > 1
    rate = compared.rate
    every: list[Column[Entry]] = [
        Column("system", lambda e: e.name, lambda e: e.name),
        Column(f"{rate} %", lambda e: percent(e.counts.rate, 2), lambda e: e.counts.rate),
        Column("95 % interval", lambda e: ends(e.interval), lambda e: e.interval[0] if e.interval else None),
        Column("difference", lambda e: _tested(e, lambda t: signed(t.change.difference)), _difference),
        Column(
            "its 95 % interval",
            lambda e: _tested(e, lambda t: signed_ends(t.change.low, t.change.high)),
            lambda e: e.test.change.low if e.test else None,
        ),
        Column(
            "p (Holm)",
            lambda e: _tested(e, lambda t: chance(t.p_change)),
            lambda e: e.test.p_change if e.test else None,
        ),
        Column("verdict", lambda e: MARKS[e.mark] if several else "", lambda e: e.mark),
        Column(
            "CER %",
            lambda e: percent(e.characters.rate, 2) if e.characters else "",
            lambda e: e.characters.rate if e.characters else None,
        ),
        Column("speakers harmed %", lambda e: _given(e.harmed, 0), lambda e: e.harmed),
        Column(
            "p MAPSSWE (Holm)",
            lambda e: _tested(e, lambda t: chance(t.p_mapsswe)),
            lambda e: e.test.p_mapsswe if e.test else None,
            True,
        ),
        Column("sub", lambda e: str(e.counts.substitutions), lambda e: e.counts.substitutions, True),
        Column("del", lambda e: str(e.counts.deletions), lambda e: e.counts.deletions, True),
        Column("ins", lambda e: str(e.counts.insertions), lambda e: e.counts.insertions, True),
        Column("worst tenth of speakers %", lambda e: _given(e.worst), lambda e: e.worst, True),
        Column(
            "others before → after %",
            lambda e: f"{percent(e.others[0], 2)} → {percent(e.others[1], 2)}" if e.others else "",
            lambda e: e.others[1] if e.others else None,
            True,
        ),
        Column(
            "change on others",
            lambda e: _forgetting(e.forgetting) if e.forgetting else "",
            lambda e: e.forgetting.value if e.forgetting else None,
            True,
        ),
        Column(
            "word list recall %",
            lambda e: _given(e.recall.rate, 1) if e.recall else "",
            lambda e: e.recall.rate if e.recall else None,
        ),
        Column(
            "unknown words recall %",
            lambda e: _given(e.unknown.rate, 1) if e.unknown else "",
            lambda e: e.unknown.rate if e.unknown else None,
        ),
        Column("CPU-s", lambda e: _rounded(e.cpu_seconds), lambda e: e.cpu_seconds),
        Column("peak MB", lambda e: _rounded(e.peak_memory), lambda e: e.peak_memory, True),
    ]
    return [c for c in every if (wide or not c.wide) and any(c.text(entry) for entry in compared.entries)]


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def verdict(compared: Compared) -> list[str]:
    """Return what was found, in sentences."""
    best = compared.best
    if not best.counts.reference:
        return ["No utterance has a reference; there is nothing to compare."]
    interval = f" (95 % interval {ends(best.interval)}, over {compared.over})" if best.interval else ""
    sentences = [f"Lowest {compared.rate}: {best.name} with {percent(best.counts.rate, 2)} %{interval}."]
    for mark, words in MEANINGS:
        names = [e.name for e in compared.entries if e.mark == mark]
        if names:
            sentences.append(words.format(compared.base.name) + ", ".join(names) + ".")
    return sentences


def reading(compared: Compared) -> list[str]:
    """Return how the summary is to be read."""
    tests = [e.test for e in compared.entries if e.test]
    if not tests:
        return []
    comparisons = f"{len(tests)} comparison{'s' if len(tests) > 1 else ''}"
    return [
        f"Difference: {compared.rate} minus that of {compared.base.name} on the same utterances; below zero is better. "
        f"Intervals hold {100 * LEVEL:.0f} %; they and p are Student's t of the jackknife over {compared.over}, p at "
        f"least what a sign test of as many could reach. p is corrected for {comparisons} (Holm); better and worse "
        f"stand where it is below {ALPHA}.",
        "MAPSSWE takes segments as independent of each other. Those of one speaker, and several draws of one "
        "recording, are not: where it alone finds a difference, do not rely on it.",
    ]


def table(compared: Compared, wide: bool) -> Table:
    """Return the comparison as a table for a terminal."""
    title = f"{len(compared.entries)} systems, baseline {compared.base.name}"
    return drawn(title, columns(compared, wide), compared.entries, [entry.mark for entry in compared.entries])


def drawn(title: str, chosen: Sequence[Column[System]], systems: Sequence[System], marks: Sequence[Mark]) -> Table:
    """Return columns of systems as a table for a terminal; `marks` gives the verdicts' styles."""
    shown = Table(title=title, title_justify="left")
    for column in chosen:
        first = column.label == "system"
        shown.add_column(column.label, justify="left" if first else "right", overflow="fold")
    for system, mark in zip(systems, marks, strict=True):
        # Text, not str: a name in brackets is no markup.
        texts = [Text(c.text(system), style=STYLES[mark] if c.label == "verdict" else "") for c in chosen]
        shown.add_row(*texts)
    return shown


def signed(value: float | None) -> str:
    """Return a difference in per cent with its sign."""
    return _with_minus(percent(value, 2, "+"))


def chance(p: float) -> str:
    """Return a p value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def ends(interval: tuple[float | None, float | None] | None) -> str:
    """Return an interval in per cent."""
    return span(*(interval or (None, None)), 2, to="to")


def signed_ends(low: float | None, high: float | None) -> str:
    """Return the interval of a difference in per cent, with signs."""
    return _with_minus(span(low, high, 2, "+", "to"))


def _forgetting(change: Estimate) -> str:
    # Of few speakers there is no interval.
    span_told = "" if change.low is None else f" ({signed_ends(change.low, change.high)}, n = {change.clusters})"
    return signed(change.value) + span_told


def _with_minus(text: str) -> str:
    return text.replace("-", "−").replace("+0.00", "0.00")


def _given(value: float | None, digits: int = 2) -> str:
    return "" if value is None else percent(value, digits)


def _tested(entry: Entry, show: Callable[[Comparison], str]) -> str:
    return show(entry.test) if entry.test else ""


def _difference(entry: Entry) -> float | None:
    return entry.test.change.difference if entry.test else None
