"""Learns tasks of images one after the other by progressive networks (Rusu et al. 2016), beside what else one can do.

The first task has all its labels, the later ones few. A new column listens to the frozen columns of the tasks before
(`progressive`), to columns with random weights (what their mere size gives), or to none (`alone`); or the network
itself goes on with a new head (`fine-tuned`), which forgets. What progressive columns answer in old tasks is compared
bit by bit.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig, to_record
from asr_transfer.data.batching import ArrayData
from asr_transfer.data.images import Images
from asr_transfer.data.images.font_characters import font_characters
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.clusters import Floats, difference, rate
from asr_transfer.evaluation.percentages import NONE, percent, span
from asr_transfer.evaluation.plots import Plot, Point, intervals
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, read_finished
from asr_transfer.experiments.core.tables import Column, Table
from asr_transfer.experiments.images.classifiers import JUDGED_AT_ONCE, fit, images_of, of_classes, wrong
from asr_transfer.models.contract import Model
from asr_transfer.models.image import image_network
from asr_transfer.models.progressive import ProgressiveImageModel
from asr_transfer.ranges import Count, Filled, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.prediction import predict
from asr_transfer.training.recalibration import recalibrate

FONTS = "characters"
"""Name of the set that is drawn from the fetched fonts; its images are divided here into those to train and to test."""

ALONE, PROGRESSIVE, RANDOM, TUNED = "alone", "progressive", "random columns", "fine-tuned"
SYSTEMS = (ALONE, PROGRESSIVE, RANDOM, TUNED)

CLASSES = 10
"""Classes of every task."""


@dataclass(frozen=True, kw_only=True)
class ProgressiveConfig(Ranged):
    """A sequence of tasks of images, of which later ones have few labels.

    Attributes:
        tasks: Names of fetched sets of images, or folders of such, in the order of learning; the images of all must
            have the size and the channels of `model`.
        first: Number of training images of each class of the first task.
        labels: Number of training images of each class of a later task; several are tried one after the other.
        tested: Number of test images of each class.
        held: Whether training images that were held out are judged on instead, to choose settings.
        model: Sizes of a column.
        rank: Channels of what a column hears of the others at each of its layers.
        trainer: Settings of a training.
        seeds: Seeds of images, initial weights and batches, and of which characters are told apart.
        quick: Whether to take few steps of few images, to see that everything runs; the figures mean nothing.
    """

    tasks: Annotated[tuple[str, ...], Filled()] = ("mnist", "fashion-mnist", FONTS)
    first: Count = 500
    labels: Annotated[tuple[Count, ...], Filled()] = (5, 20)
    tested: Count = 100
    held: bool = False
    model: ImageConfig = field(default_factory=lambda: ImageConfig(channels=(16, 32), halve=(0, 1), dense=(64,)))
    rank: Count = 16
    trainer: ImageTrainerConfig = field(default_factory=ImageTrainerConfig)
    seeds: Annotated[tuple[Seed, ...], Filled()] = (0, 1, 2, 3, 4)
    quick: bool = False

    def titles(self) -> tuple[str, ...]:
        """Return what the tasks are called: a folder by its own name."""
        return tuple(Path(name).name for name in self.tasks)

    def plain(self) -> ProgressiveConfig:
        """Return these settings without those of a subclass, with few steps where a quick trial is asked for."""
        own = ProgressiveConfig(**{one.name: getattr(self, one.name) for one in fields(ProgressiveConfig)})
        if not self.quick:
            return own
        trainer = replace(own.trainer, steps=4, batch_budget=16)
        return replace(own, trainer=trainer, first=10, labels=own.labels[:1], tested=4, seeds=own.seeds[:1])


@dataclass(frozen=True)
class LearnSequence(Job):
    """Learns the sequence with a seed and a number of labels.

    Attributes:
        labels: Number of training images of each class of a later task.
        seed: Random seed.
        config: Settings of the experiment.
    """

    labels: int
    seed: int
    config: ProgressiveConfig

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"sequences/{self.labels}-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        own = replace(self.config, seeds=(self.seed,), labels=(self.labels,))
        return to_record(own)

    def data(self) -> Data:
        """See `Job.data`: images are noted by the experiment."""
        return {}

    def run(self, record: RunRecord, data: Data) -> None:
        """Learn all tasks with every system, and keep errors and what stayed the same."""
        begin = time.process_time()
        scores = _Sequence(self, record.log).learn()
        record.finish(scores=scores, training={"cpu_seconds": round(time.process_time() - begin, 1)})


class _Sequence:
    """The trainings of a seed.

    Args:
        job: Seed, labels and settings.
        log: Function that is told each result.
    """

    def __init__(self, job: LearnSequence, log: Callable[[str], None]) -> None:
        self.config, self.seed, self._log = job.config, job.seed, log
        counts = [self.config.first, *(job.labels for _ in self.config.tasks[1:])]
        named = zip(self.config.tasks, counts, strict=True)
        pairs = [task_images(self.config, name, count, job.seed) for name, count in named]
        self.train = dict(zip(self.names, (train for train, _ in pairs), strict=True))
        self.test = dict(zip(self.names, (test for _, test in pairs), strict=True))
        self.errors: dict[str, int] = {}
        self.unchanged: dict[str, bool] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Tasks in their order; the heads have their names."""
        return self.config.titles()

    def learn(self) -> dict[str, Any]:
        """Return the errors of each system in each task, and in old tasks behind later ones."""
        first = self._new(self.names[0], 0)
        self._fit(first, self.names[0], 0)
        columns: Model = first
        tuned = copy.deepcopy(first)
        noise: Model = self._new("random", 50)
        recalibrate(noise, self.train[self.names[0]], budget=500)
        self._note("first", first, self.names[0], self.names[0])
        for place, task in enumerate(self.names[1:], start=1):
            alone = self._new(task, place)
            self._learn(ALONE, alone, task, place)
            columns = self._grown(columns, task, place)
            random_columns = ProgressiveImageModel(noise, self._new(task, place), rank=self.config.rank)
            self._learn(RANDOM, random_columns, task, place)
            noise = ProgressiveImageModel(noise, self._new(f"random-{task}", 50 + place), rank=self.config.rank)
            recalibrate(noise, self.train[self.names[0]], budget=500)
            tuned = self._with_head(tuned, task, place)
            self._learn(TUNED, tuned, task, place)
            for old in self.names[:place]:
                self._note(TUNED, tuned, old, task)
                self._note(PROGRESSIVE, columns, old, task)
        tested = {task: len(self.test[task].targets) for task in self.names}
        return {"errors": self.errors, "tested": tested, "unchanged": self.unchanged}

    def _grown(self, columns: Model, task: str, place: int) -> Model:
        """Return one more column, trained on a task, and note whether old answers and weights are the same bits."""
        before = {old: (self._answers(columns, old), checksum(columns)) for old in self.names[:place]}
        grown = ProgressiveImageModel(columns, self._new(task, place), rank=self.config.rank)
        self._learn(PROGRESSIVE, grown, task, place)
        for old, (answers, weights) in before.items():
            same = torch.equal(answers, self._answers(grown, old)) and weights == checksum(grown.base)
            self.unchanged[f"{old} behind {task}"] = same
            bits = "the same bits" if same else "CHANGED"
            self._log(f"{old} behind {task}: {len(answers)} answers and the weights of its columns are {bits}")
        return grown

    def _answers(self, model: Model, task: str) -> torch.Tensor:
        return predict(model, self.test[task], task, budget=JUDGED_AT_ONCE)

    def _new(self, head: str, part: int) -> Model:
        torch.manual_seed(1000 * part + self.seed)
        return image_network(self.config.model, {head: CLASSES})

    def _with_head(self, model: Model, task: str, place: int) -> Model:
        """Return a model with one more head, whose weights are those of the new networks."""
        grown = image_network(self.config.model, {**{name: CLASSES for name in model.heads}, task: CLASSES})
        grown.load_state_dict(self._new(task, place).state_dict(), strict=False)
        grown.load_state_dict(model.state_dict(), strict=False)
        return grown

    def _learn(self, system: str, model: Model, task: str, place: int) -> None:
        self._fit(model, task, place)
        self._note(system, model, task, task)

    def _fit(self, model: Model, task: str, place: int) -> None:
        fit(model, self.train[task], task, replace(self.config.trainer, seed=1000 * place + self.seed))

    def _note(self, system: str, model: Model, task: str, behind: str) -> None:
        errors = wrong(model, self.test[task], task)
        self.errors[f"{system} | {task} | {behind}"] = errors
        self._log(f"{system}, {task} behind {behind}: {errors} of {len(self.test[task].targets)} wrong")


