"""Runs a user's whole path over languages, amounts and seeds, and sums it up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from asr_transfer.data.features import Request, build_stores
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError, class_of
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import read_finished
from asr_transfer.experiments.languages.points import stored_speeds
from asr_transfer.experiments.own_language.config import OwnLanguageConfig
from asr_transfer.experiments.own_language.corpora import Speech, source_utterances
from asr_transfer.experiments.own_language.jobs import (
    Adapt,
    FindWords,
    Learn,
    Point,
    Scratch,
    TrainSource,
    ways_beside,
)
from asr_transfer.experiments.own_language.rows import PathRow, summarise
from asr_transfer.languages.learning import load_any_head
from asr_transfer.models.kinds import network_inputs
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend, run_all
from asr_transfer.training.precision import precise


def note_speech(record: RunRecord, speech: Speech) -> None:
    """Note all manifests of the experiment in its record."""
    for name, path in speech.sources.items():
        record.data(f"source {name}", path, read_manifest(path))
    for target in speech.targets:
        for part in ("train", "dev", "heard", "new"):
            for name, path in getattr(target, part).items():
                record.data(f"{target.name} {part} {name}", path, read_manifest(path))


def run_path(
    config: OwnLanguageConfig,
    speech: Speech,
    folder: Path,
    workers: int,
    say: Callable[[str], None],
    backend: Backend = "processes",
    source_model: Path | None = None,
) -> list[PathRow]:
    """Train and score all steps that are not finished yet, and return the table's rows.

    Args:
        config: the experiment.
        speech: its recordings.
        folder: run folder of the experiment; `source` and `points` below it hold a run folder for each step.
        workers: parallel processes of one thread each.
        say: function that is called with a line at each stage.
        backend: place where processes run.
        source_model: run folder of a finished source model, that is taken instead of training one.

    Raises:
        DataError: a step is not possible with so little speech.
    """
    trainer = precise(config.source.trainer, folder, config.source.model, say)
    config = replace(config, source=replace(config.source, trainer=trainer))
    jobs, points = plan(config, speech, "" if source_model is None else str(source_model.absolute()))
    _compute_features(config, speech, workers)
    for name in run_jobs(folder, jobs, workers, "steps", backend):
        say(f"'{name}' ready")
    return summarise(config, folder, points)


def plan(config: OwnLanguageConfig, speech: Speech, source: str = "") -> tuple[list[Job], list[Point]]:
    """Return the jobs, those that need the most first where they may, and the points that they belong to.

    Args:
        config: the experiment.
        speech: its recordings.
        source: run folder of a finished source model; empty to train one.
    """
    jobs: list[Job] = (
        [] if source else [TrainSource(speech.sources, config.source, config.keep_source, config.keep_judged)]
    )
    points = [
        Point(target, minutes, seed, config.learn, source)
        for target in speech.targets
        for minutes in target.language.amounts
        for seed in config.seeds
    ]
    # A start from scratch needs no source model, so that it runs beside its training.
    jobs += [Scratch(point, config.source.model.own(), config.scratch_steps(point.minutes)) for point in points]
    for point in points:
        minutes = sum(u.duration for u in point.target.taught(point.minutes, point.seed)) / 60
        jobs += [Learn(point), *(Learn(point, way) for way in ways_beside(minutes))]
        if point.target.language.is_adapted(point.minutes):
            jobs.append(Adapt(point, config.adapt, config.choice))
        jobs.append(FindWords(point, config.lexicon, config.longest))
    return jobs, points


def with_source(config: OwnLanguageConfig, source_model: Path) -> OwnLanguageConfig:
    """Return the experiment with network and budget of a finished source model.

    Args:
        config: the experiment.
        source_model: run folder of `asr-transfer train`, or the folder `source` of this experiment.

    Raises:
        DataError: it is not finished.
        ConfigError: it knows a language that is to be learnt, or is of a kind that settings do not describe.
    """
    record = read_finished(source_model)
    model = load_any_head(source_model)
    if known := sorted({one.language for one in config.languages} & set(model.tokens_by_head)):
        raise ConfigError(f"{source_model}: knows '{known[0]}' already, which is to be learnt; take another model.")
    network = model.model.network
    if network is None:
        raise ConfigError(
            f"{source_model}: is {class_of(model.model)}, whose network cannot start from scratch; take another."
        )
    budget = record["config"]["trainer"]["batch_budget"]
    trainer = replace(config.source.trainer, steps=record["training"]["steps"], batch_budget=budget)
    return replace(config, source=replace(config.source, model=network, trainer=trainer))


def _compute_features(config: OwnLanguageConfig, speech: Speech, workers: int) -> None:
    """Compute all features that are not there, in parallel, so that no process computes them for itself."""
    inputs, speeds = network_inputs(config.source.model), stored_speeds(config.learn.speeds)
    requests = [Request(target.everything(), inputs, speeds) for target in speech.targets]
    if speech.sources:
        requests.insert(0, Request(source_utterances(speech.sources), inputs, stored_speeds(config.source.speeds)))
    build_stores(requests, lambda function, parts: run_all(function, parts, workers, "features"))
