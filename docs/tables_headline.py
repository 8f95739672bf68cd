"""Makes tables over all corpora of speaker adaptation: what `auto` reached, and the best method in hindsight beside
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asr_transfer.evaluation.clusters import FEWEST
from asr_transfer.evaluation.percentages import NONE, percent, span
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.speakers.hindsight import best_in_hindsight
from docs.origin import OLDER, gpu, older, unshipped
from docs.records import CORPORA, LEFT_OFF, measured, record

AUTOMATIC = ("auto", "auto-without-source")
MARK = "†"
ON_GPU = "‡"


CHOSEN_ON = {name: ("george", "jackson") for name in ("fsdd", "fsdd_methods", "fsdd_words")}
"""Test speakers of records on whom settings were chosen, with other draws of their recordings."""

SHOWN = 3
"""Greatest number of amounts of a corpus on the front page, spread over all that were run."""

Row = Mapping[str, Any]
"""A method at an amount, as the record of an adaptation experiment has it."""


def headline() -> str:
    """Return what `auto` reached at each amount on each corpus that it was run on, and on which it was not."""
    lines: list[tuple[str, Row]] = []
    notes, missing = [], []
    repeated: dict[str, list[str]] = {}
    cards: set[str] = set()
    for corpus, title in CORPORA.items():
        if corpus in LEFT_OFF:
            continue
        rows = record(corpus)["scores"]["rows"] if measured(corpus) else []
        automatic = [row for row in rows if row["method"] == "auto"]
        if not automatic:
            missing.append(f"{title} ({OLDER})" if measured(corpus) and older(record(corpus)) else title)
            continue
        if to_repeat := _to_repeat(record(corpus)):
            repeated.setdefault(to_repeat, []).append(f"{title} {MARK}")
        name = f"{title} {MARK}" if to_repeat else title
        card = gpu(record(corpus))
        cards |= {card} - {""}
        lines += [(name, {**row, "card": card}) for row in _spread(automatic)]
        notes += [f"{title}: {text}" for text in [untouched(corpus, rows)] if text]
    notes += [f"{'; '.join(titles)}: {reason}." for reason, titles in repeated.items()]
    beside = f"{ON_GPU} beside {', '.join(sorted(cards))}. " if cards else ""
    lacking = f" Not run with `auto` yet: {'; '.join(missing)}." if missing else ""
    notes.append(f"{beside}No interval is given for fewer than {FEWEST} speakers.{lacking}")
    table = Table.of(
        lines,
        [
            ("corpus", lambda line: line[0]),
            ("held-out speakers", lambda line: str(line[1]["speakers"])),
            ("utterances", lambda line: str(line[1]["amount"])),
            ("errors of", lambda line: line[1].get("unit", "words")),
            ("before, %", lambda line: percent(_before(line[1]))),
            ("with `auto`, %", lambda line: percent(line[1]["wer"])),
            ("fewer errors (95 %)", lambda line: f"{percent(line[1]['reduction'] or 0.0, 0)} % ({_interval(line[1])})"),
            (
                "others before → after, %",
                lambda line: f"{percent(line[1]['others_before'])} → {percent(line[1]['others'])}",
            ),
            ("CPU-s", lambda line: f"{line[1]['cpu_seconds']:.1f}{' ' + ON_GPU if line[1]['card'] else ''}"),
        ],
    )
    return "\n".join([table.markdown(), "", *(f"- {note}" for note in notes)]) + "\n"


def _spread(rows: Sequence[Row]) -> list[Row]:
    """Return rows as evenly spread as can be, with the first and the last; all of them where they are few."""
    if len(rows) <= SHOWN:
        return list(rows)
    return [rows[round(place * (len(rows) - 1) / (SHOWN - 1))] for place in range(SHOWN)]


def hindsight() -> str:
    """Return the best method in hindsight beside `auto`, corrected for having been the best, for each corpus."""
    lines: list[tuple[str, ...]] = []
    for corpus, title in CORPORA.items():
        if not measured(corpus):
            continue
        values = record(corpus)
        rows = values["scores"]["rows"]
        for amount in sorted({row["amount"] for row in rows} - {0}):
            own = [row for row in rows if row["amount"] == amount]
            automatic = next((percent(row["reduction"], 0) for row in own if row["method"] == "auto"), NONE)
            named = [row for row in own if row["method"] not in (*AUTOMATIC, "none")]
            if not named:
                continue
            best = max(named, key=lambda row: row["reduction"] or 0.0)
            cells = (str(best["speakers"]), str(amount), automatic, best["method"], percent(best["reduction"], 0))
            lines.append((title, *cells, _corrected(values, amount)))
    old = [title for corpus, title in CORPORA.items() if measured(corpus) and older(record(corpus))]
    notes = [
        "Corrected: for each speaker in turn, the method is the best one of the other speakers, and its errors on this "
        "speaker count.",
        *([f"{OLDER.capitalize()}: {'; '.join(old)}."] if old else []),
    ]
    headings = ("corpus", "speakers", "utterances", "`auto`: fewer errors %", "best method in hindsight",
                "its fewer errors %", "corrected %")  # fmt: skip
    return "\n".join([Table(headings, tuple(lines)).markdown(), "", *(f"- {note}" for note in notes)]) + "\n"


def untouched(corpus: str, rows: Sequence[Row]) -> str:
    """Return on which test speakers settings were chosen, and the reductions without them; empty for none.

    Args:
        corpus: Name of its record.
        rows: Rows of the record, as they stand in it; those of `auto` alone count where there are any.
    """
    chosen = CHOSEN_ON.get(corpus)
    if chosen is None:
        return ""
    text = f"settings were chosen on {' and '.join(chosen)}, with other draws; fewer errors without them: "
    counted = [row for row in rows if row["method"] != "none"]
    counted = [row for row in counted if row["method"] == "auto"] or counted
    if not all(row.get("by_speaker") for row in counted):
        return f"{text}not known, the record holds no figures by speaker."
    told = []
    for row in counted:
        own = [sums for speaker, sums in row["by_speaker"].items() if speaker not in chosen]
        before, after = (sum(sums[place] for sums in own) for place in (0, 1))
        told.append(f"{row['method']} {row['amount']}: {percent(1 - after / before if before else 0, 0)} %")
    return f"{text}{', '.join(told)}."


def _corrected(values: Mapping[str, Any], amount: int) -> str:
    """Return the corrected cell for a record at one amount, or why there is none."""
    rows = [row for row in values["scores"]["rows"] if row["amount"] == amount]
    named = [row for row in rows if row["method"] not in (*AUTOMATIC, "none")]
    if len(named) == 1:
        return "the only one"
    if not all(row.get("by_speaker") for row in named):
        return f"not corrected: {'older run' if older(values) else 'no figures by speaker'}"
    found = best_in_hindsight({row["method"]: _errors(row["by_speaker"]) for row in named})
    return "not corrected: one speaker" if found.corrected is None else percent(found.corrected, 0)


def _errors(by_speaker: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, int]]:
    return {speaker: (sums[0], sums[1]) for speaker, sums in by_speaker.items()}


def _before(row: Row) -> float:
    """Return the error rate of the source model."""
    return float(row["wer"] / (1 - row["reduction"])) if row["reduction"] not in (None, 1) else 0.0


def _interval(row: Row) -> str:
    return NONE if row["speakers"] < FEWEST else span(row["low"], row["high"])


def _to_repeat(values: Mapping[str, Any]) -> str:
    """Return why a corpus's figures of `auto` are to be repeated; empty where they need not be."""
    reasons = (
        OLDER if older(values) else "",
        f"not `auto` as it is shipped, which has other {other}" if (other := unshipped(values)) else "",
    )
    return "; ".join(filter(None, reasons))
