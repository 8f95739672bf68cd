"""Sums up a transferability experiment: accuracy by block, what was asked, and images beside speech."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from asr_transfer.errors import DataError
from asr_transfer.evaluation.clusters import Estimate, Floats, difference, figure_over, rate, summed
from asr_transfer.evaluation.percentages import NONE, percent, span
from asr_transfer.evaluation.plots import LINES, MARKERS, Palette, Plot, Point, intervals, shorten
from asr_transfer.experiments.core.tables import Column, Table
from asr_transfer.experiments.images.pretrained_stages import FIRST_STAGES, LAST_STAGES
from asr_transfer.experiments.images.transferability import (
    BASE,
    FIRST,
    LAST,
    LONG,
    RANDOM,
    SETTLED,
    SPLITS,
    Split,
)
from asr_transfer.textfiles import read_text

Found = Mapping[tuple[Split, int], Mapping[str, Any]]
"""Scores by split and seed."""

TITLES: Mapping[Split, str] = {
    "alike": "A and B of the same kinds: two natural and two man-made classes each",
    "kinds": "A natural, B man-made, four classes each",
}
WAYS = (FIRST, LAST)
CHANCE = 0.25
"""Share of images of four classes that a guess is right of."""

FIRST_METHODS, LAST_METHODS = ("first-layers", "first-two"), ("last-layers", "top")
"""Methods of the recipe of speaker adaptation that copy the last layers and train the first, and the reverse."""


@dataclass(frozen=True)
class Row:
    """A system of a split over all seeds.

    Attributes:
        split: Way in which the classes are divided.
        system: Name of the system.
        depth: Number of blocks that are copied or frozen; 0 of none, and where others than the first are.
        seeds: Number of seeds.
        accuracy, low, high: Share of images that are right, with its 95 % interval over seeds.
        gain, gain_low, gain_high, p: Points above the base, paired by seed.
    """

    split: str
    system: str
    depth: int
    seeds: int
    accuracy: float
    low: float | None
    high: float | None
    gain: float
    gain_low: float | None
    gain_high: float | None
    p: float


@dataclass(frozen=True)
class Finding:
    """An answer to a question.

    Attributes:
        question: The question, in words.
        value, low, high, p: Difference with its 95 % interval, as a share.
        over: Independent observations and their number.
    """

    question: str
    value: float
    low: float | None
    high: float | None
    p: float | None
    over: str


def rows_of(found: Found) -> list[Row]:
    """Return a row for each system of each split."""
    rows = []
    for split in SPLITS:
        tested = _tested(found, split)
        base = _errors(found, split, BASE)
        for name in _names(found, split):
            errors = _errors(found, split, name)
            own, change = rate(errors, tested), difference(errors, base, tested)
            system, _, depth = name.rpartition(" ") if name[-1].isdigit() else (name, "", "0")
            low, high = (None, None) if own.low is None or own.high is None else (1 - own.high, 1 - own.low)
            figures = (change.value, change.low, change.high, change.p)
            rows.append(Row(split, system, int(depth), own.clusters, 1 - own.value, low, high, *figures))
    return rows


def findings_of(found: Found) -> list[Finding]:
    """Return what was asked before: how far frozen blocks fall, whether fine-tuned ones gain, and which split falls."""
    last = max(row.depth for row in rows_of(found))

    def above(split: Split, one: str, other: str, than: str = "") -> Finding:
        errors, others = (_errors(found, split, name) for name in (one, other))
        question = f"{split}: {one} above {than or other}"
        return _answer(question, difference(errors, others, _tested(found, split)))

    answers = [above("alike", BASE, f"{name} {last}") for name in ("AnB", RANDOM, SETTLED)]
    answers += [above(split, f"AnB+ {last}", LONG, "the base trained as long") for split in SPLITS]
    tested = _tested(found, "alike")
    for what, depths in ((f"AnB {last}", [last]), ("AnB, mean over depths", list(range(1, last + 1)))):
        alike, kinds = (np.mean([_fall(found, split, depth) for depth in depths], axis=0) for split in SPLITS)
        answers.append(_answer(f"{what}: fall below the base, kinds more than alike", difference(alike, kinds, tested)))
    return [*answers, _share_lost(found, last)]


def _share_lost(found: Found, depth: int) -> Finding:
    """Return how much more of what a base has above chance is lost between unlike tasks, as a share of it."""
    parts: list[Floats] = []
    for split in SPLITS:
        above = (1 - CHANCE) * _tested(found, split) - _errors(found, split, BASE)
        parts += [_fall(found, split, depth), above]

    def more(fall: Floats, above: Floats, other_fall: Floats, other_above: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):  # no base may be above chance, in a quick trial
            share: Floats = other_fall / other_above - fall / above
        return share

    low, high = figure_over([summed(parts)], more, lambda way: way[1]) or (None, None)
    value = float(more(*(part.sum(keepdims=True) for part in parts))[0])
    question = f"AnB {depth}: share of the base's accuracy above chance that is lost, kinds more than alike"
    return Finding(question, value, low, high, None, f"{len(parts[0])} seeds")


def sides_of(
    found: Found, records: Mapping[str, Mapping[str, Any]], stages: Sequence[Mapping[str, Any]] = ()
) -> list[Finding]:
    """Return errors where the first layers are trained less those where the last are, for images and for speech.

    Args:
        found: Scores of the images.
        records: Records of the recipe of speaker adaptation by name, measured before.
        stages: Scores of a published network by seed.

    Raises:
        DataError: A record holds no such methods.
    """
    sides = []
    for split in SPLITS:
        first, last = (_errors(found, split, f"{name} 0") for name in WAYS)
        sides.append(_answer(f"images, {split}", difference(last, first, _tested(found, split))))
    if stages:
        first, last, tested = _of_stages(stages)
        sides.append(_answer("images, ImageNet network, ten classes", difference(last, first, tested)))
    for name, record in records.items():
        own = [_of_speech(name, first, last) for first, last in _pairs(record)]
        if not own:
            raise DataError(f"{name}: holds no method that trains the first layers alone and one that trains the last.")
        sides += own
    return sides


def _of_stages(stages: Sequence[Mapping[str, Any]]) -> tuple[Floats, Floats, Floats]:
    """Return the errors of both ways with a published network, and the images tested, by seed."""
    first, last = (
        np.array([scores["errors"][name] for scores in stages], np.float64) for name in (FIRST_STAGES, LAST_STAGES)
    )
    return first, last, np.array([scores["tested"] for scores in stages], np.float64)


def stage_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    """Return the accuracy of each way to train a published network."""
    tested = np.array([scores["tested"] for scores in stages], np.float64)
    rates = {
        name: rate(np.array([scores["errors"][name] for scores in stages], np.float64), tested)
        for name in stages[0]["errors"]
    }
    columns: list[Column[tuple[str, Estimate]]] = [
        ("trained", lambda row: row[0]),
        ("accuracy %", lambda row: percent(1 - row[1].value)),
        ("95 % interval", lambda row: NONE if row[1].low is None else span(1 - (row[1].high or 0), 1 - row[1].low)),
    ]
    return Table.of(rates.items(), columns, "EfficientNet-Lite0 of ImageNet, few images of ten classes:")


def speech_records(files: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """Read records of the recipe of speaker adaptation, by the names of their files.

    Raises:
        DataError: A file is missing or no record.
    """
    found = {}
    for file in files:
        try:
            found[file.stem] = json.loads(read_text(file, "give a record of the recipe of speaker adaptation"))
        except json.JSONDecodeError as error:
            raise DataError(
                f"{file}: is not JSON ({error}); give the run.json of a run of speaker adaptation."
            ) from None
    return found


def _pairs(record: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the rows of both ways at each amount at which both were measured."""
    rows = record.get("scores", {}).get("rows", [])
    first, last = (
        {row["amount"]: row for row in rows if row.get("method") in methods}
        for methods in (FIRST_METHODS, LAST_METHODS)
    )
    return [(first[amount], last[amount]) for amount in sorted(first.keys() & last.keys())]


