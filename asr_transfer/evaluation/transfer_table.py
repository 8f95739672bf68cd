"""Makes the source × target table: how well a model of one domain does on another, beside the target's own model.

A row is a source (language, speaker, corpus), a column a target. The diagonal is the control: source and target are the
same, after the same procedure. Each other cell of a column is tested against it on the same utterances, with Holm's
correction for the whole table. After Yosinski et al., "How transferable are features in deep neural networks?" (2014),
who ask for the control.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from asr_transfer.errors import DataError
from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.evaluation.percentages import percent
from asr_transfer.evaluation.scoring import Alignments, number_or_none
from asr_transfer.evaluation.significance import compare, error_rate, holm, independent


@dataclass(frozen=True)
class Cell:
    """A source on a target.

    Attributes:
        source, target: names of the two.
        rate: error rate; None where the target has no references.
        low, high: its interval; None below four of what it is over.
        over: observations that intervals are over: `speakers`, `utterances` or `seeds`.
        clusters: number of these.
        control: change against the target's own model, below zero is better; None on the diagonal.
        p: the control's, corrected for all cells of the table; None on the diagonal.
    """

    source: str
    target: str
    rate: float | None
    low: float | None
    high: float | None
    over: str
    clusters: int
    control: Estimate | None = None
    p: float | None = None


@dataclass(frozen=True)
class TransferTable:
    """All cells.

    Attributes:
        names: sources and targets, in order.
        cells: cells by (source, target); pairs that were not run are absent.
    """

    names: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]

    def rows(self) -> list[list[Cell | None]]:
        """Return the table, a row for each source."""
        return [[self.cells.get((source, target)) for target in self.names] for source in self.names]

    def headings(self) -> list[str]:
        """Return the targets with what their intervals are over."""
        own = [self.cells.get((name, name)) for name in self.names]
        return [
            f"{name} ({cell.clusters:,} {cell.over})" if cell and cell.clusters else name
            for name, cell in zip(self.names, own, strict=True)
        ]

    def to_plain(self) -> dict[str, Any]:
        """Return names and cells for a record."""
        shown = []
        for cell in self.cells.values():
            control = cell.control
            shown.append(
                {
                    "source": cell.source,
                    "target": cell.target,
                    "rate": cell.rate,
                    "low": cell.low,
                    "high": cell.high,
                    "over": cell.over,
                    "clusters": cell.clusters,
                    "difference": control and control.value,
                    "difference_low": control and control.low,
                    "difference_high": control and control.high,
                    "p": cell.p,
                }
            )
        return {"names": list(self.names), "cells": shown}


def transfer_table(scored: Mapping[tuple[str, str], Alignments]) -> TransferTable:
    """Make the table.

    Args:
        scored: alignments by (source, target); those of one target over the same utterances.

    Raises:
        DataError: a target has no diagonal cell, or its cells were scored on different utterances.
    """
    names = tuple(dict.fromkeys(name for pair in scored for name in pair))
    cells: dict[tuple[str, str], Cell] = {}
    for target in names:
        column = {source: scored[source, target] for source in names if (source, target) in scored}
        if not column:
            continue
        if target not in column:
            raise DataError(
                f"the target '{target}' has no control: score its own model on it as well, by the same procedure."
            )
        rest = [source for source in column if source != target]
        changes = [test.change for test in compare(column[target], [column[source] for source in rest])]
        controls = {
            source: Estimate(own.difference or 0.0, own.low, own.high, own.p, own.clusters)
            for source, own in zip(rest, changes, strict=True)
        }
        for source, aligned in column.items():
            rate = number_or_none(aligned.counts().rate)
            found = error_rate(aligned) or Estimate(math.nan, None, None, 1.0, 0)
            over, _ = independent(aligned.speakers)
            cells[source, target] = Cell(
                source, target, rate, found.low, found.high, over, found.clusters, controls.get(source)
            )
    return TransferTable(names, with_holm(cells))


def shown(cell: Cell | None) -> str:
    """Return a rate in per cent with its interval, and a star where it differs from the control."""
    if cell is None or cell.rate is None:
        return "–"
    star = " *" if cell.p is not None and cell.p < 0.05 else ""
    ends = "" if cell.low is None or cell.high is None else f" ({percent(cell.low)}–{percent(cell.high)})"
    return f"{percent(cell.rate)}{ends}{star}"


def with_holm(cells: Mapping[tuple[str, str], Cell]) -> dict[tuple[str, str], Cell]:
    """Return cells with the controls' p after Holm's correction for all of them."""
    tested = {pair: cell.control.p for pair, cell in cells.items() if cell.control}
    found = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {pair: replace(cell, p=found.get(pair)) for pair, cell in cells.items()}
