"""Measures the speed of training, against a plain SpeechBrain recipe with the same network, in one run.

Prints audio-seconds trained on per second of processor time (true lengths, padding not counted) of each encoder through
the real `Trainer` (loading, SpecAugment, forward, CTC, backward, clipping, AdamW), of the peer (see
`speechbrain_peer.py`), and the cost of output-conservative training beside plain fine-tuning.

All sides run on one thread of one process, without worker processes, and take turns every few steps, in alternating
order, so that a machine whose speed drifts slows all of them alike; the medians of the rounds are compared. Seconds are
the process's own (`time.process_time`), which other jobs on the same cores still inflate through shared caches.

    python benchmarks/training.py [--an4 DIR] [--rounds 12]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import logging
import platform
import re
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import jsonargparse
import speechbrain
import torch
from rich.console import Console
from rich.table import Table

from asr_transfer.config import ModelConfig, Precision, TrainerConfig
from asr_transfer.data.batching import LengthBuckets
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.training import criteria
from asr_transfer.training.forward import run
from asr_transfer.training.objective import Objective
from asr_transfer.training.streams import Output, Task
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.distillation import Distillation
from benchmarks import speechbrain_peer as peer
from benchmarks.above_zero import require_above_zero
from benchmarks.training_corpus import Corpus, make_corpus

MODELS = {
    "bilstm": ModelConfig(encoder="bilstm"),
    "tdnn": ModelConfig(encoder="tdnn", layers=6, dim=256),
    "conformer": ModelConfig(encoder="conformer"),
}
"""About 2.5 million parameters each."""

SECONDS = 30
"""Of padded audio per batch, on both sides."""

SCHEDULE = 2000
"""Steps of the learning-rate schedule, of which only the first are taken here."""


class PacedTrainer(Trainer):
    """The real trainer, a few steps at a time, with its clock."""

    def __init__(self, *args: Any, durations: list[float], **options: Any) -> None:
        super().__init__(*args, **options)
        self.durations = durations
        self.audio = self.stepping = 0.0
        self._begun = False

    @property
    def cpu(self) -> float:
        """Processor seconds of training: loading and steps, validation not counted."""
        return self.progress.loading_seconds + self.stepping

    @property
    def data(self) -> float:
        """The part of `cpu` spent on making batches."""
        return self.progress.loading_seconds

    def advance(self, steps: int) -> None:
        """Take `steps` optimiser steps."""
        self.fit([0], torch.utils.data.DataLoader(_Next(self, steps), batch_size=None))

    def on_fit_start(self) -> None:
        """Make the optimiser at the first call only."""
        if not self._begun:
            super().on_fit_start()
            self._begun = True

    def fit_batch(self, batch: Any) -> torch.Tensor:
        """Take the trainer's own step, and time it."""
        begin = time.process_time()
        loss = super().fit_batch(batch)
        self.stepping += time.process_time() - begin
        self.audio += sum(self.durations[item] for part in batch for b in part.values() for item in b.items.tolist())
        return loss


class _Next(torch.utils.data.IterableDataset[Any]):
    def __init__(self, trainer: PacedTrainer, steps: int) -> None:
        self._trainer, self._steps = trainer, steps

    def __iter__(self) -> Iterator[Any]:
        first = self._trainer.optimizer_step
        for step in range(first, first + self._steps):
            yield self._trainer._load(step)


