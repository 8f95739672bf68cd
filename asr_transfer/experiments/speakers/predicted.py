"""Measures how well what others are predicted to lose by an adaptation agrees with what they lose.

Each case adapts a source model to a speaker twice, as `auto` does: to all folds of the recordings but one, and to all
of them. From the first model the loss is predicted, on utterances that the source model was trained on and on others
that were held out from its training; for the second it is counted on other people's recordings, on which nothing was
trained or judged. The prediction is the choice's own: half of it counted, half following from the CTC loss.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.checks import held_out_folds
from asr_transfer.adaptation.choice import lasting
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.judge import Judge
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.evaluation.percentages import NONE, percent
from asr_transfer.experiments.core.jobs import run_tasks
from asr_transfer.experiments.core.ledger import Lines
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.speakers.config import ExperimentConfig
from asr_transfer.experiments.speakers.protocol import Draw, Fold
from asr_transfer.experiments.speakers.sources import train_sources
from asr_transfer.experiments.speakers.workshop import Workshop
from asr_transfer.ranges import CountOrNone
from asr_transfer.runs.workers import Backend

WAYS = {
    "trained": "utterances trained on",
    "held_out": "held-out utterances",
    "adapted": "held-out utterances, final model",
}
"""What predictions are made on. The first two judge a model of the folds, the last the model that is handed out."""

QUICK_STEPS, QUICK_ADAPTATION = 60, 10
"""Steps of a source model and of an adaptation in a shortened experiment."""


@dataclass(frozen=True, kw_only=True)
class PredictedConfig(ExperimentConfig):
    """How well the predicted loss of others agrees with the true one.

    Attributes:
        speakers: test speakers of each fold, drawn by the protocol's seed; 0 takes all.
    """

    speakers: CountOrNone = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.protocol.judged_utterances:
            raise ConfigError("`protocol.judged_utterances` is 0, so nothing is held out to predict from; give some.")

    def shortened(self) -> PredictedConfig:
        """Return an experiment of one speaker, one draw and few steps: enough to see that everything runs."""
        return replace(
            self,
            speakers=1,
            protocol=replace(self.protocol, draws=1),
            source=replace(self.source, trainer=replace(self.source.trainer, steps=QUICK_STEPS)),
            adapt=replace(self.adapt, steps=QUICK_ADAPTATION),
        )


@dataclass(frozen=True)
class Case:
    """An adaptation: rises of the character error rate as predicted and as counted.

    Attributes:
        fold, speaker, draw, amount, method, learning_rate: key of the adaptation.
        trained, held_out, adapted: predictions; see `WAYS`.
        measured: counted on other people's recordings.
        units: reference characters of these.
    """

    fold: str
    speaker: str
    draw: int
    amount: int
    method: str
    learning_rate: float
    trained: float
    held_out: float
    adapted: float
    measured: float
    units: int


@dataclass(frozen=True)
class Agreement:
    """Predictions of some cases beside what was measured.

    Attributes:
        method, learning_rate: settings of the cases; `all` and 0 where they are of several methods.
        cases: number of cases.
        measured, spread: mean of what others lost, and its standard deviation over the cases.
        predicted: mean of the predictions, by way.
        error: mean distance, by way, of a prediction from what was measured.
        correlation: correlation, by way, of predictions and what was measured; None where one of them never varies.
        harmed: cases in which others lost more than the choice tolerates.
        missed: number of those, by way, that the choice would have let through.
        needless: number of the other cases, by way, that the choice would have refused.
    """

    method: str
    learning_rate: float
    cases: int
    measured: float
    spread: float
    predicted: Mapping[str, float]
    error: Mapping[str, float]
    correlation: Mapping[str, float | None]
    harmed: int
    missed: Mapping[str, int]
    needless: Mapping[str, int]


Task = tuple[Workshop, Fold, Draw, int]


def run_predicted(
    manifests: Mapping[str, Path],
    config: PredictedConfig,
    folder: Path,
    workers: int,
    log: Callable[[str], None],
    backend: Backend = "processes",
) -> list[Case]:
    """Train the source models and adapt them in every case; see `experiment.run_experiment` for the arguments.

    Raises:
        DataError: a fold has too little speech to hold some out.
    """
    shop, folds = train_sources(manifests, config, folder, workers, log, backend)
    tasks: dict[tuple[Any, ...], Task] = {}
    for fold in folds:
        if not fold.judged:
            raise DataError(f"the fold '{fold.name}' has too little training speech to hold any out; take more.")
        names = sorted({draw.speaker for draw in fold.test})
        chosen = random.Random(f"{config.protocol.seed}/speakers").sample(names, config.speakers or len(names))
        for draw in (draw for draw in fold.test if draw.speaker in chosen):
            for amount in (amount for amount in config.protocol.amounts if amount <= len(draw.pool)):
                tasks[fold.name, draw.speaker, draw.number, amount] = (shop, fold, draw, amount)
    done = Lines(
        folder / "cases.jsonl",
        "list of cases",
        read_cases,
        lambda cases: (cases[0].fold, cases[0].speaker, cases[0].draw, cases[0].amount),
    )
    for number, _ in enumerate(run_tasks(done, tasks, run_draw, workers, "adaptations", backend), 1 + len(list(done))):
        log(f"{number} of {len(tasks)} draws done")
    cases = [case for own in done for case in own]
    return sorted(cases, key=lambda case: (case.fold, case.speaker, case.draw, case.amount))


def read_cases(values: Iterable[Mapping[str, Any]]) -> list[Case]:
    """Return cases that a file or a record holds as plain values."""
    return [Case(**own) for own in values]


def agreements(cases: Sequence[Case], tolerance: float) -> list[Agreement]:
    """Return how far predictions and measurements agree, by method and learning rate, and for all cases at last."""
    groups: dict[tuple[str, float], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.method, case.learning_rate), []).append(case)
    every = [_agreement(*key, own, tolerance) for key, own in groups.items()]
    return [*every, _agreement("all", 0.0, cases, tolerance)]


def forgetting_table(corpora: Mapping[str, Sequence[Case]], tolerance: float) -> Table:
    """Return how far predictions agree with what was measured, for each corpus by its title, in points of CER.

    Args:
        corpora: Cases of each corpus.
        tolerance: Rise of others' errors that the choice lets through.
    """
    rows = []
    for title, cases in corpora.items():
        found = agreements(cases, tolerance)
        for own in found:
            rate = f"{own.learning_rate:g}" if own.learning_rate else "–"
            lost = f"{percent(own.measured, 2, '+')} (± {percent(own.spread, 2)})"
            told = [f"{percent(own.predicted[way], 2, '+')} ({percent(own.error[way], 2)})" for way in WAYS]
            rows.append((title, own.method, rate, str(own.cases), lost, *told))
        every = found[-1]
        for what, cells in (
            ("correlation", [NONE if r is None else f"{r:.2f}" for r in every.correlation.values()]),
            (f"harm let through, of {every.harmed}", list(map(str, every.missed.values()))),
            (f"refused without need, of {every.cases - every.harmed}", list(map(str, every.needless.values()))),
        ):
            rows.append((title, what, "", "", "", *cells))
    heads = ("corpus", "method", "rate", "cases", "others lose (± cases)", *(f"from {what}" for what in WAYS.values()))
    return Table(heads, tuple(rows))


def _agreement(method: str, rate: float, cases: Sequence[Case], tolerance: float) -> Agreement:
    measured = np.array([case.measured for case in cases])
    told = {way: np.array([getattr(case, way) for case in cases]) for way in WAYS}

    def correlation(values: Any) -> float | None:
        if len(cases) < 3 or not (values.std() > 0 and measured.std() > 0):
            return None
        return float(np.corrcoef(values, measured)[0, 1])

    return Agreement(
        method, rate, len(cases), float(measured.mean()), float(measured.std(ddof=1)) if len(cases) > 1 else 0.0,
        {way: float(values.mean()) for way, values in told.items()},
        {way: float(np.abs(values - measured).mean()) for way, values in told.items()},
        {way: correlation(values) for way, values in told.items()},
        int((measured > tolerance).sum()),
        {way: int(((measured > tolerance) & (values <= tolerance)).sum()) for way, values in told.items()},
        {way: int(((measured <= tolerance) & (values > tolerance)).sum()) for way, values in told.items()},
    )  # fmt: skip


def run_draw(task: Task) -> list[Case]:
    """Adapt to one draw of a speaker's utterances by every method."""
    shop, fold, draw, amount = task
    known, store, source, config = shop.utterances(), shop.store(), shop.source(fold.name), shop.config
    own = [known[name] for name in draw.pool[:amount]]
    replayed = [known[name] for name in fold.source]
    trained = lasting(replayed[2::3], config.choice.check_seconds)
    judged = lasting([known[name] for name in fold.judged], config.choice.check_seconds)
    others = [known[name] for name in fold.others or _other_targets(fold, draw)]
    shared = Shared(source, store)
    judges = {
        name: Judge(source, Spoken(own, store), Spoken(check, store), shared)
        for name, check in (("trained", trained), ("held_out", judged), ("others", others))
    }
    held = held_out_folds(own, config.choice.folds, draw.number, range(len(own)))[0]
    rest = [u for n, u in enumerate(own) if n not in set(held)]
    unjudged = [u for u in replayed if u.id not in {other.id for other in trained}]
    cases = []
    for grid in config.methods:
        for rate in grid.rates:
            settings = replace(grid.adapting(config.adapt), learning_rate=rate, seed=draw.number)

            def adapted(
                speech: list[Utterance], more: list[Utterance], name: str = grid.name, settings: Any = settings
            ) -> Adapted:
                own, beside = Spoken(speech, store), Spoken(more, store)
                return adapt(source, own, name, settings, source_speech=beside, shared=shared)

            trial, final = adapted(rest, unjudged), adapted(own, replayed)
            lost, units = judges["others"].counted(final.recogniser, final.depth)
            cases.append(
                Case(
                    fold.name, draw.speaker, draw.number, amount, grid.called, rate,
                    trained=judges["trained"].forgetting(trial.recogniser, trial.depth),
                    held_out=judges["held_out"].forgetting(trial.recogniser, trial.depth),
                    adapted=judges["held_out"].forgetting(final.recogniser, final.depth),
                    measured=lost / units,
                    units=units,
                )
            )  # fmt: skip
    return cases


def _other_targets(fold: Fold, draw: Draw) -> list[str]:
    """Return all utterances of the other test speakers."""
    return [
        n for other in fold.test if other.number == 0 and other.speaker != draw.speaker for n in other.pool + other.test
    ]
