"""Measures what more recordings give, beside all that was known of a speaker before: what forecasts are judged on.

Each case tries a named method on folds of a speaker's first recordings, as `adapt` does, and then adapts to more of
that speaker's recordings and counts the errors in a test set that nothing was adapted to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.answers import answers
from asr_transfer.adaptation.choice import choose
from asr_transfer.adaptation.ladder import Candidate
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.standard_error import residuals, standard_error
from asr_transfer.experiments.core.jobs import run_tasks
from asr_transfer.experiments.core.ledger import Lines
from asr_transfer.experiments.speakers.config import ExperimentConfig
from asr_transfer.experiments.speakers.protocol import Draw, Fold
from asr_transfer.experiments.speakers.sources import train_sources
from asr_transfer.experiments.speakers.workshop import Workshop
from asr_transfer.ranges import Count, Filled
from asr_transfer.runs.workers import Backend

FOLDS = 3
"""Folds on which `adapt` tries a named method."""


@dataclass(frozen=True, kw_only=True)
class ForetoldConfig(ExperimentConfig):
    """How well forecasts agree with what more recordings give. The first of `methods` is used, at its first rate.

    Attributes:
        starts: numbers of recordings that are forecast from.
        more: further recordings for which the error is forecast and measured; the pool of `protocol.amounts` must hold
            them.
        speakers: test speakers that are taken; none stands for all.
        development: those of them on whom the constants of the forecast were chosen, so that nothing is reported on
            them.
    """

    starts: Annotated[tuple[Count, ...], Filled(rising=True)] = (5, 10, 20)
    more: Annotated[tuple[Count, ...], Filled(rising=True)] = (10, 50)
    speakers: tuple[str, ...] = ()
    development: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        least, most = self.starts[0] + self.more[0], self.protocol.amounts[-1]
        if least > most:
            raise ConfigError(
                f"`protocol.amounts` ends at {most}, but {self.starts[0]} recordings and {self.more[0]} more are "
                f"{least}; raise it, or lower `starts` or `more`."
            )


@dataclass(frozen=True)
class Measured:
    """Errors in a test set.

    Attributes:
        errors: character errors.
        units: characters.
        deviation: standard error of their ratio, over recordings; None of a single one.
    """

    errors: float
    units: float
    deviation: float | None


@dataclass(frozen=True)
class Foretold:
    """What was known of a speaker with some recordings, and what further ones gave.

    Attributes:
        fold, speaker, draw, start: key of the case.
        development: whether constants were chosen on the speaker.
        single: whether every text is a single word.
        folds: number of parts that were held out, one after the other.
        units, before, after: characters, and errors of the source model and of the adapted ones, of each held-out
            recording.
        loss_before, loss_after: losses of these.
        measured: errors in the test set by the number of recordings that were adapted to; 0 is the source model.
    """

    fold: str
    speaker: str
    draw: int
    start: int
    development: bool
    single: bool
    folds: int
    units: tuple[float, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    loss_before: tuple[float, ...]
    loss_after: tuple[float, ...]
    measured: Mapping[int, Measured]


Task = tuple[Workshop, Fold, Draw]


def run_foretold(
    manifests: Mapping[str, Path],
    config: ForetoldConfig,
    folder: Path,
    workers: int,
    log: Callable[[str], None],
    backend: Backend = "processes",
) -> list[Foretold]:
    """Train the source models and measure every case; see `experiment.run_experiment` for the arguments.

    Raises:
        ConfigError: a speaker is named who is none of the test speakers.
    """
    shop, folds = train_sources(manifests, config, folder, workers, log, backend, config.speakers)
    draws = [(fold, draw) for fold in folds for draw in fold.test]
    known = {draw.speaker for _, draw in draws}
    if strangers := sorted({*config.speakers, *config.development} - known):
        raise ConfigError(f"`speakers` or `development` names '{strangers[0]}', who is no test speaker of the corpus.")
    tasks: dict[tuple[Any, ...], Task] = {
        (fold.name, draw.speaker, draw.number): (shop, fold, draw)
        for fold, draw in draws
        if draw.speaker in (config.speakers or known)
    }
    done = Lines(
        folder / "cases.jsonl",
        "list of cases",
        read_cases,
        lambda cases: (cases[0].fold, cases[0].speaker, cases[0].draw),
    )
    for number, _ in enumerate(run_tasks(done, tasks, run_draw, workers, "speakers", backend), 1 + len(list(done))):
        log(f"{number} of {len(tasks)} draws done")
    cases = [case for own in done for case in own]
    return sorted(cases, key=lambda case: (case.fold, case.speaker, case.draw, case.start))


def read_cases(values: Iterable[Mapping[str, Any]]) -> list[Foretold]:
    """Return cases that a file or a record holds as plain values."""
    cases = []
    for own in values:
        plain: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in own.items()}
        plain["measured"] = {int(amount): Measured(**found) for amount, found in own["measured"].items()}
        cases.append(Foretold(**plain))
    return cases


def run_draw(task: Task) -> list[Foretold]:
    """Try the method on folds of a speaker's first recordings, and measure it with more of them."""
    shop, fold, draw = task
    known, store, source, config = shop.utterances(), shop.store(), shop.source(fold.name), shop.config
    assert isinstance(config, ForetoldConfig)
    grid = config.methods[0]
    rate = grid.rates[0]
    settings = replace(grid.adapting(config.adapt), learning_rate=rate, seed=draw.number)
    beside = Spoken([known[name] for name in fold.source], store)
    test = Spoken([known[name] for name in draw.test], store).spelled(source.tokens)

    def measure(amount: int) -> Measured:
        recogniser = source
        if amount:
            speech = Spoken([known[name] for name in draw.pool[:amount]], store)
            recogniser = adapt(source, speech, grid.name, settings, source_speech=beside).recogniser
        found = answers(recogniser, test, range(len(test)))
        doubt = standard_error(residuals(found.errors, found.units), [""] * len(test))
        return Measured(float(found.errors.sum()), float(found.units.sum()), doubt)

    every = {start: [start + more for more in config.more if start + more <= len(draw.pool)] for start in config.starts}
    measured = {amount: measure(amount) for amount in sorted({0, *(n for own in every.values() for n in own)})}
    choice = replace(config.choice, folds=FOLDS, strengths=(settings.strength,), tolerance=float("inf"))
    cases = []
    for start, amounts in every.items():
        own = [known[name] for name in draw.pool[:start]]
        tried = choose(source, Spoken(own, store), settings, choice, [Candidate(grid.name, rate)], beside).tried
        if tried is None or not amounts:
            continue
        columns = {
            name: tuple(np.round([getattr(one, name) for one in tried.held], 3).tolist())
            for name in ("units", "before", "after", "loss_before", "loss_after")
        }
        cases.append(
            Foretold(
                fold.name, draw.speaker, draw.number, start, draw.speaker in config.development,
                all(len(u.text.split()) == 1 for u in own), tried.folds,
                measured={0: measured[0], **{amount: measured[amount] for amount in amounts}}, **columns,
            )
        )  # fmt: skip
    return cases
