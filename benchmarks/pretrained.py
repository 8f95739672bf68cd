"""Measures training on a pretrained Whisper, against a plain loop with Transformers and peft on the same, in one run.

Two methods, each to the same development loss: layers and a CTC head on the frozen encoder, then matrices of low rank
(LoRA) in the encoder below them. We hear recordings at their true length and run a frozen encoder once for each; the
plain loop (`transformers_peer.py`) pads to the encoder's window and runs it at every step. Both sides have the same
weights at the start, batches, optimiser, rates and number format (float32), and features that are computed once.
Validation is on no clock; what is computed once is.

Both train a given number of steps and validate every few; the loss to reach is the worse of their two best, and what
counts is the processor time (`time.process_time`, one thread) up to the first validation that reaches it. Sides take
turns between validations, in alternating order, so that a machine whose speed drifts slows both alike; the medians of
several rounds, each from other weights and with other batches, are compared.

    python benchmarks/pretrained.py [--model DIR] [--an4 DIR | --data PATH] [--quick true] [--out DIR]

The run folder's `run.json`, copied to `docs/results`, fills tables of the pages.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import importlib.util
import logging
import math
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import torch
from rich.console import Console

from asr_transfer.commands.speech import read_speech
from asr_transfer.config import TopConfig, TrainerConfig
from asr_transfer.data.batching import LengthBuckets, sequential
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.folder import model_folder
from asr_transfer.decoding.recogniser import BATCH_FRAMES, Recogniser
from asr_transfer.errors import AsrTransferError
from asr_transfer.experiments.core.tables import Table, show
from asr_transfer.models.adapters import AdapterSpec
from asr_transfer.models.pretrained.whisper_encoder import WhisperEncoderModel
from asr_transfer.progress import Work
from asr_transfer.runs.record import RunRecord
from asr_transfer.training.activations import Stored, above, frozen_depth
from asr_transfer.training.session import speech_task
from asr_transfer.transfer.plan import Add, Done, Freeze, TransferPlan
from benchmarks.machine import machine
from benchmarks.paced import PacedTrainer
from benchmarks.targets import met
from benchmarks.training_corpus import find_utterances
from benchmarks.transformers_peer import Loop, WindowedWhisper, windowed_features

HEAD = "en"
TOP, LORA = "frozen encoder, new layers", "LoRA in the encoder"
PEFT = importlib.util.find_spec("peft") is not None
RATIO_WANTED = 5.0
"""Times the processor time of ours that the plain loop takes to the same loss."""
RATE_WANTED = 100.0
"""Audio-seconds that features and encoder hear in a processor-second."""


@dataclass(frozen=True)
class Course:
    """How long and how is trained.

    Attributes:
        steps: number of steps of the layers on the frozen encoder, and of LoRA.
        every: number of steps between validations, likewise.
        rates: learning rates, likewise; constant.
        budget: frames in a batch, 100 a second.
        rank: rank of LoRA.
        rounds: number of rounds, of which the median is taken.
    """

    steps: tuple[int, int] = (200, 40)
    every: tuple[int, int] = (10, 5)
    rates: tuple[float, float] = (1e-3, 1e-3)
    budget: int = 2400
    rank: int = 8
    rounds: int = 3


QUICK = Course(steps=(8, 3), every=(4, 3), budget=1200, rounds=1)
QUICK_UTTERANCES = 24
"""How many are trained on and validated with, together, in a trial of a minute."""


@dataclass
class Runner:
    """A side of a race.

    Attributes:
        name: name in the table.
        clock: its training.
        loss: function that returns the development loss.
        once: processor seconds of what was computed before.
        curve: steps, processor seconds and loss at each validation.
    """

    name: str
    clock: Any
    loss: Callable[[], float]
    once: float
    curve: list[tuple[int, float, float]] = field(default_factory=list)

    def advance(self, steps: int) -> None:
        """Take so many steps and validate."""
        self.clock.advance(steps)
        before = self.curve[-1][0] if self.curve else 0
        self.curve.append((before + steps, self.once + self.clock.cpu, self.loss()))


@dataclass(frozen=True)
class Race:
    """What two sides took to the same loss.

    Attributes:
        method: name of the method by which it was trained.
        loss: development loss that both reached, in nats per output frame.
        ours, plain: processor seconds.
        our_steps, plain_steps: steps.
    """

    method: str
    loss: float
    ours: float
    plain: float
    our_steps: int
    plain_steps: int

    @property
    def ratio(self) -> float:
        """How many times as long the plain loop takes."""
        return self.plain / self.ours


class Bench:
    """A model and speech, as both sides take them.

    Args:
        folder: folder of a Whisper.
        utterances: speech to train on.
        held: speech that the loss is measured on.
        work: folder of the features.
        top: layers on the encoder.
    """

    def __init__(
        self, folder: Path, utterances: Sequence[Utterance], held: Sequence[Utterance], work: Path, top: TopConfig
    ) -> None:
        model = Recogniser.load(folder, criterion="ctc").model
        if not isinstance(model, WhisperEncoderModel):
            raise SystemExit(f"{folder}: is no Whisper, and only with one the plain loop is written; give another.")
        self.folder, self.encoder, self.top = folder, model, top
        self.window = 2 * model.sizes.positions / 100
        self.tokens = Tokens.from_texts(utterance.text for utterance in [*utterances, *held])
        begin = time.process_time()
        store = build_store([*utterances, *held], model.inputs, cache=work)
        self.once = time.process_time() - begin
        fresh = self.fresh(0)
        self.train, self.dev = (
            self._within(Spoken(some, store, self.tokens)).feasible(fresh.frames)[0] for some in (utterances, held)
        )
        if not self.train or not self.dev:
            raise SystemExit("no utterance is short enough for the encoder's window and long enough for CTC.")
        begin = time.process_time()
        spoken = [*self.train.utterances, *self.dev.utterances]
        self.features, self.samples = windowed_features(spoken, model.sizes.mels, self.window)
        self.plain_once = time.process_time() - begin
        self.targets = [part.target(number) for part in (self.train, self.dev) for number in range(len(part))]

    def _within(self, spoken: Spoken) -> Spoken:
        """Return what the plain loop can hear: what fits into a window."""
        return spoken.subset(n for n, utterance in enumerate(spoken.utterances) if utterance.duration <= self.window)

    def fresh(self, seed: int) -> WhisperEncoderModel:
        """Return the encoder with new layers and a head."""
        torch.manual_seed(seed)
        model = WhisperEncoderModel(self.encoder.sizes, self.top, {HEAD: len(self.tokens)})
        model.load_state_dict(self.encoder_state(), strict=False)
        return model

    def encoder_state(self) -> dict[str, torch.Tensor]:
        """Return the weights of the published encoder alone."""
        inside = tuple(f"{block.path}." for block in self.encoder.published())
        return {name: tensor for name, tensor in self.encoder.state_dict().items() if name.startswith(inside)}

    def batches(self, budget: int, seed: int) -> Iterator[np.ndarray]:
        """Yield the training utterances of every step, the same that our trainer reads."""
        buckets, step = LengthBuckets(self.train.costs(), budget, seed), 0
        while True:
            yield buckets.batch(step)
            step += 1

    def sides(self, model: WhisperEncoderModel, course: Course, lora: bool, seed: int) -> list[Runner]:
        """Return both sides before their first step; `model` is the start and becomes ours."""
        steps, rate = course.steps[lora], course.rates[lora]
        peer = WindowedWhisper(self.folder, model, HEAD, course.rank if lora else 0)
        blocks = [block.path for block in model.published() if block.role == "layer"]
        new = " - ".join(["**", f"heads.{HEAD}", *(block.path for block in model.on_published())])
        added = Add(AdapterSpec("lora", course.rank, tuple(blocks)))
        plan = TransferPlan(added, Freeze("** - adapters")) if lora else TransferPlan(Freeze(new))
        applied = plan.apply(model)
        if lora:
            _same_start(model, peer)
        depth = frozen_depth(model)
        task = speech_task("train", Stored(model).feed(self.train, depth), HEAD)
        config = TrainerConfig(
            steps=steps, batch_budget=course.budget, learning_rate=rate, warmup=0.0, schedule="constant",
            weight_decay=0.0, precision="fp32", validate_every=0, seed=seed, device="cpu",
        )  # fmt: skip
        durations = [utterance.duration for utterance in self.train.utterances]
        trainer = PacedTrainer(above(model, depth), [task], (), Done(applied), config, durations=durations)
        heard = sequential_loss(model, self.dev)
        loop = Loop(peer, self.features, self.samples, self.targets, self.batches(course.budget, seed), rate)
        return [
            Runner("ours", trainer, heard, self.once),
            Runner("Transformers and peft" if lora else "Transformers", loop, self._plain_loss(loop), self.plain_once),
        ]

    def _plain_loss(self, loop: Loop) -> Callable[[], float]:
        held = range(len(self.train), len(self.targets))

        @torch.no_grad()
        def loss() -> float:
            loop.model.eval()
            found, frames = 0.0, 0
            for first in range(held.start, held.stop, 8):
                items = list(range(first, min(first + 8, held.stop)))
                total, count = loop.sums(items)
                found, frames = found + float(total), frames + int(count)
            return found / frames

        return loss


def sequential_loss(model: WhisperEncoderModel, spoken: Spoken) -> Callable[[], float]:
    """Return a function that measures a model's CTC loss per output frame."""

    @torch.no_grad()
    def loss() -> float:
        model.eval()
        found, frames = 0.0, 0
        for batch in sequential(spoken, 2400):
            assert batch.lengths is not None and batch.target_lengths is not None
            hidden, lengths = model(batch.inputs, batch.lengths)
            log_probs = model.head(HEAD)(hidden).log_softmax(-1).transpose(0, 1)
            found += float(
                torch.nn.functional.ctc_loss(log_probs, batch.targets, lengths, batch.target_lengths, reduction="sum")
            )
            frames += int(lengths.sum())
        return found / frames

    return loss


