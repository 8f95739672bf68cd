"""Measures what digits that are seen teach a classifier of digits that are heard, through shared middle layers.

Speech and images are tasks of one model in one training: entries of their own, the same middle layers, and heads of
their own or one for both. Controls tell what the sharing itself does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from asr_transfer.config import ImageConfig, ImageTrainerConfig, ModelConfig, SpecAugmentConfig, to_record
from asr_transfer.data.batching import ArrayData
from asr_transfer.data.features import build_store
from asr_transfer.data.images import Images, read_fetched
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.data.spoken_classes import SpokenClasses
from asr_transfer.errors import DataError
from asr_transfer.evaluation import clusters
from asr_transfer.evaluation.classes import FILE, Prediction, read_predictions, write_predictions
from asr_transfer.evaluation.clusters import Estimate
from asr_transfer.evaluation.plots import Plot, Series, curves
from asr_transfer.experiments.core.effects import points_with_interval, share_with_interval
from asr_transfer.experiments.core.jobs import Job, run_jobs
from asr_transfer.experiments.core.ledger import Data, ItemData
from asr_transfer.experiments.core.tables import Table
from asr_transfer.experiments.images.sets import draw, noted
from asr_transfer.models.image import image_network
from asr_transfer.models.kinds import make_network, network_inputs
from asr_transfer.models.shared_middle import SharedMiddle
from asr_transfer.ranges import Count, Filled, Positive, Ranged, Seed
from asr_transfer.runs.record import RunRecord
from asr_transfer.runs.workers import Backend
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.prediction import predict
from asr_transfer.training.streams import Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Freeze, TransferPlan

HEARD, SEEN = "heard", "seen"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Texts of the corpus, in the order of the digits."""
ALONE = "alone"
"""Arm that all others are compared with."""


@dataclass(frozen=True)
class Arm:
    """A way to train, or a control.

    Attributes:
        title: Words for a table.
        images: Set of images beside the speech: digits, or `fashion-mnist`, whose classes are no digits; None for none.
        one_head: Whether images and speech go out by one head, so that a digit seen and the same digit heard are one
            class.
        moved: Whether a digit that is seen is given another digit's class, all of one digit the same.
        frozen: Whether the middle layers keep their initial weights.
    """

    title: str
    images: Literal["mnist", "fashion-mnist"] | None = "mnist"
    one_head: bool = False
    moved: bool = False
    frozen: bool = False


ARMS = {
    ALONE: Arm("speech alone, nothing shared", None),
    "alone-frozen": Arm("speech alone, random middle layers", None, frozen=True),
    "shared": Arm("digits seen, shared middle layers"),
    "shared-frozen": Arm("digits seen, shared random middle layers", frozen=True),
    "one-head": Arm("digits seen, shared middle layers and head", one_head=True),
    "wrong-pairs": Arm("the same, digits seen paired wrongly", one_head=True, moved=True),
    "clothes": Arm("clothes seen, shared middle layers", "fashion-mnist"),
}
"""Arms by name."""


@dataclass(frozen=True, kw_only=True)
class InputsConfig(Ranged):
    """Digits seen and digits heard in one training.

    Attributes:
        amounts: Numbers of labelled recordings of each digit.
        images: Number of labelled images.
        speakers: Speakers who are held out, one at a time; the labelled recordings are drawn from all others. Empty for
            all speakers.
        speech: Entry for speech; its input features, front end and layers.
        pictures: Entry for images.
        layers: Number of middle layers.
        width: Length of the vectors in the middle layers.
        frames: Frames of speech in a batch.
        weight: Weight of the images' mean loss beside the speech's.
        augment: Masks on the speech that is trained on.
        trainer: Training; `batch_budget` counts images.
        seeds: Random seeds of the recordings and images that are drawn, of initial weights and of batches.
        quick: Whether to take few steps, to see that everything runs; the figures mean nothing.
    """

    amounts: Annotated[tuple[Count, ...], Filled(distinct=True)] = (1, 5)
    images: Count = 2_000
    speakers: tuple[str, ...] = ()
    speech: ModelConfig = field(default_factory=lambda: ModelConfig("tdnn", layers=1, dim=64, channels=64))
    pictures: ImageConfig = field(default_factory=lambda: ImageConfig(channels=(16, 32, 64)))
    layers: Count = 2
    width: Count = 64
    frames: Count = 1_000
    weight: Positive = 1.0
    augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    trainer: ImageTrainerConfig = field(default_factory=lambda: ImageTrainerConfig(steps=200, batch_budget=32))
    seeds: Annotated[tuple[Seed, ...], Filled(distinct=True)] = (0, 1, 2, 3, 4)
    quick: bool = False

    def settled(self) -> InputsConfig:
        """Return the settings that are run: few steps where it is to be quick."""
        if not self.quick:
            return self
        trainer = replace(self.trainer, steps=3)
        return replace(self, trainer=trainer, seeds=self.seeds[:2], amounts=self.amounts[:1], images=100)