def _of_speech(name: str, first: Mapping[str, Any], last: Mapping[str, Any]) -> Finding:
    speakers = first.get("by_speaker") or {}
    title = f"speech, {name}, {first['amount']} utterances"
    if not speakers or not last.get("by_speaker"):
        return Finding(
            title, first["wer"] - last["wer"], None, None, None, f"{first['speakers']} speakers, not kept apart"
        )
    counts = np.array(
        [[last["by_speaker"][one][1], first["by_speaker"][one][1], first["by_speaker"][one][2]] for one in speakers]
    )
    return _answer(title, difference(*counts.T), "speakers")


def _answer(question: str, estimate: Estimate, over: str = "seeds") -> Finding:
    return Finding(question, estimate.value, estimate.low, estimate.high, estimate.p, f"{estimate.clusters} {over}")


def _names(found: Found, split: Split) -> list[str]:
    return next(list(scores["errors"]) for (own, _), scores in found.items() if own == split)


def _errors(found: Found, split: Split, name: str) -> Floats:
    return np.array([scores["errors"][name] for (own, _), scores in found.items() if own == split], np.float64)


def _tested(found: Found, split: Split) -> Floats:
    return np.array([scores["tested"] for (own, _), scores in found.items() if own == split], np.float64)


def _fall(found: Found, split: Split, depth: int) -> Floats:
    """Return how many more images AnB has wrong than the base, by seed."""
    return _errors(found, split, f"AnB {depth}") - _errors(found, split, BASE)


