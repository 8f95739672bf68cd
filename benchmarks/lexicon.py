"""Measures the speed of the exact search for isolated words, beside PyTorch's CTC loss over all entries, in one run.

Made-up lexica of words of 2 to 10 phones: syllables drawn by a Zipf law, so that words share beginnings and endings as
real ones do. The utterance is one second (25 frames of 40 ms, 50 tokens) in which a word of the lexicon was said. Both
sides return the log-likelihood of every entry and take turns, in alternating order; the medians of the rounds are
compared. One thread; seconds are the process's own (`time.process_time`).

    python benchmarks/lexicon.py [--rounds 9] [--sizes "[1000,10000,100000]"]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.lexicon_search import PrefixTree, best_words, score_words
from benchmarks.above_zero import require_above_zero
from benchmarks.targets import met

FRAMES, PHONES, BATCH = 25, 49, 16
LIMITS = {10_000: 10.0, 100_000: 80.0}
"""Milliseconds for an utterance, by the number of words."""
LOADING_LIMIT = 1.0
"""Seconds for the largest file."""
MEMORY_LIMIT = 300
"""MB above what was taken before the search."""
CHUNK = 5000
"""Entries that the peer takes at a time, which bounds its memory."""


def made_lexicon(words: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return words with their phones."""
    random = np.random.default_rng(seed)
    vowels, consonants = [f"v{n}" for n in range(15)], [f"c{n}" for n in range(PHONES - 15)]
    syllables = [
        [*random.choice(consonants, random.integers(0, 3)), random.choice(vowels), *random.choice(consonants, ends)]
        for ends in random.integers(0, 2, 3000)
    ]
    shares = 1 / np.arange(1, len(syllables) + 1) ** 0.7
    found: dict[str, str] = {}
    while len(found) < words:
        for count in random.integers(1, 5, words):
            drawn = random.choice(len(syllables), count, p=shares / shares.sum())
            phones = [str(phone) for n in drawn for phone in syllables[n]]
            if 2 <= len(phones) <= 10:
                found.setdefault(" ".join(phones), f"word{len(found)}")
            if len(found) == words:
                break
    return sorted(((word, phones) for phones, word in found.items()), key=lambda pair: pair[1])


def made_speech(tree: PrefixTree, batch: int, sharpness: float = 8.0, seed: int = 0) -> torch.Tensor:
    """Return (batch, frames, tokens) log-probabilities of noise in which a word of the lexicon was said."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, FRAMES, PHONES + 1, generator=generator)
    for row in range(batch):
        target = tree.targets[int(torch.randint(len(tree.targets), (1,), generator=generator))]
        for n, index in enumerate(target):
            logits[row, round((n + 0.5) * FRAMES / len(target)), index] += sharpness
    logits[:, :, 0] += sharpness / 2
    return logits.log_softmax(-1)


def peer(log_probs: torch.Tensor, tree: PrefixTree) -> torch.Tensor:
    """Score every entry with PyTorch's CTC loss, in chunks."""
    parts = []
    for begin in range(0, len(tree.targets), CHUNK):
        some = tree.targets[begin : begin + CHUNK]
        count = len(some)
        loss = torch.nn.functional.ctc_loss(
            log_probs.double()[:, None].expand(-1, count, -1),
            torch.tensor([index for target in some for index in target]),
            torch.full((count,), len(log_probs)),
            torch.tensor([len(target) for target in some]),
            reduction="none",
        )
        parts.append(-loss)
    return torch.cat(parts)


def measure(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median processor milliseconds of each side."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in sides if turn % 2 else reversed(sides):
            begin = time.process_time()
            sides[name]()
            if turn:  # the first turn warms up
                taken[name].append(1000 * (time.process_time() - begin))
    return {name: statistics.median(values) for name, values in taken.items()}


def growth_mb(work: Callable[[], Any]) -> float | None:
    """Return by how much the process grew at most during `work`; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def loaded(pairs: list[tuple[str, str]], folder: Path) -> tuple[Lexicon, float]:
    """Write a lexicon file, read it back and return it with the processor seconds that reading took."""
    path = folder / "lexicon.txt"
    path.write_text("".join(f"{word}\t{phones}\n" for word, phones in pairs), encoding="utf-8")
    begin = time.process_time()
    lexicon = Lexicon.read(path)
    return lexicon, time.process_time() - begin


def main(rounds: int = 9, sizes: tuple[int, ...] = (1000, 10_000, 100_000)) -> None:
    """Measure and print.

    Args:
        rounds: number of rounds, of which the median is taken.
        sizes: numbers of words.
    """
    require_above_zero(rounds=rounds, sizes=min(sizes, default=0))
    torch.set_num_threads(1)
    tokens = Tokens([*(f"v{n}" for n in range(15)), *(f"c{n}" for n in range(PHONES - 15))], "words")
    length, lengths = torch.tensor([FRAMES]), torch.full((BATCH,), FRAMES)
    print(f"{FRAMES} frames, {len(tokens)} tokens; Python {platform.python_version()}, torch {torch.__version__}")
    table = Table("words", "", "ms", "times ours", "wanted", "met")
    for column in table.columns[2:]:
        column.justify = "right"
    notes = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            lexicon, seconds = loaded(made_lexicon(size), Path(folder))
        begin = time.process_time()
        tree = PrefixTree(lexicon, tokens)
        building = time.process_time() - begin
        speech = made_speech(tree, BATCH)
        memory = growth_mb(lambda tree=tree, speech=speech: score_words(speech[:1], length, tree))  # type: ignore[misc]
        # The peer is timed only if it does the same work.
        torch.testing.assert_close(score_words(speech, lengths, tree)[0], peer(speech[0], tree), rtol=1e-9, atol=0)
        found = measure(
            {
                "score_words": lambda tree=tree, speech=speech: score_words(speech[:1], length, tree),  # type: ignore[misc]
                "best_words, 10 best": lambda tree=tree, speech=speech: best_words(speech[:1], length, tree, 10),  # type: ignore[misc]
                f"score_words, one of {BATCH}": lambda tree=tree, speech=speech: score_words(speech, lengths, tree),  # type: ignore[misc]
                "torch ctc_loss": lambda tree=tree, speech=speech: peer(speech[0], tree),  # type: ignore[misc]
            },
            rounds,
        )
        found[f"score_words, one of {BATCH}"] /= BATCH
        limit = LIMITS.get(size)
        for name, value in found.items():
            ratio = f"{value / found['score_words']:.1f}"
            ruled = limit is not None and not name.startswith("torch")
            wanted = f"< {limit:g}" if ruled else ""
            reached = met(value < (limit or 0), ruled)
            table.add_row(f"{size:,}", name, f"{value:.2f}", ratio, wanted, reached)
        table.add_section()
        notes.append(
            f"{size:,} words: {tree.nodes:,} nodes; file read in {seconds:.2f} s, tree built in {building:.2f} s, "
            f"a search adds {'?' if memory is None else f'{memory:.0f}'} MB "
            f"(wanted: read in < {LOADING_LIMIT:g} s, < {MEMORY_LIMIT} MB; "
            f"met: {met(seconds < LOADING_LIMIT and (memory or 0) < MEMORY_LIMIT)})"
        )
    Console(width=100).print(table)
    print("\n".join(notes))


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