@dataclass(frozen=True)
class HoldOut(Job):
    """Trains all arms with one seed, with one speaker held out, and tests them on that speaker.

    Attributes:
        speaker: Speaker who is held out.
        seed: Random seed.
        manifest: Manifest of the corpus.
        config: Experiment.
    """

    speaker: str
    seed: int
    manifest: str
    config: InputsConfig

    @property
    def name(self) -> str:
        """See `Job.name`."""
        return f"points/{self.speaker}-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """See `Job.settings`."""
        shared = to_record(self.config)
        for name in ("speakers", "seeds", "quick"):
            shared.pop(name)
        return {"speaker": self.speaker, "seed": self.seed, **shared}

    def data(self) -> Data:
        """See `Job.data`."""
        utterances = read_manifest(Path(self.manifest))
        chosen = [u for most in self.config.amounts for u in self._drawn(utterances, most)]
        return {
            "train": (self.manifest, list({u.id: u for u in chosen}.values())),
            "test": (self.manifest, [u for u in utterances if u.speaker == self.speaker]),
        }

    def items(self) -> ItemData:
        """See `Job.items`."""
        return {name: (name, noted(self._pictures(name))) for name in ("mnist", "fashion-mnist")}

    def _pictures(self, name: str) -> Images:
        return draw(read_fetched(name, "train"), self.config.images, self.seed)

    def _drawn(self, utterances: Sequence[Utterance], amount: int) -> list[Utterance]:
        """Return `amount` recordings of each digit by the other speakers, those of fewer among those of more.

        Raises:
            DataError: There are not so many.
        """
        found = []
        for word in WORDS:
            own = sorted((u for u in utterances if u.text == word and u.speaker != self.speaker), key=lambda u: u.id)
            random.Random(f"{self.seed} {word}").shuffle(own)
            if len(own) < amount:
                raise DataError(f"there are {len(own)} recordings of '{word}', but `amounts` asks for {amount}.")
            found += own[:amount]
        return found

    def run(self, record: RunRecord, data: Data) -> None:
        """Train and test all arms."""
        begin = time.process_time()
        train, test = list(data["train"][1]), list(data["test"][1])
        store = build_store([*train, *test], network_inputs(self.config.speech))
        judged = SpokenClasses(Spoken(test, store), WORDS)
        errors = {}
        for amount in self.config.amounts:
            heard = Spoken(self._drawn(train, amount), store, spec_augment=self.config.augment)
            for name, arm in ARMS.items():
                best = self._trained(arm, SpokenClasses(heard, WORDS), judged)
                own = [
                    Prediction(u.id, u.text, WORDS[guess], self.speaker)
                    for u, guess in zip(test, best.tolist(), strict=True)
                ]
                folder = record.folder / f"{name}-{amount}"
                folder.mkdir(exist_ok=True)
                errors[f"{name}-{amount}"] = write_predictions(folder, own).rate
        record.finish(scores=errors, training={"cpu_seconds": round(time.process_time() - begin, 1)})

    def _trained(self, arm: Arm, heard: SpokenClasses, judged: SpokenClasses) -> torch.Tensor:
        """Train an arm and return the classes of the recordings that are judged."""
        config = self.config
        torch.manual_seed(self.seed)
        speech, pictures = make_network(config.speech, {}), image_network(config.pictures, {})
        model = SharedMiddle(speech, pictures, config.layers, config.width, {HEARD: len(WORDS), SEEN: 10})
        tasks = [Task(HEARD, heard, cross_entropy, head=HEARD, budget=config.frames)]
        if arm.images is not None:
            seen = self._pictures(arm.images)
            assert seen.labels is not None
            labels = (seen.labels + 1) % 10 if arm.moved else seen.labels
            head = HEARD if arm.one_head else SEEN
            tasks.append(Task(SEEN, ArrayData(seen.pixels, labels), cross_entropy, config.weight, head=head))
        plan = TransferPlan(Freeze("middle.**")) if arm.frozen else None
        Trainer(model, tasks, plan=plan, config=replace(config.trainer, seed=self.seed)).train()
        return predict(model, judged, HEARD).argmax(1)


@dataclass(frozen=True)
class Row:
    """An arm at one amount, over all speakers and seeds.

    Attributes:
        arm: Name of the arm.
        amount: Labelled recordings of each digit.
        error: Share of the held-out speakers' recordings that are wrong, with its interval over speakers.
        change: Change of it against speech alone, over speakers.
    """

    arm: str
    amount: int
    error: Estimate
    change: Estimate


def run_inputs(
    config: InputsConfig, manifest: Path, folder: Path, workers: int, backend: Backend = "processes"
) -> list[Row]:
    """Run all arms for every held-out speaker with all seeds, and return their rows.

    Args:
        config: Experiment, settled.
        manifest: Manifest of the spoken digits.
        folder: Run folder of the experiment.
        workers: Parallel processes.
        backend: Place of the processes: this machine, or a Ray cluster.

    Raises:
        DataError: A set of images was not fetched, or there are too few recordings.
    """
    speakers = sorted({u.speaker for u in read_manifest(manifest)})
    if unknown := [name for name in config.speakers if name not in speakers]:
        raise DataError(f"{manifest}: has no speaker '{unknown[0]}'; it has {', '.join(speakers)}.")
    speakers = list(config.speakers) or speakers
    if len(speakers) < 2:
        raise DataError(f"{manifest}: has one speaker; another is needed to be held out.")
    for name in ("mnist", "fashion-mnist"):
        read_fetched(name, "test")  # a set that is missing is told before anything is trained
    jobs = [HoldOut(speaker, seed, str(manifest), config) for seed in config.seeds for speaker in speakers]
    for _ in run_jobs(folder, jobs, workers, "held-out speakers", backend):
        pass
    rows = []
    for amount in config.amounts:
        found: dict[str, list[Prediction]] = {
            arm: [one for job in jobs for one in read_predictions(folder / job.name / f"{arm}-{amount}" / FILE)]
            for arm in ARMS
        }
        before = [one.wrong for one in found[ALONE]]
        for arm, own in found.items():
            names, ones = [one.domain for one in own], [1] * len(own)
            wrong = [one.wrong for one in own]
            rows.append(
                Row(arm, amount, clusters.rate(wrong, ones, names), clusters.difference(before, wrong, ones, names))
            )
    return rows


def inputs_table(rows: Sequence[Row], config: InputsConfig) -> Table:
    """Return the table of all arms."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("recordings of each digit", lambda row: str(row.amount)),
        ("training", lambda row: ARMS[row.arm].title),
        ("wrong", lambda row: share_with_interval(row.error)),
        ("against speech alone, points", lambda row: "–" if row.arm == ALONE else points_with_interval(row.change)),
    ]
    title = f"Spoken digits of held-out speakers, {len(config.seeds)} seeds, in brackets 95 % intervals over speakers:"
    return Table.of(rows, columns, title)


def inputs_plot(rows: Sequence[Row], config: InputsConfig) -> Plot:
    """Return the error of each arm by the number of recordings."""
    found: Mapping[str, list[Row]] = {arm: [row for row in rows if row.arm == arm] for arm in ARMS}
    series = [
        Series(
            ARMS[arm].title,
            tuple(row.amount for row in own),
            tuple(100 * row.error.value for row in own),
            tuple(100 * (row.error.value if row.error.low is None else row.error.low) for row in own),
            tuple(100 * (row.error.value if row.error.high is None else row.error.high) for row in own),
        )
        for arm, own in found.items()
    ]
    caption = "Wrong spoken digits of held-out speakers by labelled recordings of each digit."
    return curves(series, None, "wrong, %", "recordings of each digit", caption)