class UncachedTeacher(Distillation):
    """KLD as it is without cached posteriors: the teacher runs on every batch, in the same precision."""

    def setup(self, model: torch.nn.Module, streams: Mapping[str, Any]) -> None:
        """Remember the stream; nothing is computed in advance."""
        assert self.teacher is not None
        self.teacher.eval()
        self._stream = streams[self.stream]

    def forward(self, model: torch.nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the cross-entropy per output position, the teacher's posteriors computed now."""
        output = outputs[self.stream]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            teacher = run(self.teacher, self._stream, output.batch)  # type: ignore[arg-type]
        target = teacher.require_logits().softmax(-1) * output.valid()[:, :, None]
        return -(target * output.require_logits().log_softmax(-1)).sum() / output.count()


@dataclass
class Side:
    """Something that is timed in rounds.

    Attributes:
        name: name in the table.
        clock: has `cpu`, `data` and `audio`, growing.
        advance: function that takes a number of optimiser steps.
        rounds: (cpu, data, audio) seconds of each measured round.
    """

    name: str
    clock: Any
    advance: Callable[[int], None]
    rounds: list[tuple[float, float, float]] = field(default_factory=list)

    def measure(self, steps: int, keep: bool = True) -> None:
        """Take a turn of `steps` that counts as a round."""
        before = self.clock.cpu, self.clock.data, self.clock.audio
        self.advance(steps)
        after = self.clock.cpu, self.clock.data, self.clock.audio
        if keep:
            self.rounds.append((after[0] - before[0], after[1] - before[1], after[2] - before[2]))

    def speeds(self) -> list[float]:
        """Return audio-seconds per processor-second of each round."""
        return [audio / cpu for cpu, _, audio in self.rounds]

    def data_share(self) -> float:
        """Return the share of processor time spent on data, over all rounds."""
        return sum(r[1] for r in self.rounds) / sum(r[0] for r in self.rounds)


def new_model(name: str, corpus: Corpus, seed: int = 0) -> AcousticModel:
    """Return a fresh model with the head `en`."""
    torch.manual_seed(seed)
    return AcousticModel(MODELS[name], {"en": len(corpus.tokens)})


def our_side(
    label: str,
    corpus: Corpus,
    model: str = "bilstm",
    precision: Precision = "bf16",
    objective: Objective | None = None,
    seed: int = 0,
) -> Side:
    """Return our trainer; with an objective, at equal weight beside the task; `seed` decides the batches."""
    task = Task("train", corpus.data(corpus.train), criteria.ctc, head="en", weight=0.5 if objective else 1.0)
    config = TrainerConfig(steps=SCHEDULE, precision=precision, batch_budget=100 * SECONDS, validate_every=0, seed=seed)
    trainer = PacedTrainer(
        new_model(model, corpus),
        [task],
        objectives=[(0.5, objective)] if objective else [],
        config=config,
        durations=[utterance.duration for utterance in corpus.train],
    )
    return Side(label, trainer, trainer.advance)


def peer_side(
    label: str,
    corpus: Corpus,
    precision: Precision = "bf16",
    ours: Side | None = None,
    lstm: Literal["ours", "lengths", "no lengths"] = "ours",
) -> Side:
    """Return the peer.

    Args:
        label: name in the table.
        corpus: its training utterances are read.
        precision: SpeechBrain's.
        ours: the trainer whose batches are read in the same order; None for the recipe's own sampler.
        lstm: our encoder, or SpeechBrain's LSTM with or without the utterances' lengths.
    """
    model = new_model("bilstm", corpus)
    if lstm != "ours":
        model.encoder = peer.OwnLstm(model.config.channels, model.config, lengths=lstm == "lengths")  # type: ignore
    brain = peer.Peer(model, peer.PeerSettings(precision, steps=SCHEDULE), corpus.tokens)
    data = peer.dataset(corpus.train, corpus.tokens)
    if ours is None:
        batches: Any = peer.batch_sampler(data, SECONDS)
    else:
        buckets: LengthBuckets = ours.clock._buckets["train"]
        batches = [buckets.batch(step).tolist() for step in range(SCHEDULE)]
    loader = peer.looped(brain, peer.loader(data, batches), 1)

    def advance(steps: int) -> None:
        loader.epoch_length = steps
        brain.fit([0], loader)

    return Side(label, brain, advance)


def ratios(first: Side, second: Side, per_step: bool) -> list[float]:
    """Return by round how many times as fast `first` is: time per step, or audio-seconds per second."""
    if per_step:
        return [b[0] / a[0] for a, b in zip(first.rounds, second.rounds, strict=True)]
    return [a / b for a, b in zip(first.speeds(), second.speeds(), strict=True)]


def spread(values: list[float], digits: int) -> tuple[str, str]:
    """Return median and range as text."""
    return f"{statistics.median(values):.{digits}f}", f"{min(values):.{digits}f}-{max(values):.{digits}f}"


def machine() -> str:
    """Return one line on what the figures were measured on."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{found[1] if found else platform.processor()}, {os.cpu_count()} cores{load}; torch {torch.__version__}, "
        f"speechbrain {speechbrain.__version__}, {torch.get_num_threads()} thread"
    )


def main(
    an4: Path | None = None,
    rounds: int = 12,
    steps: int = 5,
    only_precisions: bool = False,
) -> None:
    """Measure training speed and print one table.

    Args:
        an4: the AN4 corpus; default `$ASR_TRANSFER_SPEECH/an4` or `../shared/speech/an4`, else generated noise.
        rounds: number of turns of every side.
        steps: optimiser steps in a turn.
        only_precisions: whether to leave the peer out, and show what `auto` takes alone.
    """
    require_above_zero(rounds=rounds, steps=steps)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    console = Console(width=max(120, Console().width))
    with tempfile.TemporaryDirectory() as work:
        corpus = make_corpus(an4, Path(work), MODELS["bilstm"].strides, (1.0,))
        console.print(_header(corpus, seconds=sum(u.duration for u in corpus.train)))
        if not only_precisions:
            _compare(corpus, rounds, steps, console)
        _precisions(corpus, rounds, steps, console)
    console.print(machine())


def _header(corpus: Corpus, seconds: float) -> str:
    return (
        f"{corpus.name}: {len(corpus.train)} utterances, {seconds / 60:.1f} minutes. Our features are computed once, "
        f"in {corpus.feature_seconds:.1f} CPU-seconds (not counted below); the peer computes them in every step. "
        "Both sides mask spectrograms alike (SpecAugment); neither changes speed."
    )


def _compare(corpus: Corpus, rounds: int, steps: int, console: Console) -> None:
    # Each with its own batches, as in a real run.
    ours = our_side("ours, bilstm, bf16", corpus, seed=1)
    full = our_side("ours, bilstm, fp32", corpus, precision="fp32", seed=2)
    tdnn = our_side("ours, tdnn, bf16", corpus, "tdnn", seed=3)
    conformer = our_side("ours, conformer, bf16", corpus, "conformer", seed=4)
    own = peer_side("SpeechBrain, our bilstm, bf16", corpus)
    own_full = peer_side("SpeechBrain, our bilstm, fp32", corpus, "fp32")
    alone = [tdnn, conformer, full, own_full, own, ours]
    # All on the same batches.
    base = our_side("ours, bilstm, bf16", corpus)
    same = peer_side("SpeechBrain, our bilstm, bf16", corpus, ours=base)
    packed = peer_side("SpeechBrain, its LSTM, bf16", corpus, ours=base, lstm="lengths")
    plain = peer_side("SpeechBrain, its LSTM without lengths, bf16", corpus, ours=base, lstm="no lengths")
    together = [base, same, plain, packed]
    for number in range(rounds + 1):
        # Kernels are built for every new shape of a batch, on behalf of whoever meets it first: that place rotates.
        first = number // 2 % len(together)
        direction = 1 if number % 2 else -1
        for side in alone[::direction] + (together[first:] + together[:first])[::direction]:
            side.advance(1)  # not counted: it finds the other sides' memory and caches
            side.measure(steps, keep=number > 0)  # the first round is for warming up
    tuning = _fine_tuning(corpus, rounds, steps)

    title = f"Training speed in audio-seconds per CPU-second, {rounds} rounds of {steps} steps"
    table = Table(title=title, title_justify="left")
    for column in ("side", "parameters", "median", "min-max", "ms per step", "data, %"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for heading, sides in (("own batches", alone[::-1]), ("same batches", together), ("same batches", tuning)):
        table.add_row(f"[bold]{heading}")
        for side in sides:
            size = sum(p.numel() for p in side.clock.modules["model"].parameters()) / 1e6
            milliseconds = 1000 * statistics.median(cpu for cpu, _, _ in side.rounds) / steps
            share = 100 * side.data_share()
            speeds = spread(side.speeds(), 0)
            table.add_row(side.name, f"{size:.2f} M", *speeds, f"{milliseconds:.0f}", f"{share:.1f}")
        table.add_section()
    table.add_row("[bold]ratios")
    for name, values in (
        ("ours / SpeechBrain, bf16, own batches, audio per second (target 1.5)", ratios(ours, own, per_step=False)),
        ("ours / SpeechBrain, fp32, own batches, audio per second", ratios(full, own_full, per_step=False)),
        ("SpeechBrain's step / ours, bf16, same network", ratios(base, same, per_step=True)),
        ("SpeechBrain's step / ours, bf16, its LSTM", ratios(base, packed, per_step=True)),
        ("SpeechBrain's step / ours, bf16, its LSTM without lengths", ratios(base, plain, per_step=True)),
        ("KLD step / plain step (target 1.05)", ratios(tuning[0], tuning[1], per_step=True)),
        ("KLD step with a teacher that is not cached / plain step", ratios(tuning[0], tuning[2], per_step=True)),
    ):
        table.add_row(name, "", *spread(values, 3))
    console.print(table)


def _fine_tuning(corpus: Corpus, rounds: int, steps: int) -> list[Side]:
    """Time plain training and KLD, cached or not; they differ so little that they take turns step by step."""
    teacher = UncachedTeacher(new_model("bilstm", corpus), "train")
    sides = [
        our_side("ours, fine-tuning", corpus),
        our_side("ours, KLD", corpus, objective=Distillation(None, "train")),
        our_side("ours, KLD, teacher not cached", corpus, objective=teacher),
    ]
    _take_turns(sides, rounds, steps)
    return sides


def _take_turns(sides: list[Side], rounds: int, steps: int) -> None:
    """Time sides step by step in turns, and sum each one's steps up to rounds."""
    for number in range((rounds + 1) * steps):
        first = number // 2 % len(sides)
        for side in (sides[first:] + sides[:first])[:: 1 if number % 2 else -1]:
            side.measure(1, keep=number >= steps)
    for side in sides:
        side.rounds = [
            (sum(r[0] for r in part), sum(r[1] for r in part), sum(r[2] for r in part))
            for part in (side.rounds[first : first + steps] for first in range(0, rounds * steps, steps))
        ]


def _precisions(corpus: Corpus, rounds: int, steps: int, console: Console) -> None:
    """Show for each network which precision `auto` takes, and its speed beside that of the better one."""
    title = f"Precision, on the same batches in turns: audio-seconds per CPU-second, {rounds} rounds of {steps} steps"
    table = Table(title=title, title_justify="left")
    for column in ("network", *get_args(Precision)[::-1], "it takes", "auto / better (target 0.97)", "min-max"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for model in MODELS:
        sides = [our_side(name, corpus, model, name) for name in get_args(Precision)[::-1]]
        _take_turns(sides, rounds, steps)
        *plain, auto = sides
        better = max(plain, key=lambda side: statistics.median(side.speeds()))
        medians = (spread(side.speeds(), 0)[0] for side in sides)
        table.add_row(model, *medians, auto.clock.config.precision, *spread(ratios(auto, better, per_step=False), 3))
    console.print(table)


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
