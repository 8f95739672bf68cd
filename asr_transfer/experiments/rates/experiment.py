"""Learns which layers an adaptation should move, and how far: to speakers, to languages, to classes of images.

A source model is trained without some speakers, languages or classes. On some of those, factors on the learning rate of
an adaptation are learnt, one for each block of the model; on the others it is measured what the factors are worth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_transfer.config import TrainerConfig, to_record
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.evaluation.plots import Plot, Point, intervals
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, read_finished
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.rates.config import ImageRates, RatesConfig, RatesOf, SpeechRates
from asr_transfer.experiments.rates.images import image_rates
from asr_transfer.experiments.rates.speech import language_rates, speaker_rates
from asr_transfer.models.contract import Model
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.streams import Mixture, Task
from asr_transfer.transfer.learned_rates import LearnedRates, learn_rates
from asr_transfer.transfer.meta import Meta


@dataclass(frozen=True)
class LearnRates(Job):
    """Learns the rates of one kind of adaptation with one seed.

    Attributes:
        what: kind of adaptation: `speakers`, `languages` or `images`.
        seed: random seed.
        config: settings of it.
        manifests: manifests of the speech; none for images.
    """

    what: str
    seed: int
    config: RatesOf
    manifests: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"rates/{self.what}-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        return {"what": self.what, "seed": self.seed, **to_record(self.config)}

    def data(self) -> Data:
        """See `Job.data`."""
        return {"speech": (self.what, self._utterances())} if self.manifests else {}

    def _utterances(self) -> list[Utterance]:
        return [utterance for path in self.manifests for utterance in read_manifest(path)]

    def run(self, record: RunRecord, data: Data) -> None:
        """Make the source model, learn the rates, and keep them."""
        begin = time.process_time()
        model, learn, test = self._made(record)
        config, seen = self.config, "heads.seen."
        moved = [name for name, own in model.named_parameters() if own.requires_grad and not name.startswith(seen)]
        course = TrainerConfig()
        meta = Meta("fomaml", moved, config.steps, config.learning_rate, course, config.items, learn_rates=True)
        found = learn_rates(model, learn, test, meta, config.training(self.seed), config.batches)
        seconds = round(time.process_time() - begin, 1)
        record.log(describe(self.what, found))
        record.finish(scores=vars(found), training={"cpu_seconds": seconds})

    def _made(self, record: RunRecord) -> tuple[Model, Task | Mixture, Task | Mixture]:
        if isinstance(self.config, ImageRates):
            return image_rates(self.config, self.seed)
        assert isinstance(self.config, SpeechRates)
        make = speaker_rates if self.what == "speakers" else language_rates
        return make(self._utterances(), self.config, self.seed, record.folder, record.log)


@dataclass(frozen=True)
class Row:
    """Rate of a block over the seeds.

    Attributes:
        what: kind of adaptation.
        place: block, or `heads`.
        factor: geometric mean of the factors.
        least, greatest: least and greatest of them.
    """

    what: str
    place: str
    factor: float
    least: float
    greatest: float


def run_rates(
    config: RatesConfig,
    manifests: Mapping[str, Sequence[Path]],
    folder: Path,
    workers: int,
    backend: Backend = "processes",
) -> dict[str, list[LearnedRates]]:
    """Learn the rates of all kinds of adaptations that are asked for, with every seed.

    Args:
        config: the experiment.
        manifests: manifests of the speech by kind of adaptation.
        folder: run folder of the experiment.
        workers: parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Returns:
        What was learnt, by kind, for each seed.

    Raises:
        DataError, ConfigError: there is too little of something.
    """
    jobs = [
        LearnRates(what, seed, own, tuple(manifests.get(what, ())))
        for what, own in config.asked().items()
        for seed in config.seeds
    ]
    for _ in run_jobs(folder, jobs, workers, "learning rates", backend):
        pass
    found: dict[str, list[LearnedRates]] = {}
    for job in jobs:
        found.setdefault(job.what, []).append(LearnedRates(**read_finished(folder / job.name)["scores"]))
    return found


def rows_of(found: Mapping[str, Sequence[LearnedRates]]) -> list[Row]:
    """Return the rate of every block, in the order of running."""
    rows = []
    for what, learned in found.items():
        for place in learned[0].factors:
            factors = [one.factors[place] for one in learned]
            mean = math.exp(sum(math.log(factor) for factor in factors) / len(factors))
            rows.append(Row(what, place, mean, min(factors), max(factors)))
    return rows


def rate_tables(found: Mapping[str, Sequence[LearnedRates]]) -> list[Table]:
    """Return the learnt rates by block, and what they are worth for those they were not learnt on."""
    rates: list[tuple[str, Callable[[Row], str]]] = [
        ("adaptation to", lambda row: row.what),
        ("block", lambda row: f"`{row.place}`"),
        ("× rate", lambda row: f"{row.factor:.2f}"),
        ("over seeds", lambda row: f"{row.least:.2f} to {row.greatest:.2f}"),
    ]
    worth: list[tuple[str, Callable[[tuple[str, Sequence[LearnedRates]]], str]]] = [
        ("adaptation to", lambda row: row[0]),
        ("seeds", lambda row: str(len(row[1]))),
        ("loss before", lambda row: _mean([one.before for one in row[1]])),
        ("one rate", lambda row: _mean([one.constant for one in row[1]])),
        ("learned rates", lambda row: _mean([one.learned for one in row[1]])),
        ("better with learned", lambda row: f"{sum(one.learned < one.constant for one in row[1])} of {len(row[1])}"),
    ]
    return [
        Table.of(rows_of(found), rates, "Factors on the learning rate of an adaptation, by block:"),
        Table.of(list(found.items()), worth, "Loss on those that no rate was learnt on:"),
    ]


def rate_plot(rows: Sequence[Row]) -> Plot:
    """Return the learnt rates as powers of two, each with its range over the seeds."""
    points = [
        Point(f"{row.what}: {row.place}", math.log2(row.factor), math.log2(row.least), math.log2(row.greatest))
        for row in rows
    ]
    caption = "Learned factors on the learning rate of an adaptation, by block, with their range over seeds."
    return intervals(points, "factor on the learning rate, as a power of two", caption, 0.0)


def describe(what: str, found: LearnedRates) -> str:
    """Return what was learnt as a line of text."""
    factors = ", ".join(f"{place} × {factor:.2f}" for place, factor in found.factors.items())
    return (
        f"{what}: {factors}; loss {found.before:.3f} without an adaptation, {found.constant:.3f} with one rate, "
        f"{found.learned:.3f} with the learnt ones"
    )


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.3f}"
