"""Measures what adaptations save by computing activations of frozen layers and the source's posteriors once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.choice import choose
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.ladder import Candidate
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.experiments.core.tables import Column, Table
from benchmarks.adaptation_place import Place

SHARING = ("head", "last-layers", "kld", "head+kld")
DEEP = ("last-layers", "head", "kld")
"""What `auto` chooses from where sharing is measured."""
ROUNDS = 3


@dataclass(frozen=True)
class Sharing:
    """CPU-seconds of the same work in three ways, the least of several rounds.

    Attributes:
        what: a method, or a choice among some.
        plain: cost with everything computed anew: frozen layers at every step, the teacher in every training.
        alone: frozen layers and teacher run once over each utterance.
        ready: what can be shared is there already, from other folds or candidates; None for a choice.
    """

    what: str
    plain: float
    alone: float
    ready: float | None


def measure_sharing(
    place: Place, methods: Sequence[str], choice: ChoiceConfig, tried: Sequence[Candidate]
) -> list[Sharing]:
    """Adapt by each method, then choose among candidates, with and without sharing.

    Args:
        place: model, recordings and settings, without source utterances.
        methods: each adapted alone.
        choice: folds and strengths of the choice.
        tried: its candidates.
    """
    recogniser, own, _ = place.load()
    store = place.features(own, recogniser, place.cache)

    def adapted(method: str, shared: Shared) -> float:
        return _seconds(lambda: adapt(recogniser, Spoken(own, store), method, place.config, shared=shared))

    def chosen(once: bool) -> float:
        shared = Shared(recogniser, store, once)
        return _seconds(lambda: choose(recogniser, Spoken(own, store), place.config, choice, tried, shared=shared))

    rows = []
    for method in methods:
        full = Shared(recogniser, store)
        adapted(method, full)
        taken = [
            [adapted(method, shared) for shared in (Shared(recogniser, store, False), Shared(recogniser, store), full)]
            for _ in range(ROUNDS)
        ]
        rows.append(Sharing(method, *(min(column) for column in zip(*taken, strict=True))))
    name = f"choice: {', '.join(candidate.method for candidate in tried)}"
    return [*rows, Sharing(name, chosen(False), chosen(True), None)]


def sharing_table(rows: Sequence[Sharing]) -> Table:
    """Return the rows as a table."""

    def ready(row: Sharing, times: bool) -> str:
        if row.ready is None:
            return ""
        return f"{row.plain / row.ready:.1f}" if times else f"{row.ready:.2f}"

    columns: list[Column[Sharing]] = [
        ("CPU-seconds", lambda row: row.what),
        ("anew", lambda row: f"{row.plain:.2f}"),
        ("once each", lambda row: f"{row.alone:.2f}"),
        ("× less", lambda row: f"{row.plain / row.alone:.1f}"),
        ("shared with others", lambda row: ready(row, False)),
        ("× less than anew", lambda row: ready(row, True)),
    ]
    return Table.of(rows, columns, "With and without sharing:")


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin
