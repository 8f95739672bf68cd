"""Trains the source models and points of a language experiment, on features that are computed once before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from asr_transfer.config import SourceConfig
from asr_transfer.data.features import Request, build_stores
from asr_transfer.data.inputs import Wanted
from asr_transfer.experiments.core.jobs import run_jobs
from asr_transfer.experiments.languages.identification import told
from asr_transfer.experiments.languages.points import TrainPoint, load_source, stored_speeds
from asr_transfer.experiments.languages.sources import TrainSource
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.runs.record import read_record
from asr_transfer.runs.workers import Backend, run_all
from asr_transfer.training.precision import precise

Config = TypeVar("Config", SourceConfig, LanguageConfig)


def run_sweep(
    folder: Path,
    sources: Sequence[TrainSource],
    points: Sequence[TrainPoint],
    features: Wanted,
    workers: int,
    say: Callable[[str], None],
    backend: Backend = "processes",
) -> None:
    """Train all source models and points that are not trained yet.

    Args:
        folder: Run folder of the experiment; `sources` and `points` below it hold a run folder for each model.
        sources: Source models.
        points: Points.
        features: Inputs of the source models; points without one have their own.
        workers: Parallel processes of one thread each.
        say: Function called with a line at each stage.
        backend: Processes of this machine, or a Ray cluster.
    """
    sources, points = _precise(folder, sources, points, say)
    _compute_features(sources, points, features, workers)
    say(f"features ready; {len(sources)} source models, {len(points)} points")
    # Long ones first, so that no process is left alone with one at the end.
    points = sorted(points, key=lambda job: -job.point.config.trainer.steps)
    for name in run_jobs(folder, [*sources, *points], workers, "models", backend):
        kind, _, own = name.partition("/")
        if kind == "sources":
            say(f"source model '{own}' ready{told(read_record(folder / name))}")
        else:
            say(f"point '{own}' ready")


def _precise(
    folder: Path, sources: Sequence[TrainSource], points: Sequence[TrainPoint], say: Callable[[str], None]
) -> tuple[list[TrainSource], list[TrainPoint]]:
    """Return what is planned with a precision instead of `auto`: one for all models that are compared."""
    configs = [job.source.config for job in sources], [job.point.config for job in points]
    trainers = [config.trainer for own in configs for config in own]
    if not any(trainer.precision == "auto" for trainer in trainers):
        return list(sources), list(points)
    asked = next((trainer for trainer in trainers if trainer.precision != "auto"), trainers[0])
    networks = [config.model for own in configs for config in own if config.model]
    if not networks:
        models = [load_source(folder / "sources" / p.point.source).model for p in points[:1] if p.point.source]
        taken = precise(asked, folder, models[0] if models else None, say).precision
    else:
        taken = precise(asked, folder, networks[0], say).precision

    def settled(config: Config) -> Config:
        own = config.trainer
        return replace(config, trainer=replace(own, precision=taken if own.precision == "auto" else own.precision))

    return (
        [replace(job, source=replace(job.source, config=settled(job.source.config))) for job in sources],
        [replace(job, point=replace(job.point, config=settled(job.point.config))) for job in points],
    )


def _compute_features(
    sources: Sequence[TrainSource], points: Sequence[TrainPoint], features: Wanted, workers: int
) -> None:
    """Compute all features that are not there, in parallel, so that processes find them instead of each computing them.

    They are computed on this machine also where models are trained on others.
    """
    known: list[tuple[tuple[Mapping[str, str], ...], Wanted, tuple[float, ...]]] = []
    requests: list[Request] = []
    tried = [job.corpora for job in sources if job.corpora.source_tests]
    for manifests, read, own, speeds in (
        *(((j.corpora.sources,), j.corpora.source_utterances, features, j.source.config.speeds) for j in sources),
        *(((c.source_tests,), c.source_test_utterances, features, ()) for c in tried),
        *(
            ((c.train, c.dev, c.tests), c.target_utterances, point.inputs(features), point.config.speeds)
            for c, point in ((job.corpora, job.point) for job in points)
        ),
    ):
        wanted = (manifests, own, stored_speeds(speeds))
        if wanted not in known:
            known.append(wanted)
            requests.append(Request(read(), own, stored_speeds(speeds)))
    build_stores(requests, lambda function, parts: run_all(function, parts, workers, "features"))
