"""Makes tables over all corpora of speaker adaptation: what `auto` reached, and the best method in hindsight beside
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asr_transfer.evaluation.clusters import FEWEST
from asr_transfer.experiments.speakers.hindsight import best_in_hindsight
from asr_transfer.experiments.speakers.rows import Row
from docs.origin import OLDER, older, unshipped
from docs.records import CORPORA, adaptation_rows, measured, record
from docs.tables_speakers import untouched

AUTOMATIC = ("auto", "auto-without-source")
MARK = "†"


def headline() -> str:
    """Return what `auto` reached at each amount on each corpus that it was run on, and on which it was not."""
    lines = [
        "| corpus | held-out speakers | utterances | errors of | before, % | with `auto`, % | fewer errors (95 %) "
        "| others before → after, % | CPU-s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    notes, missing = [], []
    for corpus, title in CORPORA.items():
        automatic = [row for row in adaptation_rows(corpus) if row.method == "auto"] if measured(corpus) else []
        if not automatic:
            missing.append(title)
            continue
        values = record(corpus)
        if to_repeat := _to_repeat(values):
            notes.append(f"{title} {MARK}: {to_repeat}.")
        name = f"{title} {MARK}" if to_repeat else title
        lines += [_line(name, row) for row in automatic]
        notes += [f"{title}: {text}" for text in [untouched(corpus, values["scores"]["rows"])] if text]
    if missing:
        notes.append(f"Not run with `auto` yet: {'; '.join(missing)}.")
    notes.append(f"No interval is given for fewer than {FEWEST} speakers.")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def hindsight() -> str:
    """Return the best method in hindsight beside `auto`, corrected for having been the best, for each corpus."""
    lines = [
        "| corpus | speakers | utterances | `auto`: fewer errors % | best method in hindsight | its fewer errors % "
        "| corrected % |",
        "|---|---|---|---|---|---|---|",
    ]
    for corpus, title in CORPORA.items():
        if not measured(corpus):
            continue
        table, values = adaptation_rows(corpus), record(corpus)
        for amount in sorted({row.amount for row in table} - {0}):
            own = [row for row in table if row.amount == amount]
            automatic = next((_percent(row.reduction) for row in own if row.method == "auto"), "–")
            named = [row for row in own if row.method not in (*AUTOMATIC, "none")]
            if not named:
                continue
            best = max(named, key=lambda row: row.reduction or 0.0)
            lines.append(
                f"| {title} | {best.speakers} | {amount} | {automatic} | {best.method} | {_percent(best.reduction)} "
                f"| {_corrected(values, amount)} |"
            )
    old = [title for corpus, title in CORPORA.items() if measured(corpus) and older(record(corpus))]
    notes = [
        "Corrected: for each speaker in turn, the method is the best one of the other speakers, and its errors on this "
        "speaker count.",
        *([f"{OLDER.capitalize()}: {'; '.join(old)}."] if old else []),
    ]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def _corrected(values: Mapping[str, Any], amount: int) -> str:
    """Return the corrected cell for a record at one amount, or why there is none."""
    rows = [row for row in values["scores"]["rows"] if row["amount"] == amount]
    named = [row for row in rows if row["method"] not in (*AUTOMATIC, "none")]
    if len(named) == 1:
        return "the only one"
    if not all(row.get("by_speaker") for row in named):
        return f"not corrected: {'older run' if older(values) else 'no figures by speaker'}"
    found = best_in_hindsight({row["method"]: _errors(row["by_speaker"]) for row in named})
    return "not corrected: one speaker" if found.corrected is None else _percent(found.corrected)


def _errors(by_speaker: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, int]]:
    return {speaker: (sums[0], sums[1]) for speaker, sums in by_speaker.items()}


def _line(name: str, row: Row) -> str:
    before = row.wer / (1 - row.reduction) if row.reduction not in (None, 1) else 0.0
    interval = "–" if row.speakers < FEWEST or None in (row.low, row.high) else _between(row.low, row.high)
    return (
        f"| {name} | {row.speakers} | {row.amount} | {row.unit} | {100 * before:.1f} | {100 * row.wer:.1f} "
        f"| {100 * (row.reduction or 0.0):.0f} % ({interval}) "
        f"| {100 * row.others_before:.1f} → {100 * row.others:.1f} | {row.cpu_seconds:.1f} |"
    )


def _to_repeat(values: Mapping[str, Any]) -> str:
    """Return why a corpus's figures of `auto` are to be repeated; empty where they need not be."""
    reasons = (
        OLDER if older(values) else "",
        f"not `auto` as it is shipped, which has other {other}" if (other := unshipped(values)) else "",
    )
    return "; ".join(filter(None, reasons))


def _between(low: float | None, high: float | None) -> str:
    return f"{_percent(low)} … {_percent(high)}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}"
