"""Chooses the plots of a comparison: how much data its methods save, and how its sources do on each other's targets."""

from __future__ import annotations

import math
from dataclasses import replace

from asr_transfer.errors import DataError
from asr_transfer.evaluation.compare import Compared, Entry
from asr_transfer.evaluation.curves import DataFactor, Observation, curve, data_factor, observe
from asr_transfer.evaluation.plots import Plot, Point, Series, curves, intervals
from asr_transfer.evaluation.scoring import align
from asr_transfer.evaluation.transfer_table import TransferTable, transfer_table

PLAIN = "full"
"""The method that others are held against in data: plain fine-tuning of all layers."""


def plots(compared: Compared) -> list[Plot]:
    """Return differences from the baseline (or the one rate), and error against amount where amounts are known."""
    drawn = []
    measured = [e for e in compared.entries if e.test and e.test.change.low is not None]
    rate, base = compared.rate, compared.base
    if measured:
        caption = f"Difference from {base.name} in {rate}, with 95 % intervals over {compared.over}; "
        caption += "left of the line is better."
        points = [_difference(entry) for entry in measured]
        drawn.append(intervals(points, f"{rate} minus that of the baseline, percentage points", caption, 0.0))
    elif base.interval:
        low, high = base.interval
        point = Point(base.name, 100 * base.counts.rate, 100 * low, 100 * high, "base")
        drawn.append(intervals([point], f"{rate} %", f"{rate} with its 95 % interval over {compared.over}.", None))
    series = [_series(method, found) for method, found in _observations(compared).items()]
    if len({amount for one in series for amount in one.amounts}) > 1:
        caption = f"{rate} by utterances adapted on{_over(compared)}."
        start = next((e for e in compared.entries if e.amount == 0), None)
        line = (start.name, 100 * start.counts.rate) if start else None
        drawn.append(curves(series, line, f"{rate} %", "utterances adapted on", caption))
    return drawn


def factors(compared: Compared) -> tuple[str, dict[str, DataFactor]] | None:
    """Return how much less data each method needs than the plain one for the same error, and the plain one's name.

    None where there are no two methods at two amounts with the same speakers and draws.
    """
    found = {m: own for m, own in _observations(compared).items() if len({o.amount for o in own}) > 1}
    plain = PLAIN if PLAIN in found else next(iter(found), "")
    made: dict[str, DataFactor] = {}
    for method, own in found.items():
        if method == plain:
            continue
        try:
            made[method] = data_factor(found[plain], own)
        except DataError:
            continue  # the methods were not run with the same speakers and draws
    return (plain, made) if made else None


def transfer(compared: Compared) -> tuple[str, TransferTable] | None:
    """Return the source × target table, and whether its targets are languages or speakers.

    None unless at least two systems stem from (`Entry.source`) a language, or a speaker, of the test set, each from
    another: a test set of all targets scored by every target's own model.
    """
    base = compared.base.words
    for kind, labels in (("language", base.languages), ("speaker", base.speakers)):
        targets = set(labels) - {""}
        found = [entry for entry in compared.entries if entry.source in targets]
        names = [entry.source for entry in found]
        if len(found) > 1 and len(set(names)) == len(names):
            return kind, transfer_table(
                {
                    (entry.source, target): align(
                        [u for u in entry.system.utterances if getattr(u, kind) == target], "word", compared.profile
                    )
                    for target in names
                    for entry in found
                }
            )
    return None


def _observations(compared: Compared) -> dict[str, list[Observation]]:
    """Return what was observed of each method; several systems of one method and amount are its seeds."""
    found: dict[str, dict[int, list[Entry]]] = {}
    for entry in compared.entries:
        if entry.method and entry.amount and entry.counts.reference:
            found.setdefault(entry.method, {}).setdefault(entry.amount, []).append(entry)
    return {
        method: [
            replace(seen, seed=f"{number}/{seen.seed}")
            for amount, own in sorted(amounts.items())
            for number, entry in enumerate(own)
            for seen in observe(entry.words, amount)
        ]
        for method, amounts in found.items()
    }


def _series(method: str, observations: list[Observation]) -> Series:
    points = curve(observations)
    return Series(
        method,
        tuple(round(p.amount) for p in points),
        tuple(100 * p.rate for p in points),
        tuple(100 * (p.rate if p.low is None else p.low) for p in points),
        tuple(100 * (p.rate if p.high is None else p.high) for p in points),
    )


def _over(compared: Compared) -> str:
    """Say what the intervals of the curves are over; nothing where there are none."""
    points = [point for found in _observations(compared).values() for point in curve(found) if point.low is not None]
    told = sorted({f"{p.speakers if p.over == 'speakers' else p.seeds} {p.over}" for p in points})
    return f", with 95 % intervals over {' or '.join(told)}" if told else ""


def _difference(entry: Entry) -> Point:
    found = entry.test.change if entry.test else None
    if found is None or found.difference is None or found.low is None or found.high is None:
        return Point(entry.name, math.nan, math.nan, math.nan)
    kind = entry.mark if entry.mark in ("better", "worse") else ""
    return Point(entry.name, 100 * found.difference, 100 * found.low, 100 * found.high, kind)
