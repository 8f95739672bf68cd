"""Makes a table once more, by the command that its page prints, and compares it with its record figure by figure."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_transfer.errors import ConfigError
from asr_transfer.runs.record import read_record
from docs import records
from docs.commands import makes_runs, option, printed
from docs.origin import older

NEAR = 1e-9
"""Relative difference of two figures that are the same."""


@dataclass(frozen=True)
class Difference:
    """A figure that came out otherwise.

    Attributes:
        place: dotted, within the scores.
        before, after: figures of the record and of the new run; None where one has no such figure.
        low, high: the record's interval; None without one.
    """

    place: str
    before: Any
    after: Any
    low: float | None = None
    high: float | None = None

    @property
    def within(self) -> bool | None:
        """Whether the new figure lies within the record's interval; None where there is none."""
        if self.low is None or self.high is None or not isinstance(self.after, int | float):
            return None
        return self.low <= self.after <= self.high

    def __str__(self) -> str:
        between = "" if self.within is None else f", interval {self.low:.4g} … {self.high:.4g}"
        return f"{self.place}: {_short(self.before)} in the record, {_short(self.after)} now{between}"


def cheapest() -> str | None:
    """Return the name of the record that takes least time to make again of those whose inputs are here; None of none.

    Older runs are left out, and what needs recordings or models that are not on this machine.
    """
    able = []
    for name in records.names():
        values = records.record(name)
        command = printed(values)
        if not older(values) and "attempts" in values and makes_runs(command) and not _absent(command):
            able.append((values["time"]["cpu_seconds"], name))
    return min(able)[1] if able else None


def run_again(command: str, out: Path) -> dict[str, Any]:
    """Run a printed command into another run folder and return its record.

    Raises:
        ConfigError: it fails, or is none that makes a run.
    """
    if not makes_runs(command):
        raise ConfigError(f"`{command}`: makes no table.")
    words = shlex.split(command)
    words[words.index("--out") + 1] = str(out)
    program = ["-m", "asr_transfer.cli", *words[1:]] if words[0] == "asr-transfer" else words[1:]
    paths = [str(records.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    ended = subprocess.run([sys.executable, *program], cwd=records.ROOT, env=environment, stdout=subprocess.DEVNULL)
    if ended.returncode:
        raise ConfigError(f"`{command}`: ended with {ended.returncode}.")
    return read_record(out)


def same_arithmetic(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether two records say that they were made in one precision on one kind of processor."""
    known = [values.get("precision") or {} for values in (before, after)]
    return all(
        known[0].get(name) is not None and known[0].get(name) == known[1].get(name) for name in ("taken", "processor")
    )


def compare(before: Any, after: Any, place: str = "scores") -> Iterator[Difference]:
    """Yield what differs between two records' scores; times are no figures."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [*before, *(name for name in after if name not in before)]
        for number, name in enumerate(names):
            if name.endswith("seconds"):
                continue
            found = compare(before.get(name), after.get(name), f"{place}.{name}")
            yield from (_with_interval(one, before, names, number) if one.place == f"{place}.{name}" else one
                        for one in found)  # fmt: skip
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from compare(one, other, f"{place}.{_title(one, number)}")
    elif not _same(before, after):
        yield Difference(place, before, after)


def count(scores: Any) -> int:
    """Return how many figures there are in scores; times are none."""
    if isinstance(scores, Mapping):
        return sum(count(value) for name, value in scores.items() if not name.endswith("seconds"))
    if isinstance(scores, list):
        return sum(map(count, scores))
    return int(isinstance(scores, int | float) and not isinstance(scores, bool))


def _with_interval(one: Difference, row: Mapping[str, Any], names: list[str], number: int) -> Difference:
    """Return a difference with its interval: of `x_low` and `x_high`, or of the `low` and `high` right behind it."""
    name = names[number]
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if low is None and names[number + 1 : number + 3] == ["low", "high"]:
        low, high = row["low"], row["high"]
    return Difference(one.place, one.before, one.after, low, high)


def _title(row: Any, number: int) -> str:
    """Return what a row of a list is called: its number, and the names and amounts that it begins with."""
    if not isinstance(row, Mapping):
        return str(number)
    said = [str(value) for value in [*row.values()][:3] if isinstance(value, str | int) and not isinstance(value, bool)]
    return f"{number} ({', '.join(said)})" if said else str(number)


def _same(before: Any, after: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after))
    return bool(abs(before - after) <= NEAR * max(abs(before), abs(after))) if numbers else bool(before == after)


def _absent(command: str) -> list[str]:
    """Return the files and folders that a command reads and that are not here."""
    own = {option(command, "out")}
    found = re.findall(r"[\w.~-]*/[\w./~-]+", " ".join(word for word in shlex.split(command)[1:] if word not in own))
    return [path for path in found if not (records.ROOT / Path(path).expanduser()).exists()]


def _short(value: Any) -> str:
    return "nothing" if value is None else f"{value:.6g}" if isinstance(value, float) else repr(value)
