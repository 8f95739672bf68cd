"""The table of an experiment over remedies for a speaker never heard: errors with intervals, against plain transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from asr_transfer.experiments.core.effects import pooled_rate, rate_over_seeds, reduction
from asr_transfer.experiments.languages.curve import load_point
from asr_transfer.experiments.languages.points import Corpora, Point, read_corpora, read_point
from asr_transfer.experiments.languages.tables import between, percent

Planned = tuple[Corpora, Point, tuple[float, ...]]
"""A point with its corpora and all amounts of which it is one."""

PLAIN = "plain"
"""The row that the others are held against."""

HEADINGS = (
    "remedies", "speakers", "minutes", "seeds", "error %", "95 % interval", "± seeds", "fewer errors %",
    "95 % interval", "CPU-s",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What some remedies did on one test set, over all seeds.

    Attributes:
        test: set; those that end in `-lexicon` were recognised with a lexicon.
        remedies: joined by `+`.
        speakers, minutes: number of speakers and amount of the target's training speech.
        seeds: how many.
        rate: errors over reference units of all seeds.
        low, high: its 95 % interval over seeds and utterances; None below four seeds.
        spread: standard deviation over seeds.
        share, share_low, share_high: part of plain transfer's errors that are made less, with its interval; None for
            that.
        cpu_seconds: mean, of the target's training.
    """

    test: str
    remedies: str
    speakers: int
    minutes: float
    seeds: int
    rate: float
    low: float | None
    high: float | None
    spread: float
    share: float | None
    share_low: float | None
    share_high: float | None
    cpu_seconds: float

    def to_plain(self) -> dict[str, Any]:
        """Return the row for a record."""
        return asdict(self)


def summarise(folder: Path, planned: Sequence[Planned]) -> list[Row]:
    """Return a row for each test set, without and with its lexicon, and each row of the experiment."""
    corpora = planned[0][0]
    rows = []
    for test in (*corpora.tests, *(f"{name}-lexicon" for name in corpora.lexica)):
        aligned = {(point.system, point.seed): load_point(folder, point, test) for _, point, _ in planned}
        seeds = {point.seed: aligned[PLAIN, point.seed] for _, point, _ in planned}
        for name in dict.fromkeys(point.system for _, point, _ in planned):
            own = [(c, p) for c, p, _ in planned if p.system == name]
            found = [aligned[name, p.seed] for _, p in own]
            change = None if name == PLAIN else reduction([seeds[p.seed] for _, p in own], found)
            rates = [pooled_rate([a]) for a in found]
            rate = rate_over_seeds(found)
            seconds = [read_point(folder / "points" / p.name)["training"]["cpu_seconds"] for _, p in own]
            rows.append(
                Row(
                    test,
                    name,
                    len({u.speaker for u in read_corpora(own[0][0].train)}),
                    own[0][1].minutes,
                    len(own),
                    rate.value,
                    rate.low,
                    rate.high,
                    float(np.std(rates, ddof=1)) if len(rates) > 1 else 0.0,
                    change.share if change else None,
                    change.low if change else None,
                    change.high if change else None,
                    float(np.mean(seconds)),
                )
            )
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Return all test sets' tables as Markdown."""
    parts = []
    for test in dict.fromkeys(row.test for row in rows):
        lines = [f"{_title(test)}:", "", "| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows if row.test == test]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def table(rows: Sequence[Row], test: str) -> Table:
    """Return a test set's rows as a table for the terminal."""
    made = Table(title=_title(test))
    for heading in HEADINGS:
        made.add_column(heading, justify="left" if heading == "remedies" else "right")
    for row in rows:
        if row.test == test:
            made.add_row(*_cells(row))
    return made


def _title(test: str) -> str:
    name = test.removesuffix("-lexicon")
    return f"Test set `{name}`" + (", each utterance taken for a syllable of the lexicon" if name != test else "")


def _cells(row: Row) -> list[str]:
    return [
        row.remedies,
        str(row.speakers),
        f"{row.minutes:g}",
        str(row.seeds),
        percent(row.rate),
        "–" if row.low is None else f"{percent(row.low)} … {percent(row.high)}",
        percent(row.spread),
        percent(row.share, 0),
        between(row.share_low, row.share_high),
        f"{row.cpu_seconds:.0f}",
    ]
