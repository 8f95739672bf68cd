"""Runs the race of `benchmarks/training.py`: processor seconds until held-out speakers reach a word error rate.

Both sides validate equally often on the same speakers; validation is not counted, nor are our features, computed once.
Each side runs the entries below: the same networks, masks, peak rate and batches of a minute. Only we have speed
copies, which cost us nothing per step; the peer would have to resample in every step. The peer's rate was not tuned
beyond our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from asr_transfer.config import TrainerConfig
from asr_transfer.data.batching import cut
from asr_transfer.training import criteria
from asr_transfer.training.metrics import ErrorRate
from asr_transfer.training.streams import Task
from benchmarks import speechbrain_peer as peer
from benchmarks.training import PacedTrainer, new_model
from benchmarks.training_corpus import Corpus

EVERY = 25
"""Steps between validations."""


@dataclass(frozen=True)
class Entry:
    """How a side runs.

    Attributes:
        model: key of `benchmarks.training.MODELS`.
        steps: of the schedule.
        learning_rate: its peak.
        speeds: speed copies (ours only: the peer would have to resample in every step).
        seconds: of padded audio per batch.
    """

    model: str
    steps: int
    learning_rate: float = 3e-3
    speeds: tuple[float, ...] = (1.0,)
    seconds: int = 60


OURS = (Entry("bilstm", 1500, speeds=(0.9, 1.0, 1.1)), Entry("tdnn", 2300, speeds=(0.9, 1.0, 1.1)))
PEER = (Entry("bilstm", 2300), Entry("tdnn", 3500))


@dataclass(frozen=True)
class Finish:
    """How a side came through.

    Attributes:
        cpu: processor seconds up to the first validation at or below the target, or to the end.
        steps: optimiser steps up to there.
        wers: of all validations.
    """

    cpu: float
    steps: int
    wers: list[float]


class _Racer(PacedTrainer):
    target = 0.0

    def _finished(self) -> bool:
        history = self.progress.history
        return super()._finished() or (self.step == 0 and bool(history) and history[-1]["wer"] <= self.target)


def run_ours(corpus: Corpus, target: float, entry: Entry, seed: int) -> Finish:
    """Train with our trainer until the target."""
    trainer = _Racer(
        new_model(entry.model, corpus, seed),
        [Task("train", corpus.data(corpus.train, entry.speeds), criteria.ctc, head="en")],
        config=TrainerConfig(
            steps=entry.steps,
            learning_rate=entry.learning_rate,
            batch_budget=100 * entry.seconds,
            validate_every=EVERY,
            seed=seed,
        ),
        validation=[
            Task("dev", corpus.data(corpus.dev), criteria.ctc, head="en", metric=lambda: ErrorRate(corpus.tokens))
        ],
        monitor="wer",
        durations=[utterance.duration / speed for utterance in corpus.train for speed in entry.speeds],
    )
    trainer.target = target
    result = trainer.train()
    return Finish(trainer.cpu, result.steps, [figures["wer"] for figures in result.history])


def run_peer(corpus: Corpus, target: float, entry: Entry, seed: int) -> Finish:
    """Train with the SpeechBrain recipe until the target."""
    settings = peer.PeerSettings("bf16", entry.learning_rate, entry.steps)
    brain = peer.Peer(new_model(entry.model, corpus, seed), settings, corpus.tokens)
    train, dev = peer.dataset(corpus.train, corpus.tokens), peer.dataset(corpus.dev, corpus.tokens)
    costs = corpus.data(corpus.dev).costs()
    checks = [items.tolist() for items in cut(costs.argsort(), costs, 100 * entry.seconds)]

    def epochs() -> Iterator[int]:
        while brain.optimizer_step < entry.steps and not (brain.wers and brain.wers[-1] <= target):
            yield len(brain.wers)

    batches = peer.loader(train, peer.batch_sampler(train, entry.seconds, seed))
    brain.fit(epochs(), peer.looped(brain, batches, EVERY), peer.loader(dev, checks))
    return Finish(brain.cpu, brain.optimizer_step, brain.wers)


def race(corpus: Corpus, target: float, seed: int, console: Console) -> None:
    """Run all entries of both sides, one after the other, and print a table."""
    table = Table(title=f"CPU-seconds until {len(corpus.dev)} utterances of held-out speakers are at {target:.0%} WER")
    for column in ("side", "model", "learning rate", "speeds", "steps", "CPU-seconds", "WER there"):
        table.add_column(column, justify="left" if column in ("side", "model") else "right")
    entries = [("ours", entry, run_ours) for entry in OURS] + [("SpeechBrain", entry, run_peer) for entry in PEER]
    for name, entry, run in entries:
        finish = run(corpus, target, entry, seed)
        reached = "" if finish.wers[-1] <= target else " (target not reached)"
        table.add_row(
            name,
            f"{entry.model}, bf16 ({sum(p.numel() for p in new_model(entry.model, corpus).parameters()) / 1e6:.1f} M)",
            f"{entry.learning_rate:g} over {entry.steps} steps",
            ", ".join(f"{speed:g}" for speed in entry.speeds),
            str(finish.steps),
            f"{finish.cpu:.0f}",
            f"{100 * finish.wers[-1]:.1f} %{reached}",
        )
    console.print(table)
