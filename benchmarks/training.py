"""Measures the speed of training, beside a plain SpeechBrain recipe with the same network and with its own, in one run.

Audio-seconds trained on per second of processor time (true lengths, padding not counted) of each encoder through the
real `Trainer` (loading, SpecAugment, forward, CTC, backward, clipping, AdamW), and of the peer (`speechbrain_peer.py`),
each in the precision that is the faster one for it; what `--trainer.precision auto` takes beside the better one; and
the cost of output-conservative training beside plain fine-tuning.

All sides run on one thread of one process, without worker processes, and take turns every few steps, in alternating
order, so that a machine whose speed drifts slows all of them alike; the medians of the rounds are compared. Seconds are
the process's own (`time.process_time`), which other jobs on the same cores still inflate through shared caches.

    python benchmarks/training.py [--an4 DIR] [--rounds 12] [--out DIR]

The run folder's `run.json`, copied to `docs/results`, fills tables of `docs/speed.md`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import logging
import statistics
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jsonargparse
import torch

from asr_transfer.config import ModelConfig, Precision, TrainerConfig
from asr_transfer.errors import AsrTransferError
from asr_transfer.experiments.core.tables import Column, Table, show
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.progress import Work
from asr_transfer.runs.record import RunRecord
from asr_transfer.training import criteria
from asr_transfer.training.forward import run
from asr_transfer.training.objective import Objective
from asr_transfer.training.streams import Output, Task
from asr_transfer.transfer.distillation import Distillation
from benchmarks import speechbrain_peer as peer
from benchmarks.above_zero import require_above_zero
from benchmarks.machine import machine
from benchmarks.paced import PacedTrainer, Side, ratios, spread, step_ratios, take_turns
from benchmarks.speechbrain_networks import OWN
from benchmarks.targets import met
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


WANTED = {"bilstm": 1.5, "tdnn": 1.8, "conformer": 1.5}
"""Times as fast as SpeechBrain's loop, each side in its better precision."""
AUTO_WANTED, KLD_WANTED = 0.97, 1.05
SAME, OTHER = "our network", "its own layers"

HOPELESS = 2.0
"""Times as long as the faster side's step that a step takes of which no more are measured."""

AUTO: Precision = "auto"
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


