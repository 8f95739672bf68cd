"""Makes the tables of self-taught learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.experiments.core.effects import points_with_interval, share_with_interval
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.images.self_taught_config import RAW, WAYS, SelfTaughtConfig


@dataclass(frozen=True)
class Row:
    """A way with one source over all seeds.

    Attributes:
        source: kind of the unlabelled data.
        way: name of the way.
        labels: labelled items of each class.
        error: share of test items that are wrong, with its interval over the seeds.
        change: change of it against `raw`.
        active: mean share of features of a patch that are not 0; None of `raw`.
    """

    source: str
    way: str
    labels: int
    error: Estimate
    change: Estimate
    active: float | None


@dataclass(frozen=True)
class ClusterRow:
    """Clusters with one source and weight over all seeds.

    Attributes:
        source: kind of the auxiliary items.
        weight: weight of what they lose.
        accuracy: share of items in the clusters of their class, with its interval over the seeds.
        change: change of it against the target alone.
    """

    source: str
    weight: float
    accuracy: Estimate
    change: Estimate


def self_taught_tables(
    rows: Sequence[Row], clusters: Sequence[ClusterRow], config: SelfTaughtConfig
) -> dict[str, list[Table]]:
    """Return the tables of the classifiers and of the clusters."""
    seeds = f"{len(config.seeds)} seeds, in brackets 95 % intervals over the seeds:"
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("unlabelled source", lambda row: row.source),
        ("labels a class", lambda row: str(row.labels)),
        ("described by", lambda row: WAYS[row.way]),
        ("wrong", lambda row: share_with_interval(row.error)),
        ("against raw, points", lambda row: "–" if row.way == RAW else points_with_interval(row.change)),
        ("features not 0", lambda row: "–" if row.active is None else f"{100 * row.active:.0f} %"),
    ]
    made = {"classifiers": [Table.of(rows, columns, f"Linear classifiers of few labelled items, {seeds}")]}
    if clusters:
        found: list[tuple[str, Callable[[ClusterRow], str]]] = [
            ("auxiliary items", lambda row: row.source),
            ("weight", lambda row: f"{row.weight:g}" if row.weight else "0 (target alone)"),
            ("in the cluster of their class", lambda row: share_with_interval(row.accuracy)),
            ("against the target alone, points", lambda row: points_with_interval(row.change) if row.weight else "–"),
        ]
        made["clusters"] = [Table.of(clusters, found, f"Clusters without any label, {seeds}")]
    return made
