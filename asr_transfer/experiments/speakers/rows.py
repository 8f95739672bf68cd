"""Sums up an adaptation experiment: one row per method and amount, with its spread and its price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.percentages import NONE, percent, span
from asr_transfer.experiments.core.tables import Column, Table
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
        capped, capped_others: error rates with the errors of each utterance capped at its reference, of a model that
            can run away; None of others.
        capped_reduction, capped_low, capped_high: reduction of those errors, with its interval.
        over, clips: number of test utterances with more errors than characters, and of all.
        predicted, measured: mean predicted rise of others' character error rate, and mean counted one; None where
            nothing was predicted.
        missed_by: mean distance of the two over trials.
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
    capped: float | None = None
    capped_others: float | None = None
    capped_reduction: float | None = None
    capped_low: float | None = None
    capped_high: float | None = None
    over: int | None = None
    clips: int | None = None
    predicted: float | None = None
    measured: float | None = None
    missed_by: float | None = None


def summarise(folds: Sequence[Fold], trials: Iterable[Trial]) -> list[Row]:
    """Choose each target's learning rate on development speakers and sum the test speakers' trials up.

    With development speakers in the folds, they choose for all test speakers. Without, each test speaker's rate is
    chosen by the others' trials, so that no speaker's own test utterances have a say.
    """
    trials = list(trials)
    groups = chosen_trials(folds, trials)
    before = {(t.speaker, t.draw): t for t in groups.get(("none", 0), [])}
    return [_row(method, amount, group, before) for (method, amount), group in groups.items()]


def adaptation_table(rows: Sequence[Row], title: str = "") -> Table:
    """Return the table of the rows; errors are of words or of characters.

    Of models that can run away it also has errors capped at each utterance's reference, and how often they ran away.
    Where speech was held out to predict on what others lose, it has the prediction beside what was counted.
    """
    rate = "CER" if rows and rows[0].unit == "characters" else "WER"
    bounded: list[Column[Row]] = [
        (f"capped {rate} speaker %", lambda row: percent(row.capped)),
        ("capped reduction %", lambda row: percent(row.capped_reduction)),
        ("95 % interval", lambda row: span(row.capped_low, row.capped_high)),
        ("runaways", lambda row: f"{row.over} of {row.clips}"),
        (f"capped {rate} others %", lambda row: percent(row.capped_others, 2)),
    ]
    predicted: list[Column[Row]] = [
        ("others' CER, points", lambda row: percent(row.measured, 2, "+")),
        ("predicted (off by)", _predicted),
    ]
    return Table.of(
        rows,
        [
            ("utterances", lambda row: str(row.amount)),
            ("method", lambda row: row.method),
            (f"{rate} speaker %", lambda row: percent(row.wer)),
            ("± draws", lambda row: percent(row.draw_spread)),
            ("relative reduction %", lambda row: percent(row.reduction)),
            ("95 % interval", _interval),
            ("speakers harmed %", lambda row: percent(row.harmed, 0)),
            (f"{rate} others % (before)", lambda row: f"{percent(row.others, 2)} ({percent(row.others_before, 2)})"),
            *(bounded if any(row.capped is not None for row in rows) else []),
            *(predicted if any(row.predicted is not None for row in rows) else []),
            ("CPU-s", lambda row: f"{row.cpu_seconds:.1f}" if row.method != "none" else "–"),
            ("learning rate, or chosen", _settings),
        ],
        title,
    )


def _predicted(row: Row) -> str:
    return NONE if row.predicted is None else f"{percent(row.predicted, 2, '+')} ({percent(row.missed_by, 2)})"


def _interval(row: Row) -> str:
    # Older records' intervals are not over speakers.
    of = f", n = {len(row.by_speaker)}" if row.low is not None and row.by_speaker else ""
    return span(row.low, row.high) + of


def _settings(row: Row) -> str:
    return ", ".join(row.chosen) or " / ".join(f"{rate:g}" for rate in row.learning_rates) or "–"


def chosen_trials(folds: Sequence[Fold], trials: list[Trial]) -> dict[tuple[str, int], list[Trial]]:
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
        **_capped(group, before),
        **_forgotten(group, before),
    )  # fmt: skip


def _capped(group: Sequence[Trial], before: Mapping[tuple[str, int], Trial]) -> dict[str, Any]:
    """Return the fields of a row about capped errors; none of a model that cannot run away."""
    if any(t.capped is None for t in group):
        return {}
    sums: dict[str, list[int]] = {}
    for t in group:
        own = sums.setdefault(t.speaker, [0, 0])
        own[0] += before[t.speaker, t.draw].bounded
        own[1] += t.bounded
    first, last = np.array([sums[speaker] for speaker in sorted(sums)]).T
    found = None if group[0].method == "none" else clusters.reduction(first, last)
    words, others = sum(t.words for t in group), sum(t.other_words for t in group)
    return {
        "capped": float(last.sum() / words),
        "capped_others": sum(t.other_capped or 0 for t in group) / others,
        "capped_reduction": None if found is None else found.value if first.any() else 0.0,
        "capped_low": found and found.low,
        "capped_high": found and found.high,
        "over": sum(t.over or 0 for t in group),
        "clips": sum(len(t.hypotheses) for t in group),
    }


def _forgotten(group: Sequence[Trial], before: Mapping[tuple[str, int], Trial]) -> dict[str, Any]:
    """Return the fields of a row about what others lose in characters, predicted and counted."""
    told = []
    for t in group:
        first, last = before[t.speaker, t.draw].other_character_errors, t.other_character_errors
        if t.predicted is not None and t.other_characters and first is not None and last is not None:
            told.append((t.predicted, (last - first) / t.other_characters))
    if not told:
        return {}
    predicted, measured = np.array(told).T
    off = float(np.abs(predicted - measured).mean())
    return {"predicted": float(predicted.mean()), "measured": float(measured.mean()), "missed_by": off}


def _chosen(group: Sequence[Trial]) -> tuple[str, ...]:
    """Return what an automatic method chose and how often, the most frequent first."""
    names = Counter(t.chosen.split(" ")[0] for t in group if t.chosen)
    return tuple(f"{name} {count}" for name, count in names.most_common())
