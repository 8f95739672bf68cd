"""Writes a comparison of classes in a few lines: the summary's columns and sentences, and the table for a terminal."""

from __future__ import annotations

from rich.table import Table

from asr_transfer.evaluation.class_comparison import ClassEntry, ComparedClasses
from asr_transfer.evaluation.clusters import LEVEL
from asr_transfer.evaluation.compare import ALPHA
from asr_transfer.evaluation.comparison_table import MARKS, MEANINGS, Column, chance, drawn, ends, signed, signed_ends
from asr_transfer.evaluation.percentages import percent

ERROR = "error %"


def columns(compared: ComparedClasses, wide: bool = True) -> list[Column[ClassEntry]]:
    """Return the columns that at least one system fills."""
    several = len(compared.entries) > 1
    every: list[Column[ClassEntry]] = [
        Column("system", lambda e: e.name, lambda e: e.name),
        Column(ERROR, lambda e: percent(e.counts.rate, 2), lambda e: e.counts.rate),
        Column("95 % interval", lambda e: ends(e.interval), lambda e: e.interval[0] if e.interval else None),
        Column(
            "difference",
            lambda e: signed(e.test.change.value) if e.test else "",
            lambda e: e.test.change.value if e.test else None,
        ),
        Column(
            "its 95 % interval",
            lambda e: signed_ends(e.test.change.low, e.test.change.high) if e.test else "",
            lambda e: e.test.change.low if e.test else None,
        ),
        Column(
            "p (Holm)",
            lambda e: chance(e.test.p_change) if e.test else "",
            lambda e: e.test.p_change if e.test else None,
        ),
        Column("verdict", lambda e: MARKS[e.mark] if several else "", lambda e: e.mark),
        Column(
            "per-class accuracy %",
            lambda e: percent(e.counts.per_class_accuracy, 2),
            lambda e: e.counts.per_class_accuracy,
        ),
        Column(
            "interval of that",
            lambda e: ends(e.per_class_interval) if e.per_class_interval else "",
            lambda e: e.per_class_interval[0] if e.per_class_interval else None,
            True,
        ),
        Column("errors", lambda e: str(e.counts.errors), lambda e: e.counts.errors),
        Column("items", lambda e: str(e.counts.items), lambda e: e.counts.items),
        Column("classes", lambda e: str(e.counts.classes), lambda e: e.counts.classes),
    ]
    return [c for c in every if (wide or not c.wide) and any(c.text(entry) for entry in compared.entries)]


def verdict(compared: ComparedClasses) -> list[str]:
    """Return what was found, in sentences."""
    best = compared.best
    interval = f" (95 % interval {ends(best.interval)}, over {compared.over})" if best.interval else ""
    sentences = [f"Lowest error: {best.name} with {percent(best.counts.rate, 2)} %{interval}."]
    for mark, meaning in MEANINGS:
        names = [entry.name for entry in compared.entries if entry.mark == mark]
        if names:
            sentences.append(meaning.format(compared.base.name) + ", ".join(names) + ".")
    return sentences


def reading(compared: ComparedClasses) -> list[str]:
    """Return how the summary is to be read."""
    told = [
        "Error: share of the items that were taken for another class. Per-class accuracy: mean of the classes' shares "
        "of right items, each class counting the same."
    ]
    count = sum(entry.test is not None for entry in compared.entries)
    if count:
        comparisons = f"{count} comparison{'s' if count > 1 else ''}"
        told.append(
            f"Difference: error minus that of {compared.base.name} on the same items; below zero is better. Intervals "
            f"hold {100 * LEVEL:.0f} %, by a bootstrap over {compared.over}; they say nothing of other trainings. p is "
            "that of exchanging the two systems' outcomes at random (McNemar's exact test where these are single "
            f"items), corrected for {comparisons} (Holm); better and worse stand where it is below {ALPHA}."
        )
    return told


def table(compared: ComparedClasses, wide: bool) -> Table:
    """Return the comparison as a table for a terminal."""
    title = f"{len(compared.entries)} systems, baseline {compared.base.name}"
    return drawn(title, columns(compared, wide), compared.entries, [entry.mark for entry in compared.entries])