def checksum(model: Model) -> str:
    """Return a hash of all weights and statistics of a model."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def task_images(config: ProgressiveConfig, name: str, count: int, seed: int) -> tuple[ArrayData, ArrayData]:
    """Return training images of a task, and those that are judged on.

    Of characters of fonts, ten are drawn for each seed, and drawings of a character are divided at random.

    Raises:
        DataError, ConfigError: The set is not there, or there are too few images or other ones than the network takes.
    """
    if name == FONTS:
        images = font_characters("dev" if config.held else "train", size=config.model.size, drawings=2)
        classes = np.random.default_rng((seed, 0)).permutation(len(images.classes))[:CLASSES].tolist()
        train = of_classes(images, classes, count, seed)
        return train, of_classes(images, classes, _rest(images, count, config), seed, count)
    source: str | Path = Path(name) if Path(name).is_dir() else name
    known = images_of(source, "train")
    _require_size(known, config.model, name)
    classes = list(range(CLASSES))
    judged = known if config.held else images_of(source, "test")
    skip = count if config.held else 0
    return of_classes(known, classes, count, seed), of_classes(judged, classes, config.tested, seed, skip)


def _rest(images: Images, count: int, config: ProgressiveConfig) -> int:
    """Return how many drawings of each character are judged on: as many as wanted, or those that are left."""
    assert images.labels is not None
    return max(1, min(config.tested, int(images.labels.bincount().min()) - count))


def _require_size(images: Images, model: ImageConfig, name: str) -> None:
    if images.pixels.shape[1:] != (model.inputs, model.size, model.size):
        found = " × ".join(map(str, images.pixels.shape[1:]))
        raise ConfigError(
            f"the images of '{name}' are {found}, but the network takes {model.inputs} × {model.size} × {model.size}; "
            "name others, or change `model.inputs` and `model.size`."
        )


def run_progressive(
    config: ProgressiveConfig, folder: Path, workers: int, backend: Backend = "processes"
) -> dict[tuple[int, int], Mapping[str, Any]]:
    """Learn the sequence with every seed and number of labels.

    Args:
        config: Experiment.
        folder: Its run folder.
        workers: Parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Returns:
        Scores by number of labels and seed.
    """
    own = config.plain()
    jobs = [LearnSequence(labels, seed, own) for labels in own.labels for seed in own.seeds]
    for _ in run_jobs(folder, jobs, workers, "sequences", backend):
        pass
    return {(job.labels, job.seed): read_finished(folder / job.name)["scores"] for job in jobs}


@dataclass(frozen=True)
class Row:
    """A system in a task over all seeds.

    Attributes:
        labels: Number of training images of each class.
        system: Name of the system.
        task: Task that is judged.
        behind: Task that was learnt last.
        seeds: Number of seeds.
        accuracy, low, high: Share of test images that are right, with its 95 % interval over seeds.
        gain, gain_low, gain_high, p: Points above what was before: of a new task than of a column alone, of an old one
            than before the new one was learnt; paired by seed.
    """

    labels: int
    system: str
    task: str
    behind: str
    seeds: int
    accuracy: float
    low: float | None
    high: float | None
    gain: float
    gain_low: float | None
    gain_high: float | None
    p: float


def rows_of(found: Mapping[tuple[int, int], Mapping[str, Any]], tasks: Sequence[str]) -> list[Row]:
    """Return a row for each system in each task, and in each old task behind later ones."""
    rows = []
    for labels in dict.fromkeys(labels for labels, _ in found):
        own = [scores for (number, _), scores in found.items() if number == labels]

        def column(name: str, own: Sequence[Mapping[str, Any]] = own) -> Floats:
            return np.array([scores["errors"][name] for scores in own], np.float64)

        for name in own[0]["errors"]:
            system, task, behind = name.split(" | ")
            if system == "first":
                continue
            tested = np.array([scores["tested"][task] for scores in own], np.float64)
            if task == behind:
                before = column(f"{ALONE} | {task} | {task}")
            elif task == tasks[0]:
                before = column(f"first | {task} | {task}")
            else:
                before = column(f"{system} | {task} | {task}")
            errors = column(name)
            share, change = rate(errors, tested), difference(errors, before, tested)
            low, high = (None, None) if share.low is None or share.high is None else (1 - share.high, 1 - share.low)
            figures = (change.value, change.low, change.high, change.p)
            rows.append(Row(labels, system, task, behind, len(own), 1 - share.value, low, high, *figures))
    return rows


def progressive_tables(rows: Sequence[Row], unchanged: Sequence[bool]) -> list[Table]:
    """Return what new tasks gain, and what old ones lose."""
    figures: list[Column[Row]] = [
        ("accuracy %", lambda row: percent(row.accuracy)),
        ("95 % interval", lambda row: span(row.low, row.high)),
    ]
    new: list[Column[Row]] = [
        ("task", lambda row: row.task),
        ("labels of a class", lambda row: str(row.labels)),
        ("system", lambda row: row.system),
        *figures,
        ("above alone", lambda row: NONE if row.system == ALONE else f"{100 * row.gain:+.1f}"),
        ("its 95 % interval", lambda row: NONE if row.system == ALONE else span(row.gain_low, row.gain_high, 1, "+")),
    ]
    old: list[Column[Row]] = [
        ("old task", lambda row: row.task),
        ("behind", lambda row: row.behind),
        ("labels of a class", lambda row: str(row.labels)),
        ("system", lambda row: row.system),
        *figures,
        ("change", lambda row: f"{100 * row.gain:+.1f}"),
        ("its 95 % interval", lambda row: span(row.gain_low, row.gain_high, 1, "+")),
    ]
    same = sum(unchanged)
    note = (
        f"Progressive columns: in {same} of {len(unchanged)} comparisons every answer in an old task and every weight "
        "of its columns were the same bits behind a later task."
    )
    ordered = sorted(
        (row for row in rows if row.task == row.behind), key=lambda row: (_place(rows, row.task), row.labels)
    )
    return [
        Table.of(ordered, new, "New tasks, with few labels:"),
        Table.of([row for row in rows if row.task != row.behind], old, "Old tasks, behind a later one:", note),
    ]


def _place(rows: Sequence[Row], task: str) -> int:
    return list(dict.fromkeys(row.task for row in rows)).index(task)


def progressive_plot(rows: Sequence[Row]) -> Plot:
    """Return what each system gains in a new task over a column alone, and loses of old ones."""
    points = []
    for row in rows:
        if row.system == ALONE:
            continue
        low, high = (100 * (row.gain if end is None else end) for end in (row.gain_low, row.gain_high))
        sure = row.gain_low is not None and (low > 0 or high < 0)
        where = row.task if row.task == row.behind else f"{row.task} behind {row.behind}"
        kind = ("better" if low > 0 else "worse") if sure else ""
        points.append(Point(f"{row.system}, {where}, {row.labels}", 100 * row.gain, low, high, kind))
    caption = (
        "Accuracy above a column alone, in a new task with few labels of a class; of old tasks, above what it was."
    )
    return intervals(points, "points of accuracy", caption, 0.0)
