"""Measures how well what others are predicted to lose by an adaptation agrees with what they lose.

Each case adapts a source model to a speaker twice, as `auto` does: to all folds of the recordings but one, and to all
of them. From the first model the loss is predicted, on utterances that the source model was trained on and on others
that were held out from its training; for the second it is counted on other people's recordings, on which nothing was
trained or judged. The prediction is the choice's own: half of it counted, half following from the CTC loss.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.candidates import Judge
from asr_transfer.adaptation.checks import held_out_folds
from asr_transfer.adaptation.choice import lasting
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.speakers.experiment import ExperimentConfig, Workshop, train_sources
from asr_transfer.experiments.speakers.protocol import Draw, Fold
from asr_transfer.runs.workers import run_all

WAYS = {
    "trained": "utterances trained on",
    "held_out": "held-out utterances",
    "adapted": "held-out utterances, final model",
}
"""What predictions are made on. The first two judge a model of the folds, the last the model that is handed out."""


@dataclass(frozen=True, kw_only=True)
class PredictedConfig(ExperimentConfig):
    """How well the predicted loss of others agrees with the true one.

    Attributes:
        speakers: test speakers of each fold, drawn by the protocol's seed; 0 takes all.
    """

    speakers: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.speakers < 0:
            raise ConfigError(f"`speakers` must not be negative, got {self.speakers}.")
        if not self.protocol.judged_utterances:
            raise ConfigError("`protocol.judged_utterances` is 0, so nothing is held out to predict from; give some.")


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
        cases: how many.
        measured, spread: mean of what others lost, and its standard deviation over the cases.
        predicted: by way, the mean of the predictions.
        error: by way, the mean distance of a prediction from what was measured.
        correlation: by way, of predictions and what was measured; None where one of them never varies.
        harmed: cases in which others lost more than the choice tolerates.
        missed: by way, those of them that the choice would have let through.
        needless: by way, the other cases that the choice would have refused.
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


Job = tuple[Workshop, Fold, Draw, int]


def run_predicted(
    manifests: Mapping[str, Path], config: PredictedConfig, folder: Path, workers: int, log: Callable[[str], None]
) -> list[Case]:
    """Train the source models and adapt them in every case; see `experiment.run_experiment` for the arguments.

    Raises:
        DataError: a fold has too little speech to hold some out.
    """
    shop, folds = train_sources(manifests, config, folder, workers, log)
    jobs = []
    for fold in folds:
        if not fold.judged:
            raise DataError(f"the fold '{fold.name}' has too little training speech to hold any out; take more.")
        names = sorted({draw.speaker for draw in fold.test})
        chosen = random.Random(f"{config.protocol.seed}/speakers").sample(names, config.speakers or len(names))
        draws = [draw for draw in fold.test if draw.speaker in chosen]
        amounts = config.protocol.amounts
        jobs += [(shop, fold, draw, amount) for draw in draws for amount in amounts if amount <= len(draw.pool)]
    cases: list[Case] = []
    for found in run_all(_run_draw, jobs, workers, "adaptations"):
        cases += found
        log(f"{len(cases)} of {len(jobs) * sum(len(grid.rates) for grid in config.methods)} cases done")
    return sorted(cases, key=lambda case: (case.fold, case.speaker, case.draw, case.amount))


def agreements(cases: Sequence[Case], tolerance: float) -> list[Agreement]:
    """Return how far predictions and measurements agree, by method and learning rate, and for all cases at last."""
    groups: dict[tuple[str, float], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.method, case.learning_rate), []).append(case)
    every = [_agreement(*key, own, tolerance) for key, own in groups.items()]
    return [*every, _agreement("all", 0.0, cases, tolerance)]


def to_plain(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return cases for a run record."""
    return [asdict(case) for case in cases]


def predicted_markdown(tables: Mapping[str, Sequence[Agreement]]) -> str:
    """Return the agreements of several corpora, by their titles, as a Markdown table; figures are points of CER."""
    heads = ["corpus", "method", "rate", "cases", "others lose (± cases)", *(f"from {what}" for what in WAYS.values())]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]

    def row(*cells: str) -> None:
        lines.append("| " + " | ".join(cells) + " |")

    for title, rows in tables.items():
        for own in rows:
            rate = f"{own.learning_rate:g}" if own.learning_rate else "–"
            told = [f"{100 * own.predicted[way]:+.2f} ({100 * own.error[way]:.2f})" for way in WAYS]
            lost = f"{100 * own.measured:+.2f} (± {100 * own.spread:.2f})"
            row(title, own.method, rate, str(own.cases), lost, *told)
        every = rows[-1]
        between = [every.correlation[way] for way in WAYS]
        row(title, "correlation", "", "", "", *("–" if r is None else f"{r:.2f}" for r in between))
        for what, of, counts in (
            ("harm let through", every.harmed, every.missed),
            ("refused without need", every.cases - every.harmed, every.needless),
        ):
            row(title, f"{what}, of {of}", "", "", "", *(str(counts[way]) for way in WAYS))
    return "\n".join(lines) + "\n"


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


def _run_draw(job: Job) -> list[Case]:
    """Adapt to one draw of a speaker's utterances by every method."""
    shop, fold, draw, amount = job
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
            settings = replace(config.adapt, learning_rate=rate, seed=draw.number)

            def adapted(
                speech: list[Utterance], more: list[Utterance], name: str = grid.name, settings: Any = settings
            ) -> Adapted:
                own, beside = Spoken(speech, store), Spoken(more, store)
                return adapt(source, own, name, settings, source_speech=beside, shared=shared)

            trial, final = adapted(rest, unjudged), adapted(own, replayed)
            lost, units = judges["others"].counted(final.recogniser, final.depth)
            cases.append(
                Case(
                    fold.name, draw.speaker, draw.number, amount, grid.name, rate,
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