def _same_start(model: WhisperEncoderModel, peer: WindowedWhisper) -> None:
    """Give peft's matrices the random start of ours."""
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in peer.encoder.named_parameters():
            if ".lora_A." in name:
                path = name.split("layers.", 1)[1].split(".lora_A")[0]
                parameter.copy_(own[f"adapters.lora.encoder.{path}.weight.A"])


def run_race(method: str, sides: Sequence[Runner], steps: int, every: int) -> Race:
    """Let both sides train and validate in turns, and return what each took to the worse of their two best losses."""
    for turn in range(math.ceil(steps / every)):
        for side in sides if turn % 2 else reversed(sides):
            side.advance(min(every, steps - turn * every))
    target = max(min(loss for _, _, loss in side.curve) for side in sides)
    ours, plain = (next(point for point in side.curve if point[2] <= target) for side in sides)
    return Race(method, target, ours[1], plain[1], ours[0], plain[0])


def rates(bench: Bench, rounds: int, work: Path) -> dict[str, float]:
    """Return audio-seconds per processor-second of features and encoder together, each in the median of the rounds."""
    every, few = bench.train.utterances, bench.train.utterances[:8]
    model, depth = bench.encoder.eval(), len(bench.encoder.published())
    plain = WindowedWhisper(bench.folder, bench.fresh(0), HEAD).eval()

    def heard(utterances: Sequence[Utterance], budget: int, cache: Path) -> None:
        spoken = Spoken(utterances, build_store(utterances, model.inputs, cache=cache))
        for batch in sequential(spoken, budget):
            assert batch.lengths is not None
            model.run(0, depth, batch.inputs, batch.lengths)

    def windows(cache: Path) -> None:
        for utterance in few:
            features, _ = windowed_features([utterance], model.sizes.mels, bench.window)
            plain.encoder(features)

    sides: dict[str, tuple[Sequence[Utterance], Callable[[Path], None]]] = {
        "true length, one by one": (few, lambda cache: heard(few, 1, cache)),
        "true length, in batches": (every, lambda cache: heard(every, BATCH_FRAMES, cache)),
        f"windows of {bench.window:g} s": (few, windows),
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in sides if turn % 2 else reversed(sides):
            with tempfile.TemporaryDirectory(dir=work) as cache, torch.no_grad():
                begin = time.process_time()
                utterances, hear = sides[name]
                hear(Path(cache))
                if turn or rounds == 1:  # the first turn warms up
                    found[name].append(sum(one.duration for one in utterances) / (time.process_time() - begin))
    return {name: statistics.median(values) for name, values in found.items()}


def find_speech(an4: Path | None, data: Path | None, most: int, work: Path) -> tuple[list[Utterance], str]:
    """Return so many utterances, drawn at random, and what to call them."""
    if an4 is not None and data is not None:
        raise SystemExit("--an4 and --data both name recordings; give one.")
    found, name = (read_speech(data, HEAD, "lower"), str(data)) if data else find_utterances(an4, work)
    return random.Random(0).sample(found, min(most, len(found))), name


def default_model() -> Path:
    """Return `../shared/models/whisper-tiny` beside the repository where it is, else the name of the fetched one."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "models" / "whisper-tiny"
    return beside if beside.is_dir() else Path("whisper-tiny")


def main(
    model: Path | None = None,
    an4: Path | None = None,
    data: Path | None = None,
    utterances: int = 240,
    held: int = 40,
    course: Course | None = None,
    top: TopConfig | None = None,
    quick: bool = False,
    race: bool = True,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Measure and print.

    Args:
        model: folder of a Whisper; default `../shared/models/whisper-tiny` or the one that was fetched.
        an4: the AN4 corpus; default `$ASR_TRANSFER_SPEECH/an4` or `../shared/speech/an4`, else generated noise.
        data: manifest or folder of recordings with transcripts, in place of AN4.
        utterances: number of utterances to train on.
        held: number of further utterances that the loss is measured on.
        course: steps, rates, batches and rounds.
        top: layers on the encoder; default the usual ones.
        quick: whether to make a trial of a minute, on few utterances and with few steps.
        race: whether to train too, which takes an hour; the rates at which speech is heard take a minute.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    console = Console(width=max(120, Console().width))
    course = course or (QUICK if quick else Course())
    if quick:
        utterances, held = QUICK_UTTERANCES * 3 // 4, QUICK_UTTERANCES // 4
    where = model or default_model()
    settings = {"model": where, "utterances": utterances, "held": held, **asdict(course)}
    try:
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            spoken, name = find_speech(an4, data, utterances + held, work)
            if len(spoken) < 2:
                raise SystemExit("there are fewer than two utterances; give more.")
            held = min(held, len(spoken) // 2)
            bench = Bench(model_folder(where), spoken[held:], spoken[:held], work / "features", top or TopConfig())
            seconds = sum(utterance.duration for utterance in bench.train.utterances)
            what = (
                f"{where.name}; {name}: {len(bench.train)} utterances, {seconds:.0f} s, and {len(bench.dev)} that the "
                f"loss is measured on{'; quick run' if quick else ''}; {machine()}."
            )
            heard = rates(bench, course.rounds, work)
            show([rates_table(heard, what)])
            if race and not PEFT:
                console.print("peft is not installed (pip install peft): LoRA is left out")
            races = list(run_races(bench, course)) if race else []
            if races:
                show([races_table(races, what)])
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    if record is not None:
        kept = [{**asdict(one), "ratio": one.ratio} for one in races]
        tables = {"rates": [rates_table(heard, what).to_plain()]}
        if races:
            tables["races"] = [races_table(races, what).to_plain()]
        record.finish(scores={"audio_seconds_per_cpu_second": heard, "races": kept}, tables=tables)


def run_races(bench: Bench, course: Course) -> Iterator[Race]:
    """Yield what each method took in each round; LoRA begins with the layers that ours has trained."""
    for number in range(course.rounds):
        model = bench.fresh(number)
        for lora, method in enumerate((TOP, LORA) if PEFT else (TOP,)):
            with Work(f"round {number + 1} of {course.rounds}, {method}", bar=False):
                sides = bench.sides(model, course, bool(lora), number)
                found = run_race(method, sides, course.steps[lora], course.every[lora])
            yield found


def rates_table(found: Mapping[str, float], note: str = "") -> Table:
    """Return the rates at which speech is heard as a table."""
    lines = []
    for name, value in found.items():
        wanted = (f"≥ {RATE_WANTED:g}", met(value >= RATE_WANTED)) if name.endswith("batches") else ("", "")
        lines.append((name, f"{value:.1f}", *wanted))
    headings = ("features and encoder, float32", "audio-seconds per CPU-second", "target", "met")
    return Table(headings, tuple(lines), note=note)


def races_table(races: Sequence[Race], note: str = "") -> Table:
    """Return the medians over the rounds of each method as a table."""
    lines = []
    for method in dict.fromkeys(one.method for one in races):
        own = [one for one in races if one.method == method]
        ratios = [one.ratio for one in own]
        median = statistics.median(ratios)
        ours = (_median(one.ours for one in own), f"{statistics.median(one.our_steps for one in own):g}")
        plain = (_median(one.plain for one in own), f"{statistics.median(one.plain_steps for one in own):g}")
        row = (f"{statistics.median(one.loss for one in own):.3f}", *ours, *plain, f"{median:.1f}")
        extent = f"{min(ratios):.1f} … {max(ratios):.1f}"
        lines.append((method, *row, extent, f"≥ {RATIO_WANTED:g}", met(median >= RATIO_WANTED)))
    headings = ("CPU-seconds to the same development loss", "loss", "ours", "our steps", "plain loop", "its steps",
                "times ours", "range of rounds", "target", "met")  # fmt: skip
    return Table(headings, tuple(lines), note=note)


def _median(values: Iterator[float]) -> str:
    return f"{statistics.median(values):.1f}"


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
