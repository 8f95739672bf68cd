"""Sums up an adaptation experiment: one row per method and amount, with its spread and its price."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from asr_transfer.data.manifest import Utterance
from asr_transfer.errors import DataError
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.scoring import Hypothesis, write_scores
from asr_transfer.experiments.speakers.experiment import choose_rates
from asr_transfer.experiments.speakers.protocol import Fold
from asr_transfer.experiments.speakers.trials import Trial


@dataclass(frozen=True)
class Row:
    """A method at an amount, over all test speakers and draws.

    Attributes:
        method, amount: name and number of utterances; `none` at amount 0 is the source model.
        speakers, draws: numbers of test speakers, and of draws of each.
        wer: errors over words of all test utterances.
        reduction: relative reduction of errors against the source model on the same utterances; None for `none`.
        low, high: 95 % interval of the reduction over speakers, each with all his draws, which share recordings; None
            below four speakers.
        draw_spread: standard deviation of the WER over draws.
        harmed: share of speakers whose errors over all draws rose.
        others, others_before: WER on the other speakers after adaptation, and of the source model.
        cpu_seconds: mean of one adaptation.
        learning_rates: chosen on development speakers; several where folds chose differently.
        unit: unit of the errors, `words` or `characters`.
        chosen: methods that an automatic one chose, and how often, the most frequent first.
        by_speaker: sums over each speaker's draws, from which every other figure follows: errors before, errors after,
            words, other speakers' errors before and after, and their words. Older records lack them.
    """

    method: str
    amount: int
    speakers: int
    draws: int
    wer: float
    reduction: float | None
    low: float | None
    high: float | None
    draw_spread: float
    harmed: float | None
    others: float
    others_before: float
    cpu_seconds: float
    learning_rates: tuple[float, ...]
    unit: str = "words"
    chosen: tuple[str, ...] = ()
    by_speaker: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        """Return the row for a run record."""
        return asdict(self)


def summarise(folds: Sequence[Fold], trials: Iterable[Trial]) -> list[Row]:
    """Choose each target's learning rate on development speakers and sum the test speakers' trials up.

    With development speakers in the folds, they choose for all test speakers. Without, each test speaker's rate is
    chosen by the others' trials, so that no speaker's own test utterances have a say.
    """
    trials = list(trials)
    groups = _groups(folds, trials)
    before = {(t.speaker, t.draw): t for t in groups.get(("none", 0), [])}
    return [_row(method, amount, group, before) for (method, amount), group in groups.items()]


def write_systems(
    folder: Path,
    folds: Sequence[Fold],
    trials: Iterable[Trial],
    utterances: Mapping[str, Utterance],
    record: Mapping[str, Any],
) -> list[Path]:
    """Write a run folder `systems/METHOD-AMOUNT` for each row of the table, so that rows are compared like runs.

    Its utterances are named `ID#DRAW`: a draw tests all amounts and methods on the same recordings. `none-0` is the
    source model.

    Args:
        folder: the experiment's run folder; what `systems` held there is replaced.
        folds: folds of the experiment.
        trials: trials of the experiment.
        utterances: utterances of the corpus by id.
        record: the experiment's own record, from which command, versions and data are taken.

    Returns:
        The folders, in the order of the table.

    Raises:
        DataError: a trial names an utterance that the corpus does not have.
    """
    shutil.rmtree(folder / "systems", ignore_errors=True)
    written = []
    groups = _groups(folds, list(trials))
    before = {(t.speaker, t.draw): t for t in groups.get(("none", 0), [])}
    for (method, amount), group in groups.items():
        path = folder / "systems" / f"{method}-{amount}"
        total = write_scores(
            path, [h for trial in sorted(group, key=lambda t: t.key) for h in _hypotheses(trial, utterances)]
        )
        rates = sorted({t.learning_rate for t in group} - {0.0})
        seconds = sum(t.cpu_seconds for t in group)
        values: dict[str, Any] = {
            **{
                key: record[key]
                for key in ("format", "command", "started", "versions", "commit", "attempts", "data")
                if key in record
            },
            "status": "finished",
            "config": {"method": method, "amount": amount, "learning_rates": rates, **record.get("config", {})},
            "history": [],
            "scores": {
                "test": total.to_plain(),
                "others": {
                    "before": _others([before[t.speaker, t.draw] for t in group if (t.speaker, t.draw) in before]),
                    "after": _others(group),
                    "pairs": [
                        {
                            "speaker": t.speaker,
                            "before": before[t.speaker, t.draw].other_errors,
                            "after": t.other_errors,
                            "words": t.other_words,
                        }
                        for t in group
                        if (t.speaker, t.draw) in before
                    ],
                },
            },
            "adaptation": {"trials": len(group), "cpu_seconds": round(seconds / len(group), 3)},
            "time": {"wall_seconds": round(seconds, 2), "cpu_seconds": round(seconds, 2)},
        }
        text = json.dumps(values, indent=2, ensure_ascii=False)
        (path / "run.json").write_text(text + "\n", encoding="utf-8")
        written.append(path)
    return written


def table(rows: Sequence[Row], title: str) -> Table:
    """Return the rows as a table for a terminal."""
    result = Table(title=title, title_justify="left")
    for heading in headings(rows):
        result.add_column(heading, justify="left" if heading == "method" else "right")
    for row in rows:
        result.add_row(*_cells(row))
    return result


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    names = headings(rows)
    lines = ["| " + " | ".join(names) + " |", "|" + "|".join("---" for _ in names) + "|"]
    return "\n".join(lines + ["| " + " | ".join(_cells(row)) + " |" for row in rows]) + "\n"


def headings(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns' names; errors are of words or of characters."""
    rate = "CER" if rows and rows[0].unit == "characters" else "WER"
    return (
        "utterances", "method", f"{rate} speaker %", "± draws", "relative reduction %", "95 % interval",
        "speakers harmed %", f"{rate} others % (before)", "CPU-s", "learning rate, or chosen",
    )  # fmt: skip