class UncachedTeacher(Distillation):
    """KLD as it is without cached posteriors: the teacher runs on every batch, in the same precision."""

    bf16 = False

    def setup(self, model: torch.nn.Module, streams: Mapping[str, Any]) -> None:
        """Remember the stream; nothing is computed in advance."""
        assert self.teacher is not None
        self.teacher.eval()
        self._stream = streams[self.stream]

    def forward(self, model: torch.nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the cross-entropy per output position, the teacher's posteriors computed now."""
        output = outputs[self.stream]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            teacher = run(self.teacher, self._stream, output.batch)  # type: ignore[arg-type]
        target = teacher.require_logits().softmax(-1) * output.valid()[:, :, None]
        return -(target * output.require_logits().log_softmax(-1)).sum() / output.count()


def new_model(name: str, corpus: Corpus, seed: int = 0) -> AcousticModel:
    """Return a fresh model with the head `en`."""
    torch.manual_seed(seed)
    return AcousticModel(MODELS[name], {"en": len(corpus.tokens)})


def our_side(
    label: str,
    corpus: Corpus,
    model: str = "bilstm",
    precision: Precision = "fp32",
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


def peer_side(label: str, corpus: Corpus, model: str, precision: Precision, own: bool = False) -> Side:
    """Return the peer, with our network or one of SpeechBrain's `own` layers."""
    network = new_model(model, corpus)
    if own:
        network.encoder = OWN[model](MODELS[model].channels, MODELS[model])  # type: ignore[assignment]
    brain = peer.Peer(network, peer.PeerSettings(precision, steps=SCHEDULE), corpus.tokens)
    data = peer.dataset(corpus.train, corpus.tokens)
    loader = peer.looped(brain, peer.loader(data, peer.batch_sampler(data, SECONDS)), 1)

    def advance(steps: int) -> None:
        loader.epoch_length = steps
        brain.fit([0], loader)

    return Side(label, brain, advance)


def promising(sides: Sequence[Side]) -> list[Side]:
    """Return the sides that are not hopelessly slow, after a step for warming up; of the others one step is kept.

    Processors that do not compute in bf16 take many times as long in it, which need not be measured often.
    """
    for side in sides:
        side.advance(1)
        side.measure(1)
    best = max(side.speeds()[0] for side in sides)
    kept = [side for side in sides if HOPELESS * side.speeds()[0] >= best]
    for side in kept:
        side.rounds.clear()
    return kept


def faster(make: Callable[[Precision], Side], steps: int) -> tuple[Side, Precision]:
    """Return a side in the precision in which it is faster, and that precision."""
    sides: dict[Precision, Side] = {precision: make(precision) for precision in PRECISIONS}
    for side in promising(list(sides.values())):
        side.measure(steps)
    best = max(sides, key=lambda precision: sides[precision].speeds()[0])
    sides[best].rounds.clear()
    return sides[best], best


@dataclass(frozen=True)
class Beside:
    """How fast we train an encoder, beside SpeechBrain's loop.

    Attributes:
        encoder: its kind.
        network: whose network the loop trains.
        speed: our audio-seconds per processor-second, in the median.
        precision: precision in which we are faster.
        data: share of our time that batches take.
        other: audio-seconds per processor-second of the loop, in the median.
        other_precision: precision in which it is faster.
        ratios: times as fast as the loop that we are, by round.
        wanted: the least that is wanted of their median.
    """

    encoder: str
    network: str
    speed: float
    precision: str
    data: float
    other: float
    other_precision: str
    ratios: list[float]
    wanted: float


def beside_speechbrain(corpus: Corpus, rounds: int, steps: int, work: Work) -> list[Beside]:
    """Measure each encoder beside the loop, with our network and with SpeechBrain's own."""
    found = []
    for encoder, wanted in WANTED.items():
        made = [faster(lambda precision: our_side("ours", corpus, encoder, precision), steps)]  # noqa: B023
        for own in (False, True):
            made.append(faster(lambda precision: peer_side("", corpus, encoder, precision, own), steps))  # noqa: B023
        for number in range(rounds + 1):
            for side, _ in made if number % 2 else reversed(made):
                side.advance(1)  # not counted: it finds the other sides' memory and caches
                side.measure(steps, keep=number > 0)  # the first round is for warming up
            work.advance(1)
        (ours, precision), *peers = made
        for (side, other), network in zip(peers, (SAME, OTHER), strict=True):
            speeds = (statistics.median(one.speeds()) for one in (ours, side))
            speed, its = speeds
            found.append(
                Beside(encoder, network, speed, precision, ours.data_share(), its, other, ratios(ours, side), wanted)
            )
    return found


@dataclass(frozen=True)
class Probed:
    """What `auto` takes for an encoder.

    Attributes:
        encoder: its kind.
        speeds: audio-seconds per processor-second by precision, in the median.
        taken: precision that `auto` took.
        ratios: its speed as a share of the better one's, by round.
    """

    encoder: str
    speeds: Mapping[str, float]
    taken: str
    ratios: list[float]


def probe(corpus: Corpus, rounds: int, steps: int, work: Work) -> list[Probed]:
    """Measure for each encoder what `auto` takes, on the same batches in turns."""
    found = []
    for encoder in MODELS:
        sides = [our_side(name, corpus, encoder, name) for name in (*PRECISIONS, AUTO)]
        take_turns(promising(sides), rounds, steps)
        *plain, auto = sides
        better = max(plain, key=lambda side: statistics.median(side.speeds()))
        speeds = {side.name: statistics.median(side.speeds()) for side in sides}
        found.append(Probed(encoder, speeds, auto.clock.config.precision, ratios(auto, better)))
        work.advance(rounds)
    return found


@dataclass(frozen=True)
class Conservative:
    """What a step of output-conservative training (KLD) costs.

    Attributes:
        name: where the teacher's posteriors come from.
        milliseconds: processor time of a step, in the median.
        ratios: times as long as a step of plain fine-tuning, by round.
        wanted: the most that is wanted; None for no target.
    """

    name: str
    milliseconds: float
    ratios: list[float]
    wanted: float | None = None


def conservative(corpus: Corpus, rounds: int, steps: int, precision: Precision, work: Work) -> list[Conservative]:
    """Measure plain training and KLD, cached or not; they differ so little that they take turns step by step."""
    teacher = UncachedTeacher(new_model("bilstm", corpus), "train")
    teacher.bf16 = precision == "bf16"
    sides = [
        our_side("plain fine-tuning", corpus, precision=precision),
        our_side("KLD, posteriors kept", corpus, precision=precision, objective=Distillation(None, "train")),
        our_side("KLD, the teacher at every step", corpus, precision=precision, objective=teacher),
    ]
    take_turns(sides, rounds, steps)
    work.advance(rounds)
    plain = sides[0]
    return [
        Conservative(
            side.name,
            1000 * statistics.median(cpu for cpu, _, _ in side.rounds) / steps,
            step_ratios(plain, side),
            KLD_WANTED if number == 1 else None,
        )
        for number, side in enumerate(sides)
    ]


def main(
    an4: Path | None = None,
    rounds: int = 12,
    steps: int = 5,
    only_precisions: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Measure training speed and print tables.

    Args:
        an4: the AN4 corpus; default `$ASR_TRANSFER_SPEECH/an4` or `../shared/speech/an4`, else generated noise.
        rounds: number of turns of every side.
        steps: optimiser steps in a turn.
        only_precisions: whether to leave the peer out, and show what `auto` takes alone.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    require_above_zero(rounds=rounds, steps=steps)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    settings = {"rounds": rounds, "steps": steps, "only_precisions": only_precisions}
    try:
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
        with tempfile.TemporaryDirectory() as folder:
            corpus = make_corpus(an4, Path(folder), MODELS["bilstm"].strides, (1.0,))
            parts = measure(corpus, rounds, steps, only_precisions)
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    minutes = sum(utterance.duration for utterance in corpus.train) / 60
    what = f"{corpus.name}, {minutes:.0f} minutes; {rounds} rounds of {steps} steps; {machine()}."
    tables = tables_of(parts, what)
    show(tables)
    if record is not None:
        scores = {name: [asdict(row) for row in rows] for name, rows in parts.items()}
        record.finish(scores=scores, tables={"speeds": [table.to_plain() for table in tables]})


def measure(corpus: Corpus, rounds: int, steps: int, only_precisions: bool = False) -> dict[str, list[Any]]:
    """Return the rows of each table by its name."""
    parts: dict[str, list[Any]] = {}
    turns = len(MODELS) * rounds + (0 if only_precisions else len(WANTED) * (rounds + 1) + rounds)
    with Work("measuring", turns, "turn") as work:
        if not only_precisions:
            parts["beside"] = beside_speechbrain(corpus, rounds, steps, work)
        parts["precisions"] = probe(corpus, rounds, steps, work)
        if not only_precisions:
            taken = next(row.taken for row in parts["precisions"] if row.encoder == "bilstm")
            parts["conservative"] = conservative(corpus, rounds, steps, "bf16" if taken == "bf16" else "fp32", work)
    return parts


def tables_of(parts: Mapping[str, Sequence[Any]], note: str) -> list[Table]:
    """Return the tables of the rows that were measured, the note below the last."""
    titles = {
        "beside": "Audio-seconds trained on per CPU-second, beside a plain SpeechBrain recipe:",
        "precisions": "What `--trainer.precision auto` takes, on the same batches in turns:",
        "conservative": "A step of output-conservative training beside one of plain fine-tuning:",
    }
    last = list(parts)[-1]
    return [Table.of(rows, COLUMNS[name], titles[name], note if name == last else "") for name, rows in parts.items()]


def _beside_columns() -> list[Column[Beside]]:
    return [
        ("encoder", lambda row: row.encoder),
        ("SpeechBrain's loop on", lambda row: row.network),
        ("ours", lambda row: f"{row.speed:.0f}, {row.precision}"),
        ("SpeechBrain", lambda row: f"{row.other:.0f}, {row.other_precision}"),
        ("times as fast", lambda row: spread(row.ratios, 2)[0]),
        ("range of rounds", lambda row: spread(row.ratios, 2)[1]),
        ("target", lambda row: f"≥ {row.wanted:g}"),
        ("met", lambda row: met(statistics.median(row.ratios) >= row.wanted)),
        ("our batches' share, %", lambda row: f"{100 * row.data:.1f}"),
    ]


def _precision_columns() -> list[Column[Probed]]:
    return [
        ("encoder", lambda row: row.encoder),
        *((name, lambda row, name=name: f"{row.speeds[name]:.0f}") for name in PRECISIONS),  # type: ignore[misc]
        ("it takes", lambda row: row.taken),
        ("share of the better one's speed", lambda row: spread(row.ratios, 2)[0]),
        ("range of rounds", lambda row: spread(row.ratios, 2)[1]),
        ("target", lambda row: f"≥ {AUTO_WANTED:g}"),
        ("met", lambda row: met(statistics.median(row.ratios) >= AUTO_WANTED)),
    ]


def _conservative_columns() -> list[Column[Conservative]]:
    return [
        ("training", lambda row: row.name),
        ("ms per step", lambda row: f"{row.milliseconds:.0f}"),
        ("times a plain step", lambda row: spread(row.ratios, 3)[0]),
        ("range of rounds", lambda row: spread(row.ratios, 3)[1]),
        ("target", lambda row: "" if row.wanted is None else f"≤ {row.wanted:g}"),
        ("met", lambda row: "" if row.wanted is None else met(statistics.median(row.ratios) <= row.wanted)),
    ]


COLUMNS: Mapping[str, Any] = {
    "beside": _beside_columns(),
    "precisions": _precision_columns(),
    "conservative": _conservative_columns(),
}
"""The columns of each table, by its name."""


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
