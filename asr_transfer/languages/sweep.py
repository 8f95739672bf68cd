"""Running what an experiment consists of, in parallel: first its source models, then its points.

What is finished is not run again, and nothing is held in memory that a run folder does not say, so that an experiment
that was killed goes on where it stopped and ends in the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from asr_transfer.config import FeatureConfig
from asr_transfer.evaluation.record import read_record
from asr_transfer.languages.points import Corpora, Point, source_store, source_test_store, target_store, train_point
from asr_transfer.languages.sources import SourceJob, told, train_source
from asr_transfer.training.workers import Backend, run_all

PlannedSource = tuple[Corpora, SourceJob]
PlannedPoint = tuple[Corpora, Point, tuple[float, ...]]


def run_sweep(
    folder: Path,
    sources: Sequence[PlannedSource],
    points: Sequence[PlannedPoint],
    features: FeatureConfig,
    workers: int,
    say: Callable[[str], None],
    backend: Backend = "processes",
) -> None:
    """Train all source models and points that are not trained yet.

    Args:
        folder: run folder of the experiment; `sources` and `points` below it hold a run folder for each model.
        sources: models, each with the corpora that it is trained on.
        points: each with its corpora, and all amounts of which it is one.
        features: of all models.
        workers: parallel processes of one thread each.
        say: called with a line at each stage.
        backend: where processes run.
    """
    # Here, so that processes find the features instead of computing them all at once.
    prepared: list[tuple[str, Corpora, tuple[float, ...], FeatureConfig]] = []
    for kind, corpora, speeds, own in (
        *(("source", corpora, job.config.speeds, features) for corpora, job in sources),
        *(("target", corpora, point.config.speeds, point.config.features(features)) for corpora, point, _ in points),
    ):
        if (kind, corpora, speeds, own) not in prepared:
            (source_store if kind == "source" else target_store)(corpora, own, speeds)
            if kind == "source" and corpora.source_tests:
                source_test_store(corpora, own)
            prepared.append((kind, corpora, speeds, own))
    say(f"features ready; {len(sources)} source models, {len(points)} points")
    place = str(folder)
    jobs = [(place, corpora, job) for corpora, job in sources]
    for name in run_all(train_source, jobs, workers, "source models", backend):
        say(f"source model '{name}' ready{told(read_record(folder / 'sources' / name))}")
    todo = [(place, corpora, point, amounts) for corpora, point, amounts in points]
    for name in run_all(train_point, todo, workers, "points", backend):
        say(f"point '{name}' ready")