def transferability_tables(rows: Sequence[Row], findings: Sequence[Finding]) -> list[Table]:
    """Return the curves, a table for each split, and the answers."""
    columns: list[Column[Row]] = [
        ("system", lambda row: row.system),
        ("blocks", lambda row: str(row.depth) if row.depth else NONE),
        ("accuracy %", lambda row: percent(row.accuracy)),
        ("95 % interval", lambda row: span(row.low, row.high)),
        ("above base", lambda row: NONE if row.system == BASE else f"{100 * row.gain:+.1f}"),
        ("its 95 % interval", lambda row: NONE if row.system == BASE else span(row.gain_low, row.gain_high, 1, "+")),
    ]
    order = list(dict.fromkeys(row.system for row in rows))
    curves = [
        Table.of(
            sorted((row for row in rows if row.split == split), key=lambda row: (order.index(row.system), row.depth)),
            columns,
            f"{TITLES[split]}:",
        )
        for split in SPLITS
    ]
    return [*curves, finding_table(findings, "What was asked, in points of accuracy:", "points")]


def finding_table(findings: Sequence[Finding], title: str, heading: str, note: str = "") -> Table:
    """Return answers with their intervals."""
    columns: list[Column[Finding]] = [
        ("question", lambda one: one.question),
        (heading, lambda one: percent(one.value, 1, "+")),
        ("95 % interval", lambda one: span(one.low, one.high, 1, "+")),
        ("over", lambda one: one.over),
    ]
    return Table.of(findings, columns, title, note)


def sides_plot(sides: Sequence[Finding]) -> Plot:
    """Return images and speech below each other: right of 0 it is better to train the last layers."""
    points = []
    for one in sides:
        ends = (one.value if end is None else end for end in (one.low, one.high))
        low, high = (100 * end for end in ends)
        sure = one.low is not None and (low > 0 or high < 0)
        points.append(
            Point(one.question, 100 * one.value, low, high, ("worse" if low > 0 else "better") if sure else "")
        )
    caption = (
        "Errors where the first layers are trained and the last copied, less those of the reverse, with intervals."
    )
    return intervals(points, "points of error: train the first layers, less train the last", caption, 0.0)


def curve_plot(rows: Sequence[Row]) -> Plot:
    """Return accuracy less the base's against the number of blocks, of both splits."""
    named: dict[str, list[Row]] = {}
    for row in rows:
        if row.depth:
            label = row.system if row.split == SPLITS[0] else f"{row.system}, {row.split}"
            named.setdefault(label, []).append(row)

    def draw(axes: Axes, palette: Palette) -> None:
        axes.axhline(0, color=palette.ink, linewidth=1, linestyle="--", label=BASE)
        for number, (label, own) in enumerate(named.items()):
            colour = palette.series[number % len(palette.series)]
            x = [row.depth + 0.04 * (number - (len(named) - 1) / 2) for row in own]
            low = [100 * (row.gain if row.gain_low is None else row.gain_low) for row in own]
            high = [100 * (row.gain if row.gain_high is None else row.gain_high) for row in own]
            axes.vlines(x, low, high, color=colour, linewidth=1.4, alpha=0.75)
            style = LINES[number // len(palette.series) % len(LINES)]
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(
                x,
                [100 * row.gain for row in own],
                style,
                color=colour,
                marker=marker,
                markersize=5,
                label=shorten(label),
            )
        axes.set_xticks(sorted({row.depth for row in rows if row.depth}))
        axes.set_xlabel("blocks that are copied (or frozen at random)")
        axes.set_ylabel("accuracy above the base, points")
        axes.grid(axis="y", color=palette.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9, labelcolor=palette.ink)

    alt = "; ".join(
        f"{label}: " + ", ".join(f"{100 * row.gain:+.1f} at {row.depth}" for row in own) for label, own in named.items()
    )
    caption = "Accuracy above the base by the number of blocks that are copied, with intervals over seeds."
    return Plot("transferability", caption, alt, 7.4, 4.6, draw)
