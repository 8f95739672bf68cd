"""Says what `auto` chose for other speakers with about as many recordings, from a table that run records made.

The table comes with the package; `python -m docs.update_tables` writes it from the records in `docs/results`. It is
what `auto` knows of its candidates by amount, and is printed: the order of the candidates is that of the settings.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.adaptation.ladder import Candidate
from asr_transfer.textfiles import read_text

TABLE = Path(__file__).with_name("auto_chosen.csv")
"""The table, a line for each record and amount."""

NEAR = 2.0
"""Factor up to which an amount is about as many recordings."""

COLUMNS = ("record", "tried", "recordings", "speakers", "fewer", "chosen")


@dataclass(frozen=True)
class Chosen:
    """What `auto` chose in one run at one amount.

    Attributes:
        record: name of the run record.
        tried: methods that it tried, the usual choice first.
        recordings: number of recordings that it adapted to.
        speakers: number of speakers.
        fewer: share of the errors that went away, over all speakers.
        chosen: number of times that each method was chosen, the most frequent first.
    """

    record: str
    tried: tuple[str, ...]
    recordings: int
    speakers: int
    fewer: float
    chosen: Counter[str]

    @classmethod
    def read(cls, file: Path = TABLE) -> list[Chosen]:
        """Return the lines of the table."""
        return [cls._of(row) for row in csv.DictReader(read_text(file).splitlines())]

    @classmethod
    def _of(cls, row: dict[str, str]) -> Chosen:
        counts = (part.rsplit(" ", 1) for part in row["chosen"].split("; "))
        chosen = Counter({method: int(times) for method, times in counts})
        numbers = int(row["recordings"]), int(row["speakers"]), float(row["fewer"])
        return cls(row["record"], tuple(row["tried"].split("; ")), *numbers, chosen)

    def cells(self) -> tuple[str, ...]:
        """Return its line of the table, in the order of `COLUMNS`."""
        chosen = "; ".join(f"{method} {times}" for method, times in self.chosen.items())
        numbers = str(self.recordings), str(self.speakers), f"{self.fewer:.3f}"
        return self.record, "; ".join(self.tried), *numbers, chosen


def describe_candidates(
    tried: Sequence[Candidate], recordings: int, usual: bool = True, known: Iterable[Chosen] | None = None
) -> str:
    """Return which methods `auto` tries, and what it chose among the same for others with about as many recordings.

    Args:
        tried: the candidates, the usual choice first.
        recordings: number of recordings to adapt to.
        usual: whether there is a usual choice; of models of sequence to sequence there is none.
        known: lines of the table; None reads it.
    """
    names = list(dict.fromkeys(one.method.removeprefix("warp+") for one in tried if one.method != "warp"))
    first, *others = names
    told = f"auto tries {first}{', the usual choice' * usual}{''.join(f', {name}' for name in others)}"
    if any(one.method == "warp" for one in tried):
        told += ", all on top of a warp, and the warp alone"
    rows = near(names, recordings, Chosen.read() if known is None else known)
    if not rows:
        return f"{told}; no record says what it chose among these with about {recordings} recordings"
    sums = sum((row.chosen for row in rows), Counter[str]())
    counts = ", ".join(f"{method} {times}" for method, times in sums.most_common())
    whose = "; ".join(
        f"{row.record}: {row.recordings} of each of {row.speakers} speakers, "
        f"{abs(100 * row.fewer):.0f} % {'fewer' if row.fewer >= 0 else 'more'} errors"
        for row in rows
    )
    return f"{told}; with about as many recordings it chose, in {sums.total()} draws: {counts} ({whose})"


def near(tried: Sequence[str], recordings: int, known: Iterable[Chosen]) -> list[Chosen]:
    """Return from each record the line of the nearest amount, where that is near and the same methods were tried."""
    best: dict[str, Chosen] = {}
    for row in known:
        if row.tried == tuple(tried) and _distance(row, recordings) <= NEAR:
            best[row.record] = min(best.get(row.record, row), row, key=lambda one: _distance(one, recordings))
    return list(best.values())


def _distance(row: Chosen, recordings: int) -> float:
    return max(row.recordings / recordings, recordings / row.recordings)
