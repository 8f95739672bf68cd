"""Compares how two sides trained up to word error rates: their courses, who was first, and the table of a race."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asr_transfer.experiments.core.tables import Table
from benchmarks.targets import met

BETWEEN = 1500
"""Seconds of padded audio between two validations."""

OURS, PEER = "ours", "SpeechBrain"
WANTED = 3.0
"""Times fewer processor seconds that we take to the first of the targets."""


@dataclass(frozen=True)
class Entry:
    """How a side runs.

    Attributes:
        model: key of `benchmarks.training.MODELS`.
        learning_rate: its peak, after a tenth of the steps.
        seconds: length of a batch, padded audio.
        audio: thousand seconds of padded audio in the whole schedule, a cosine to zero.
        speeds: speed copies.
    """

    model: str
    learning_rate: float
    seconds: int = 60
    audio: int = 140
    speeds: tuple[float, ...] = (1.0,)

    @property
    def steps(self) -> int:
        """Steps of the schedule."""
        return 1000 * self.audio // self.seconds

    @property
    def every(self) -> int:
        """Steps between two validations."""
        return max(1, BETWEEN // self.seconds)

    def __str__(self) -> str:
        speeds = "" if len(self.speeds) == 1 else f", {len(self.speeds)} speeds"
        return f"{self.model}, rate {self.learning_rate:g}, {self.seconds} s a batch, {self.audio},000 s{speeds}"


@dataclass
class Course:
    """How a training went.

    Attributes:
        points: (processor seconds, steps, word error rate) at each validation.
    """

    points: list[tuple[float, int, float]] = field(default_factory=list)

    def until(self, target: float) -> tuple[float, int] | None:
        """Return processor seconds and steps up to the first validation at or below a word error rate; None if none."""
        return next(((cpu, steps) for cpu, steps, wer in self.points if wer <= target), None)

    def is_over(self, target: float, limit: float) -> bool:
        """Return whether the target was reached, or the limit of processor seconds."""
        return bool(self.points) and (self.points[-1][2] <= target or self.points[-1][0] >= limit)


@dataclass(frozen=True)
class Tried:
    """A candidate that was tried.

    Attributes:
        entry: the candidate.
        cpu: processor seconds to the lowest target; None if it was not reached.
        spent: processor seconds in all.
        best: lowest word error rate.
    """

    entry: Entry
    cpu: float | None
    spent: float
    best: float


def fastest(tried: Sequence[Tried]) -> Entry:
    """Return the candidate that reached the target first; where none did, the one that came nearest."""
    return min(tried, key=lambda one: (one.cpu is None, one.cpu or 0.0, one.best)).entry


def race_table(
    courses: Mapping[str, Sequence[Course]], entries: Mapping[str, Entry], targets: Sequence[float], note: str
) -> Table:
    """Return processor seconds of each side to each target, over seeds, and how many times fewer are ours.

    Args:
        courses: courses of each side, one for each seed.
        entries: entry that each side ran.
        targets: word error rates; the first is the one that more was asked of.
        note: line below.
    """
    lines = []
    for target in targets:
        for side, own in courses.items():
            found = [course.until(target) for course in own]
            reached = [one for one in found if one is not None]
            line = [f"{100 * target:g} %", side, str(entries[side]), f"{len(reached)} of {len(own)}"]
            for column in (0, 1):
                values = [one[column] for one in reached]
                line.append(
                    f"{statistics.fmean(values):.0f} ({min(values):.0f} … {max(values):.0f})" if values else "–"
                )
            beside = _beside(courses, target, targets[0]) if side == OURS else ("", "", "")
            lines.append((*line, *beside))
    headings = ("WER", "side", "network and schedule", "seeds that reach it", "CPU-seconds", "steps",
                "times fewer", "target", "met")  # fmt: skip
    return Table(headings, tuple(lines), note=note)


def _beside(courses: Mapping[str, Sequence[Course]], target: float, first: float) -> tuple[str, str, str]:
    """Return how many times fewer processor seconds are ours, where all of our seeds reach the target.

    Where the peer does not reach it, what it spent counts, and the ratio is a lower bound.
    """
    wanted = target == first
    asked = f"≥ {WANTED:g}" if wanted else ""
    ours = [course.until(target) for course in courses[OURS]]
    theirs = [course.until(target) for course in courses[PEER]]
    if None in ours:
        return "–", asked, met(False, wanted)
    spent = [one[0] if one else course.points[-1][0] for one, course in zip(theirs, courses[PEER], strict=True)]
    ratio = statistics.fmean(spent) / statistics.fmean(one[0] for one in ours if one is not None)
    bound = "at least " if None in theirs else ""
    return f"{bound}{ratio:.1f}", asked, met(ratio >= WANTED, wanted)
