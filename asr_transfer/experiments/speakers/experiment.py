"""Runs an adaptation experiment: source models, then every method × amount × draw on every held-out speaker.

Each trial is one line of `trials.jsonl`. Trials run in parallel processes of one thread each, and give the same figures
in any order and number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from asr_transfer.experiments.core.jobs import run_tasks
from asr_transfer.experiments.speakers.adapting import Key, run_trial
from asr_transfer.experiments.speakers.config import ExperimentConfig
from asr_transfer.experiments.speakers.protocol import Draw, Fold
from asr_transfer.experiments.speakers.sources import train_sources
from asr_transfer.experiments.speakers.trials import Trial, trials_of
from asr_transfer.runs.workers import Backend


def run_experiment(
    manifests: Mapping[str, Path],
    config: ExperimentConfig,
    folder: Path,
    workers: int,
    log: Callable[[str], None],
    backend: Backend = "processes",
) -> tuple[list[Fold], list[Trial]]:
    """Train the source models and run all trials.

    Args:
        manifests: manifests by split.
        config: the experiment.
        folder: the run folder; `models/FOLD` below it are the source models' run folders.
        workers: parallel processes.
        log: function that is called with a line at each stage.
        backend: Place of the processes: this machine, or a Ray cluster.

    Returns:
        The folds, and all trials: of several learning rates every one on development speakers, the chosen one on test
        speakers. Where one speaker after the other is left out, each is the others' development speaker, and all rates
        were run.
    """
    shop, folds = train_sources(manifests, config, folder, workers, log, backend)
    trials, by_fold = trials_of(folder), {fold.name: fold for fold in folds}

    def complete(keys: Iterable[Key], label: str) -> None:
        tasks = {_plain(key): (shop, by_fold[key[0]], key) for key in keys}
        for _ in run_tasks(trials, tasks, run_trial, workers, label, backend):
            pass

    every = config.protocol.hold_out != "splits"
    first = [key for fold in folds for draw in (fold.test if every else fold.dev) for key in _keys(fold, draw, config)]
    if not every:  # where there is one rate, there is nothing to choose on development speakers
        first = [key for key in first if not only_rate(config, key[3])]
    complete(first, "every learning rate" if every else "development speakers")
    if not every:
        rates = choose_rates(trials, {d.speaker for f in folds for d in f.dev})
        chosen = [
            key
            for fold in folds
            for draw in fold.test
            for key in _keys(fold, draw, config)
            if key[4] in only_rate(config, key[3]) or key[4] == rates.get((key[3], key[2]))
        ]
        complete(chosen, "test speakers")
    return folds, list(trials)


def choose_rates(trials: Iterable[Trial], speakers: set[str]) -> dict[tuple[str, int], float]:
    """Return the learning rate of fewest errors on `speakers` for each (method, amount); ties take the smaller rate.

    Of models that can run away, the errors of each utterance are capped. Where only one rate was run, there is nothing
    to choose.
    """
    errors: dict[tuple[str, int], dict[float, int]] = {}
    run: dict[tuple[str, int], set[float]] = {}
    for trial in trials:
        if trial.method != "none":
            key = (trial.method, trial.amount)
            run.setdefault(key, set()).add(trial.learning_rate)
            if trial.speaker in speakers:
                rates = errors.setdefault(key, {})
                rates[trial.learning_rate] = rates.get(trial.learning_rate, 0) + trial.bounded
    chosen = {key: min(rates, key=lambda rate: (rates[rate], rate)) for key, rates in errors.items()}
    return {**{key: next(iter(rates)) for key, rates in run.items() if len(rates) == 1}, **chosen}


def only_rate(config: ExperimentConfig, method: str) -> tuple[float, ...]:
    """Return a method's learning rate where there is only one to choose from, else nothing."""
    rates = next((grid.rates for grid in config.methods if grid.called == method), (0.0,))
    return rates if len(rates) == 1 else ()


def _keys(fold: Fold, draw: Draw, config: ExperimentConfig) -> list[Key]:
    keys: list[Key] = [(fold.name, draw, 0, "none", 0.0)]
    keys += [(fold.name, draw, 0, grid.called, 0.0) for grid in config.methods if grid.name == "none"]
    for amount in config.protocol.amounts:
        if amount <= len(draw.pool):
            trained = [grid for grid in config.methods if grid.name != "none"]
            wanted = [grid for grid in trained if not grid.amounts or amount in grid.amounts]
            keys += [(fold.name, draw, amount, grid.called, rate) for grid in wanted for rate in grid.rates]
    return keys


def _plain(key: Key) -> tuple[Any, ...]:
    """Return a key as a trial has it."""
    fold, draw, amount, method, rate = key
    return (fold, draw.speaker, draw.number, amount, method, rate)