def _cells(row: Row) -> list[str]:
    def percent(value: float | None, digits: int = 1) -> str:
        return "–" if value is None else f"{100 * value:.{digits}f}"

    interval = "–" if row.low is None else f"{percent(row.low, 0)} … {percent(row.high, 0)}"
    if row.low is not None and row.by_speaker:
        interval += f", n = {len(row.by_speaker)}"  # older records' are not over them
    return [
        str(row.amount),
        row.method,
        percent(row.wer),
        percent(row.draw_spread),
        percent(row.reduction),
        interval,
        percent(row.harmed, 0),
        f"{percent(row.others, 2)} ({percent(row.others_before, 2)})",
        f"{row.cpu_seconds:.1f}" if row.method != "none" else "–",
        ", ".join(row.chosen) or " / ".join(f"{rate:g}" for rate in row.learning_rates) or "–",
    ]


def _groups(folds: Sequence[Fold], trials: list[Trial]) -> dict[tuple[str, int], list[Trial]]:
    """Return the test speakers' trials at the chosen learning rate by method and amount, in the table's order."""
    dev = {d.speaker for fold in folds for d in fold.dev}
    targets = sorted({d.speaker for fold in folds for d in fold.test})
    groups: dict[tuple[str, int], list[Trial]] = {}
    for speaker in targets:
        rates = choose_rates(trials, dev or set(targets) - {speaker})
        for trial in trials:
            if trial.speaker != speaker:
                continue
            if trial.method == "none" or trial.learning_rate == rates.get((trial.method, trial.amount)):
                groups.setdefault((trial.method, trial.amount), []).append(trial)
    order = list(dict.fromkeys(t.method for t in trials))
    return dict(sorted(groups.items(), key=lambda item: (item[0][1], order.index(item[0][0]))))


def _hypotheses(trial: Trial, utterances: Mapping[str, Utterance]) -> list[Hypothesis]:
    """Return what a trial recognised, with the references."""
    found = []
    for name, text in trial.hypotheses.items():
        if name not in utterances:
            raise DataError(f"trials.jsonl: utterance '{name}' is not in the corpus; run again with --overwrite.")
        known = utterances[name]
        found.append(Hypothesis(f"{name}#{trial.draw}", known.speaker, known.language, known.text, text))
    return found


def _others(trials: Sequence[Trial]) -> dict[str, Any]:
    errors, words = sum(t.other_errors for t in trials), sum(t.other_words for t in trials)
    return {"wer": errors / words if words else None, "words": {"errors": errors, "reference": words}}


def _row(method: str, amount: int, group: list[Trial], before: dict[tuple[str, int], Trial]) -> Row:
    sums: dict[str, list[int]] = {}
    for t in sorted(group, key=lambda t: t.speaker):
        b = before[t.speaker, t.draw]
        own = sums.setdefault(t.speaker, [0] * 6)
        for n, value in enumerate((b.errors, t.errors, t.words, b.other_errors, t.other_errors, t.other_words)):
            own[n] += value
    first, last, words, others_first, others_last, others_words = np.array(list(sums.values())).T
    per_draw = [
        sum(t.errors for t in group if t.draw == d) / sum(t.words for t in group if t.draw == d)
        for d in sorted({t.draw for t in group})
    ]
    reduction = low = high = harmed = None
    if method != "none":
        found = clusters.reduction(first, last)
        reduction, low, high = (found.value if first.any() else 0.0), found.low, found.high
        harmed = float((last > first).mean())
    return Row(
        method, amount, len(sums), len(per_draw), float(last.sum() / words.sum()), reduction, low, high,
        float(np.std(per_draw, ddof=1)) if len(per_draw) > 1 else 0.0, harmed,
        float(others_last.sum() / others_words.sum()), float(others_first.sum() / others_words.sum()),
        sum(t.cpu_seconds for t in group) / len(group),
        tuple(sorted({t.learning_rate for t in group} - {0.0})),
        group[0].unit,
        _chosen(group),
        sums,
    )  # fmt: skip


def _chosen(group: Sequence[Trial]) -> tuple[str, ...]:
    """Return what an automatic method chose and how often, the most frequent first."""
    names = Counter(t.chosen.split(" ")[0] for t in group if t.chosen)
    return tuple(f"{name} {count}" for name, count in names.most_common())
