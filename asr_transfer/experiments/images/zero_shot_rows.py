"""Makes rows, tables and the plot of unseen classes from what came out of each seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.evaluation.plots import Plot, Point, intervals
from asr_transfer.experiments.core.effects import points_with_interval, share_with_interval
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.images.zero_shot_config import IMAGENET, WAYS, ZeroShotConfig
from asr_transfer.experiments.images.zero_shot_fits import ATTRIBUTES, WORDS


@dataclass(frozen=True)
class Row:
    """A way over all seeds.

    Attributes:
        way: its name.
        accuracy: accuracy between the two unseen classes, the mean over all pairs, with its interval over the seeds.
        change: change of it against DAP, from attributes, or against ConSE, from words.
        worst_pair: mean over seeds of the least accuracy of a pair.
        u, s, h: accuracies of unseen and seen classes among all, and their harmonic mean, as the scores are.
        calibrated_u, calibrated_s: the same with the constant.
        calibrated_h: the harmonic mean with the constant, with its interval over the seeds.
        per_class: accuracy of each class where it is one of the two unseen ones.
        spread: spread of the classes' places at the end, as a share of that at the beginning; None of other ways.
    """

    way: str
    accuracy: Estimate
    change: Estimate
    worst_pair: float
    u: float
    s: float
    h: float
    calibrated_u: float
    calibrated_s: float
    calibrated_h: Estimate
    per_class: Mapping[str, float]
    spread: float | None


BASE = {ATTRIBUTES: "dap", WORDS: "conse-words"}
"""Way that others with the same kind of class vectors are compared with."""


def zero_shot_tables(rows: Sequence[Row], config: ZeroShotConfig) -> list[Table]:
    """Return the tables of the unseen classes alone, of all classes, and of each class."""
    seeds = f"{len(config.seeds)} seeds, in brackets 95 % intervals over the seeds:"
    name: list[tuple[str, Callable[[Row], str]]] = [
        ("class vectors", lambda row: WAYS[row.way][0]),
        ("way", lambda row: WAYS[row.way][1]),
    ]
    base = set(BASE.values())
    alone: list[tuple[str, Callable[[Row], str]]] = [
        ("right of two unseen classes", lambda row: share_with_interval(row.accuracy)),
        ("against DAP or ConSE, points", lambda row: "–" if row.way in base else points_with_interval(row.change)),
        ("worst pair", lambda row: f"{100 * row.worst_pair:.1f} %"),
        ("spread kept", lambda row: "–" if row.spread is None else f"{100 * row.spread:.0f} %"),
    ]
    together: list[tuple[str, Callable[[Row], str]]] = [
        ("u", lambda row: f"{100 * row.u:.1f}"),
        ("s", lambda row: f"{100 * row.s:.1f}"),
        ("H", lambda row: f"{100 * row.h:.1f}"),
        ("u, calibrated", lambda row: "–" if row.way == IMAGENET else f"{100 * row.calibrated_u:.1f}"),
        ("s, calibrated", lambda row: "–" if row.way == IMAGENET else f"{100 * row.calibrated_s:.1f}"),
        ("H, calibrated", lambda row: "–" if row.way == IMAGENET else share_with_interval(row.calibrated_h)),
    ]
    classes = list(rows[0].per_class)
    each = [(one, lambda row, one=one: f"{100 * row.per_class[one]:.0f}") for one in classes]
    return [
        Table.of(rows, [*name, *alone], f"Between two unseen classes, chance 50 %, {seeds}"),
        Table.of(rows, [*name, *together], f"Among all classes, in per cent, {seeds}"),
        Table.of(rows, [*name, *each], "Right of each class, in per cent, where it is one of the two unseen ones:"),
    ]


def zero_shot_plot(rows: Sequence[Row]) -> Plot:
    """Return the accuracy of each way with its interval; the line is chance."""
    points = []
    for row in rows:
        low, high = (row.accuracy.value if end is None else end for end in (row.accuracy.low, row.accuracy.high))
        title = f"{WAYS[row.way][1]}, {WAYS[row.way][0]}"
        points.append(Point(title, 100 * row.accuracy.value, 100 * low, 100 * high))
    caption = "Accuracy between two classes that were never seen, mean over all pairs, with 95 % intervals over seeds."
    return intervals(points, "right of two unseen classes, %", caption, 50.0)
