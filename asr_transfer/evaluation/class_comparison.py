"""Compares systems that tell classes with a baseline, over the same items: scores, tests and marks.

`class_table` and `class_report` show what comes out. A mark stands for a difference whose p, after Holm's correction
for all systems that met the baseline, is below 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.evaluation import classes
from asr_transfer.evaluation.class_runs import ClassSystem
from asr_transfer.evaluation.classes import ClassScore
from asr_transfer.evaluation.clusters import FEWEST, Estimate, reachable
from asr_transfer.evaluation.compare import ALPHA, Mark
from asr_transfer.evaluation.resampling import FEW
from asr_transfer.evaluation.significance import holm


@dataclass(frozen=True)
class ClassTest:
    """A system against the baseline.

    Attributes:
        change: share of wrong items less the baseline's, with its interval and the p of the pair alone.
        differing: items that one of the two has right and the other wrong.
        p_change: p after Holm's correction for all systems that met the baseline.
    """

    change: Estimate
    differing: int
    p_change: float


@dataclass(frozen=True)
class ClassEntry:
    """A system among others.

    Attributes:
        system: system that was compared.
        counts: its score.
        interval: interval of its error, over what `ComparedClasses.over` says; None below four of them.
        per_class_interval: interval of its per-class accuracy; None as well where all items are right, or all wrong.
        test: against the baseline; None for the baseline itself.
    """

    system: ClassSystem
    counts: ClassScore
    interval: tuple[float, float] | None
    per_class_interval: tuple[float, float] | None
    test: ClassTest | None = None

    @property
    def name(self) -> str:
        """What tables call the system."""
        return self.system.name

    @property
    def mark(self) -> Mark:
        """Whether it is better or worse than the baseline, beyond chance."""
        if self.test is None:
            return "base"
        if not self.test.differing:
            return "same"
        if self.test.p_change >= ALPHA or not self.test.change.value:
            return "open"
        return "better" if self.test.change.value < 0 else "worse"


@dataclass(frozen=True)
class ComparedClasses:
    """Systems over the same items.

    Attributes:
        entries: the systems, in the given order.
        baseline: index of the baseline among them.
        over: kind of the parts that the intervals are over, and their number.
        notes: sentences that every report shows.
    """

    entries: tuple[ClassEntry, ...]
    baseline: int
    over: str
    notes: tuple[str, ...]

    @property
    def base(self) -> ClassEntry:
        """The baseline."""
        return self.entries[self.baseline]

    @property
    def best(self) -> ClassEntry:
        """The system with the fewest errors; the first of equal ones."""
        return min(self.entries, key=lambda entry: entry.counts.errors)


def compare_classes(systems: Sequence[ClassSystem], baseline: str | None = None) -> ComparedClasses:
    """Score systems and test each against the baseline.

    Args:
        systems: over the same items, as `load_classes` returns them.
        baseline: its name; None takes the first.

    Raises:
        ConfigError: no system has the baseline's name.
        DataError: there is no system, or the items differ.
    """
    if not systems:
        raise DataError("there is nothing to compare; give at least one run with predictions.")
    names = [system.name for system in systems]
    if baseline is not None and baseline not in names:
        raise ConfigError(f"`baseline`: there is no system '{baseline}'.{nearest_hint(baseline, names)}")
    index = 0 if baseline is None else names.index(baseline)
    entries = [_entry(system) for system in systems]
    base = systems[index].predictions
    rest = [n for n in range(len(entries)) if n != index]
    changes = [classes.change(base, systems[n].predictions) for n in rest]
    for n, change, p in zip(rest, changes, holm([own.p for own in changes]), strict=True):
        differing = sum(one.wrong != two.wrong for one, two in zip(base, systems[n].predictions, strict=True))
        entries[n] = replace(entries[n], test=ClassTest(change, differing, p))
    kind, together = classes.together(base)
    count = len(set(together))
    notes = [f"{system.name}: {note}" for system in systems for note in system.notes]
    if count < FEWEST:
        notes.append(f"There are no intervals: {count} {kind} say too little, {FEWEST} are needed.")
    elif count < FEW:
        notes.append(f"Intervals over {count} {kind} are rather too narrow, for they are drawn from so few.")
    if rest and (least := len(rest) * reachable(count)) >= ALPHA:
        comparisons = f"{len(rest)} comparison{'s' if len(rest) > 1 else ''}"
        notes.append(
            f"Significance: with {count} {kind} and {comparisons} p (Holm) cannot be below {least:.2f}, "
            "whatever the difference; compare fewer systems at once, or test on more."
        )
    return ComparedClasses(tuple(entries), index, f"{count:,} {kind}", tuple(dict.fromkeys(notes)))


def _entry(system: ClassSystem) -> ClassEntry:
    error = classes.error_rate(system.predictions)
    span = None if error.low is None or error.high is None else (error.low, error.high)
    return ClassEntry(system, classes.score(system.predictions), span, classes.per_class_interval(system.predictions))
