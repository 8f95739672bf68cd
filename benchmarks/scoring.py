"""Measures the speed of scoring and of significance, beside jiwer's and kaldialign's, in one run.

3,000 utterances of 52,000 words with about a tenth of them wrong. Every side gets the same texts and takes turns, in
alternating order, so that a machine whose speed drifts slows all of them alike; the medians of the rounds are compared.
Seconds are the process's own (`time.process_time`) on one thread. Ours counts every utterance and keeps the alignment,
jiwer sums up and keeps it, kaldialign only counts. The memory of each side's last result is freed outside of its clock.

    python benchmarks/scoring.py [--rounds 9]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import gc
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import jiwer
import jsonargparse
import numpy as np
from rich.console import Console
from rich.table import Table

from asr_transfer.evaluation.scoring import Hypothesis, align, score
from asr_transfer.evaluation.significance import change, mapsswe
from benchmarks.above_zero import require_above_zero
from benchmarks.targets import met

try:
    import kaldialign
except ImportError:  # a development dependency
    kaldialign = None

UTTERANCES, WORDS, VOCABULARY, SPEAKERS = 3000, 52_000, 6000, 40
SCORING_LIMIT = 1.3
"""Times jiwer's own time."""


def texts(seed: int = 0, wrong: float = 0.1) -> tuple[list[str], list[str], list[str]]:
    """Return references and two systems' hypotheses."""
    random = np.random.default_rng(seed)
    spellings = ["".join(random.choice(list("aeioulmnrst"), random.integers(2, 9))) for _ in range(VOCABULARY)]
    cuts = np.sort(random.choice(np.arange(1, WORDS), UTTERANCES - 1, replace=False))
    lengths = np.diff(np.concatenate([[0], cuts, [WORDS]]))
    references = [[spellings[int(n)] for n in random.zipf(1.3, size) % VOCABULARY] for size in lengths]

    def recognised(words: list[str]) -> str:
        result = []
        for word, luck in zip(words, random.random(len(words)), strict=True):
            if luck < 0.6 * wrong:
                result.append(spellings[random.integers(VOCABULARY)])
            elif luck >= 0.8 * wrong:
                result.append(word)
            if luck > 1 - 0.2 * wrong:
                result.append(spellings[random.integers(VOCABULARY)])
        return " ".join(result)

    first, second = ([recognised(words) for words in references] for _ in range(2))
    return [" ".join(words) for words in references], first, second


def measure(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median processor seconds of each side."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in sides if turn % 2 else reversed(sides):
            gc.collect()
            begin = time.process_time()
            kept = sides[name]()
            taken = time.process_time() - begin
            del kept
            if turn:  # the first turn warms up
                seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main(rounds: int = 9) -> None:
    """Measure and print.

    Args:
        rounds: number of rounds, of which the median is taken.
    """
    require_above_zero(rounds=rounds)
    references, first, second = texts()
    speakers = [f"s{n % SPEAKERS}" for n in range(UTTERANCES)]
    rows = [
        [Hypothesis(str(n), speakers[n], "", r, h) for n, (r, h) in enumerate(zip(references, side, strict=True))]
        for side in (first, second)
    ]
    one, two = align(rows[0]), align(rows[1])
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jiwer", "numpy"))
    print(f"{UTTERANCES} utterances, {one.counts().reference} words, WER {100 * one.counts().rate:.1f} %, ", end="")
    print(f"{SPEAKERS} speakers; Python {platform.python_version()}, {versions}")

    def peer() -> int:
        return sum(
            kaldialign.edit_distance(r.split(), h.split())["total"] for r, h in zip(references, first, strict=True)
        )

    # The peer is timed only if it does the same work.
    assert jiwer.process_words(references, first).wer == one.counts().rate
    words: dict[str, Callable[[], Any]] = {
        "jiwer.process_words": lambda: jiwer.process_words(references, first),
        "ours: align, counts per utterance": lambda: align(rows[0]),
        "ours: align under 'basic'": lambda: align(rows[0], profile="basic"),
    }
    if kaldialign is None:
        print("kaldialign is not installed (pip install kaldialign): left out")
    else:
        assert peer() == one.counts().errors
        words["kaldialign.edit_distance"] = peer
    both: dict[str, Callable[[], Any]] = {
        "jiwer: words and characters": lambda: (
            jiwer.process_words(references, first),
            jiwer.process_characters(references, first),
        ),
        "ours: score, WER and CER": lambda: score(references, first),
    }
    tests: dict[str, Callable[[], Any]] = {
        f"difference over {SPEAKERS} speakers": lambda: change(one.errors, two.errors, one.reference, speakers),
        f"difference over {UTTERANCES:,} utterances": lambda: change(one.errors, two.errors, one.reference),
        "MAPSSWE": lambda: mapsswe(one, two),
    }
    table = Table("", "seconds", "times jiwer's", "wanted", "met")
    for column in table.columns[1:]:
        column.justify = "right"
    for sides in (words, both):
        found = measure(sides, rounds)
        own = next(iter(found.values()))
        for name, value in found.items():
            ratio = value / own
            target = f"≤ {SCORING_LIMIT}" if name.startswith("ours") else ""
            table.add_row(name, f"{value:.3f}", f"{ratio:.2f}", target, met(ratio <= SCORING_LIMIT, bool(target)))
        table.add_section()
    for name, value in measure(tests, rounds).items():
        table.add_row(name, f"{value:.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
