"""Races training from nothing to word error rates: processor seconds until held-out speakers are heard so well.

Both sides, our `Trainer` and the plain SpeechBrain recipe of `speechbrain_peer.py`, train from initial weights on AN4's
training speakers, in the precision that is faster here, and validate on the same held-out speakers after the same
amount of speech. Each first tries its candidates (lengths of the schedule) with a seed that does not race; the one that
reaches the lowest rate first runs with every seed. A candidate is stopped where a better one was done. The network, the
rate and the schedules to choose from are the same for both; only we have speed copies, which are computed once, where
the peer would have to resample in every step. Validation is not counted, nor are our features, computed once.

    python benchmarks/training_to_wer.py [--an4 DIR] [--targets [15,8]] [--seeds [0,1,2]] [--out DIR]

The run folder's `run.json`, copied to `docs/results`, fills a table of the pages.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonargparse
import speechbrain as sb
import torch

from asr_transfer.config import TrainerConfig
from asr_transfer.data.batching import cut
from asr_transfer.errors import AsrTransferError
from asr_transfer.experiments.core.tables import show
from asr_transfer.runs.record import RunRecord
from asr_transfer.training import criteria
from asr_transfer.training.metrics import ErrorRate
from asr_transfer.training.precision import choose as choose_precision
from asr_transfer.training.streams import Task
from benchmarks import speechbrain_peer as peer
from benchmarks.machine import machine
from benchmarks.paced import PacedTrainer
from benchmarks.race import OURS, PEER, Course, Entry, Tried, fastest, race_table
from benchmarks.training import MODELS, new_model
from benchmarks.training_corpus import Corpus, make_corpus

CHOOSING = 100
"""Seed that candidates are tried with; it does not race."""


def _candidates(speeds: tuple[float, ...]) -> tuple[Entry, ...]:
    return Entry("bilstm", 3e-3, 60, 70, speeds), Entry("bilstm", 3e-3, 60, 140, speeds)


CANDIDATES: Mapping[str, tuple[Entry, ...]] = {OURS: _candidates((0.9, 1.0, 1.1)), PEER: _candidates((1.0,))}
"""What each side chooses from."""


class _Racer(PacedTrainer):
    """The real trainer, which stops at a target or a limit, and keeps its course."""

    target, limit = 0.0, math.inf

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.course = Course()

    def _finished(self) -> bool:
        history = self.progress.history
        if len(history) > len(self.course.points):
            self.course.points.append((self.cpu, self.optimizer_step, history[-1]["wer"]))
        return super()._finished() or (self.step == 0 and self.course.is_over(self.target, self.limit))


class _RacingPeer(peer.Peer):
    """The recipe, which keeps its course."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.course = Course()

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """Score a validation."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == sb.Stage.VALID:
            self.course.points.append((self.cpu, self.optimizer_step, self.wers[-1]))


Run = Callable[[Corpus, Entry, int, float, float], Course]
"""Function from the corpus, an entry, a seed, a target and a limit of processor seconds to how it went."""


def run_ours(corpus: Corpus, entry: Entry, seed: int, target: float, limit: float = math.inf) -> Course:
    """Train with our trainer until a word error rate, or a limit of processor seconds."""
    model = new_model(entry.model, corpus, seed)
    budget = 100 * entry.seconds
    trainer = _Racer(
        model,
        [Task("train", corpus.data(corpus.train, entry.speeds), criteria.ctc, head="en")],
        config=TrainerConfig(
            steps=entry.steps,
            learning_rate=entry.learning_rate,
            batch_budget=budget,
            validate_every=entry.every,
            seed=seed,
            precision=choose_precision(model, batch_budget=budget).precision,
            device="cpu",
        ),
        validation=[
            Task("dev", corpus.data(corpus.dev), criteria.ctc, head="en", metric=lambda: ErrorRate(corpus.tokens))
        ],
        monitor="wer",
        durations=[utterance.duration / speed for utterance in corpus.train for speed in entry.speeds],
    )
    trainer.target, trainer.limit = target, limit
    trainer.train()
    return trainer.course


def run_peer(corpus: Corpus, entry: Entry, seed: int, target: float, limit: float = math.inf) -> Course:
    """Train with the SpeechBrain recipe until a word error rate, or a limit of processor seconds."""
    model = new_model(entry.model, corpus, seed)
    precision = choose_precision(model, batch_budget=100 * entry.seconds).precision
    brain = _RacingPeer(model, peer.PeerSettings(precision, entry.learning_rate, entry.steps), corpus.tokens)
    train, dev = peer.dataset(corpus.train, corpus.tokens), peer.dataset(corpus.dev, corpus.tokens)
    costs = corpus.data(corpus.dev).costs()
    checks = [items.tolist() for items in cut(costs.argsort(), costs, 6000)]

    def epochs() -> Iterator[int]:
        while brain.optimizer_step < entry.steps and not brain.course.is_over(target, limit):
            yield len(brain.wers)

    batches = peer.loader(train, peer.batch_sampler(train, entry.seconds, seed))
    brain.fit(epochs(), peer.looped(brain, batches, entry.every), peer.loader(dev, checks))
    return brain.course


RUNS: Mapping[str, Run] = {OURS: run_ours, PEER: run_peer}


def _say(line: str) -> None:
    """Print a line at once, also into a file."""
    print(line, flush=True)


def try_all(
    corpus: Corpus, candidates: Sequence[Entry], run: Run, target: float, say: Callable[[str], None] = _say
) -> list[Tried]:
    """Run candidates in turn up to a target; who takes longer than the best one so far is stopped there."""
    tried: list[Tried] = []
    for entry in candidates:
        limit = min((one.cpu for one in tried if one.cpu is not None), default=math.inf)
        course = run(corpus, entry, CHOOSING, target, limit)
        reached = course.until(target)
        best = min(wer for _, _, wer in course.points)
        tried.append(Tried(entry, reached[0] if reached else None, course.points[-1][0], best))
        end = f"{reached[0]:.0f} CPU-seconds" if reached else f"stopped at {100 * best:.1f} % WER"
        say(f"  {entry}: {end} after {tried[-1].spent:.0f}")
    return tried


def main(
    an4: Path | None = None,
    targets: tuple[float, ...] = (15, 8),
    seeds: tuple[int, ...] = (0, 1, 2),
    candidates: int = 2,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Try both sides' candidates, race and print.

    Args:
        an4: the AN4 corpus; default `$ASR_TRANSFER_SPEECH/an4` or `../shared/speech/an4`, else generated noise.
        targets: word error rates in per cent, falling.
        seeds: random seeds of the race.
        candidates: number of candidates of each side that are tried.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    if not seeds or not targets or list(targets) != sorted(targets, reverse=True):
        raise SystemExit("--seeds must hold a seed, and --targets word error rates that fall, such as [15,8].")
    if not 0 < candidates <= len(CANDIDATES[OURS]):
        raise SystemExit(f"--candidates {candidates}: give 1 to {len(CANDIDATES[OURS])}.")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    settings = {"targets": list(targets), "seeds": list(seeds), "candidates": candidates}
    try:
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    wers = [target / 100 for target in targets]
    tried: dict[str, list[Tried]] = {}
    with tempfile.TemporaryDirectory() as work:
        corpus = make_corpus(an4, Path(work), MODELS["bilstm"].strides, CANDIDATES[OURS][0].speeds)
        for side, run in RUNS.items():
            _say(f"{side} tries, up to {targets[-1]:g} % WER with the seed {CHOOSING}:")
            tried[side] = try_all(corpus, CANDIDATES[side][:candidates], run, wers[-1])
        entries = {side: fastest(own) for side, own in tried.items()}
        courses: dict[str, list[Course]] = {side: [] for side in RUNS}
        for seed in seeds:
            for side, run in RUNS.items():
                _say(f"seed {seed}, {side}: {entries[side]}")
                courses[side].append(run(corpus, entries[side], seed, wers[-1], math.inf))
        note = (
            f"{corpus.name}, {sum(u.duration for u in corpus.train) / 60:.0f} minutes, heard on {len(corpus.dev)} "
            f"utterances of {len({u.speaker for u in corpus.dev})} speakers who are not trained on; {machine()}."
        )
    table = race_table(courses, entries, wers, note)
    show([table])
    if record is not None:
        scores = {
            "tried": {side: [asdict(one) for one in own] for side, own in tried.items()},
            "courses": {side: [course.points for course in own] for side, own in courses.items()},
        }
        record.finish(scores=scores, tables={"race": [table.to_plain()]})


if __name__ == "__main__":
    jsonargparse.auto_cli(main, as_positional=False)
