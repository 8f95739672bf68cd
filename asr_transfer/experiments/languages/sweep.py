"""Running what an experiment consists of, in parallel: its source models, and each point once its source is there.

What is finished is not run again, and nothing is held in memory that a run folder does not say, so that an experiment
that was killed goes on where it stopped and ends in the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from asr_transfer.config import SourceConfig
from asr_transfer.data.features import Request, build_stores
from asr_transfer.data.inputs import Wanted
from asr_transfer.experiments.languages.points import Corpora, Point, load_source, stored_speeds, train_point
from asr_transfer.experiments.languages.sources import SourceJob, told, train_source
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.progress import Work
from asr_transfer.runs.record import read_record
from asr_transfer.runs.workers import Backend, run_all
from asr_transfer.training.precision import precise

Config = TypeVar("Config", SourceConfig, LanguageConfig)
PlannedSource = tuple[Corpora, SourceJob]
PlannedPoint = tuple[Corpora, Point, tuple[float, ...]]


def run_sweep(
    folder: Path,
    sources: Sequence[PlannedSource],
    points: Sequence[PlannedPoint],
    features: Wanted,
    workers: int,
    say: Callable[[str], None],
    backend: Backend = "processes",
) -> None:
    """Train all source models and points that are not trained yet.

    Args:
        folder: run folder of the experiment; `sources` and `points` below it hold a run folder for each model.
        sources: models, each with the corpora that it is trained on.
        points: each with its corpora, and all amounts of which it is one.
        features: features of all models.
        workers: parallel processes of one thread each.
        say: called with a line at each stage.
        backend: where processes run.
    """
    sources, points = _precise(folder, sources, points, say)
    _compute_features(sources, points, features, workers)
    say(f"features ready; {len(sources)} source models, {len(points)} points")
    place = str(folder)
    # Long ones first, so that no process is left alone with one at the end.
    points = sorted(points, key=lambda planned: -planned[1].config.trainer.steps)
    jobs: list[_Job] = [(place, corpora, job) for corpora, job in sources]
    jobs += [(place, corpora, point, amounts) for corpora, point, amounts in points]
    numbers = {job.name: number for number, (_, job) in enumerate(sources)}
    needs = {
        number: [numbers[point.source]]
        for number, (_, point, _) in enumerate(points, start=len(sources))
        if point.source in numbers
    }
    for name, is_source in run_all(_train, jobs, workers, "models", backend, needs):
        if is_source:
            say(f"source model '{name}' ready{told(read_record(folder / 'sources' / name))}")
        else:
            say(f"point '{name}' ready")


def _precise(
    folder: Path, sources: Sequence[PlannedSource], points: Sequence[PlannedPoint], say: Callable[[str], None]
) -> tuple[list[PlannedSource], list[PlannedPoint]]:
    """Return what is planned with a precision instead of `auto`: one for all models that are compared."""
    trainers = [job.config.trainer for _, job in sources] + [point.config.trainer for _, point, _ in points]
    if not any(trainer.precision == "auto" for trainer in trainers):
        return list(sources), list(points)
    asked = next((trainer for trainer in trainers if trainer.precision != "auto"), trainers[0])
    networks = [job.config.model for _, job in sources] + [p.config.model for _, p, _ in points if p.config.model]
    if not networks:
        models = [load_source(folder / "sources" / p.source).model for _, p, _ in points[:1] if p.source]
        taken = precise(asked, folder, models[0] if models else None, say).precision
    else:
        taken = precise(asked, folder, networks[0], say).precision

    def settled(config: Config) -> Config:
        own = config.trainer
        return replace(config, trainer=replace(own, precision=taken if own.precision == "auto" else own.precision))

    return (
        [(corpora, replace(job, config=settled(job.config))) for corpora, job in sources],
        [(corpora, replace(point, config=settled(point.config)), amounts) for corpora, point, amounts in points],
    )


_Job = tuple[str, Corpora, SourceJob] | tuple[str, Corpora, Point, tuple[float, ...]]


def _train(job: _Job) -> tuple[str, bool]:
    """Train a source model or a point, and return its name and whether it is a source model."""
    if len(job) == 3:
        with Work(f"source {job[2].name}", bar=False):
            return train_source(job), True
    with Work(f"point {job[2].name}", bar=False):
        return train_point(job), False


def _compute_features(
    sources: Sequence[PlannedSource], points: Sequence[PlannedPoint], features: Wanted, workers: int
) -> None:
    """Compute all features that are not there, in parallel, so that processes find them instead of each computing them.

    They are computed on this machine also where models are trained on others.
    """
    known: list[tuple[tuple[Mapping[str, str], ...], Wanted, tuple[float, ...]]] = []
    requests: list[Request] = []
    for manifests, read, own, speeds in (
        *(((c.sources,), c.source_utterances, features, job.config.speeds) for c, job in sources),
        *(((c.source_tests,), c.source_test_utterances, features, ()) for c, _ in sources if c.source_tests),
        *(
            ((c.train, c.dev, c.tests), c.target_utterances, point.config.features(features), point.config.speeds)
            for c, point, _ in points
        ),
    ):
        wanted = (manifests, own, stored_speeds(speeds))
        if wanted not in known:
            known.append(wanted)
            requests.append(Request(read(), own, stored_speeds(speeds)))
    build_stores(requests, lambda function, parts: run_all(function, parts, workers, "features"))
