"""Describes candidates of `auto` as they did on held-out utterances, one by one and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from asr_transfer.adaptation.answers import Answers
from asr_transfer.adaptation.loss_of_others import Loss, mean_abroad
from asr_transfer.evaluation.standard_error import in_points
from asr_transfer.plain import to_plain

WORST = 1000.0
"""Criterion of what is not finite: a number, so that it is sorted, and written to files, like any other."""


@dataclass(frozen=True)
class Candidate:
    """What is tried: a method at a learning rate."""

    method: str
    learning_rate: float


@dataclass(frozen=True)
class Judgement:
    """A held-out recording before and after an adaptation to others of the speaker.

    Attributes:
        number: number of the utterance.
        units: characters of its reference.
        before, after: character errors of the source model and of the adapted one.
        loss_before, loss_after: their losses.
        text: text that the adapted model heard.
    """

    number: int
    units: float
    before: float
    after: float
    loss_before: float
    loss_after: float
    text: str


@dataclass(frozen=True)
class Rung:
    """A candidate at its best strength, as it did on held-out utterances.

    Attributes:
        method, learning_rate, strength: the candidate that was tried.
        folds: number of folds that it was tried on.
        errors, units: character errors and reference characters of the held-out utterances.
        source_errors: errors of the source model on the same.
        score: the criterion; 1 is the source model.
        forgetting: estimated rise of the character error rate on source speech that was not trained on; None where it
            was not measured.
        refused: reason why it may not be chosen; empty otherwise.
        shares: contribution of each held-out utterance to the criterion.
        forgetting_error: standard error of `forgetting`; None where it is not known.
        abroad: estimated rise of the character error rate of each other language of the model, by its head; empty
            where it was not measured.
        held: held-out recordings one by one, in the order of `shares`.
    """

    method: str
    learning_rate: float
    strength: float
    folds: int
    errors: int
    units: int
    source_errors: int
    score: float
    forgetting: float | None
    refused: str = ""
    shares: tuple[float, ...] = field(default=(), repr=False)
    forgetting_error: float | None = None
    abroad: Mapping[str, Loss] = field(default_factory=dict)
    held: tuple[Judgement, ...] = field(default=(), repr=False)

    def to_plain(self) -> dict[str, Any]:
        """Return the rung for a run record: without single recordings, or other languages where there are none."""
        left = {"shares", "held"} if self.abroad else {"shares", "held", "abroad"}
        return {name: value for name, value in to_plain(self).items() if name not in left}


def judgements(held: Sequence[int], before: Answers, after: Answers) -> tuple[Judgement, ...]:
    """Return held-out recordings one by one.

    Args:
        held: their numbers, (n,).
        before, after: answers of the source model and of the adapted one on them.
    """
    columns = (before.units, before.errors, after.errors, before.losses, after.losses)
    units, first, second, loss_first, loss_second = (column.tolist() for column in columns)
    texts = after.texts or ("",) * len(held)
    rows = zip(held, units, first, second, loss_first, loss_second, texts, strict=True)
    return tuple(Judgement(*row) for row in rows)


def describe(rung: Rung) -> str:
    """Return a rung as a line of text."""
    rate = f" lr {rung.learning_rate:g}" if rung.learning_rate else ""
    forgotten = f", others {_others(rung)}" if rung.forgetting is not None else ""
    if rung.abroad:
        forgotten += f", other languages {_abroad(rung)}"
    refused = f"; refused: {rung.refused}" if rung.refused else ""
    return (
        f"{rung.method}{rate} × {rung.strength:g}: criterion {rung.score:.3f}, character errors "
        f"{rung.source_errors} → {rung.errors} of {rung.units} on {rung.folds} folds{forgotten}{refused}"
    )


def _others(rung: Rung) -> str:
    if rung.forgetting is None:
        return "not measured"
    return f"{in_points(rung.forgetting, rung.forgetting_error)} points"


def _abroad(rung: Rung) -> str:
    if not rung.abroad:
        return "not measured"
    mean = mean_abroad(rung.abroad)
    return f"{in_points(mean.risen, mean.error)} points"


def ladder_table(rungs: Sequence[Rung]) -> Table:
    """Return what was considered as a table, best first; what others lose stands in it even where nobody knows."""
    table = Table(title="held-out recordings, best first", title_justify="left")
    for heading in ("method", "rate", "strength", "folds", "criterion", "character errors", "others"):
        table.add_column(heading, justify="left" if heading == "method" else "right", overflow="fold")
    abroad = any(rung.abroad for rung in rungs)
    if abroad:
        table.add_column("other languages", justify="right", overflow="fold")
    refused = any(rung.refused for rung in rungs)
    if refused:
        table.add_column("refused", overflow="fold")
    for rung in rungs:
        rate = f"{rung.learning_rate:g}" if rung.learning_rate else "–"
        cells = [
            rung.method, rate, f"{rung.strength:g}", str(rung.folds), f"{rung.score:.3f}",
            f"{rung.source_errors} → {rung.errors} of {rung.units}", _others(rung),
        ]  # fmt: skip
        cells += [_abroad(rung)] if abroad else []
        table.add_row(*cells, *([rung.refused] if refused else []))
    return table
