"""Measures the speed of the beam search for sentences, beside flashlight-text's, in one run.

Made-up lexica as in benchmarks/lexicon.py, spelled in 49 symbols and a space, and trigrams estimated from sentences of
words drawn by a Zipf law. The speech is noise of 25 frames a second in which two and a half words a second were said.
Both sides search with the same settings and language model, and take turns; medians of the rounds are compared. The
real-time factor is processor seconds per second of speech. One thread; seconds are the process's own.

    python benchmarks/beam.py [--rounds 3] [--words 20000] [--beams "[50,100,500]"]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

import platform
import time
from collections.abc import Callable
from typing import Any

import jsonargparse
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import SentenceSearch
from asr_transfer.decoding.flashlight import FlashlightSearch
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.scoring import score
from benchmarks.lexicon import PHONES, made_lexicon, measure
from benchmarks.targets import met

RATE = 25
"""Frames a second."""
SECONDS, UTTERANCES = 8, 4
LIMIT, RATIO = 0.02, 2.0
"""The real-time factor at a beam of 100, and how much longer than the peer ours may take."""
LM_WEIGHT = 0.7


def made_text(words: list[str], count: int, random: np.random.Generator) -> str:
    """Return a text in which the n-th word is drawn with a share of 1/n."""
    bounds = np.cumsum(1 / np.arange(1, len(words) + 1))
    return " ".join(words[n] for n in np.searchsorted(bounds, bounds[-1] * random.random(count)))


def made_speech(text: str, lexicon: Lexicon, tokens: Tokens, seed: int, sharpness: float = 8.0) -> torch.Tensor:
    """Return (1, frames, tokens) log-probabilities of noise in which the text was said."""
    generator = torch.Generator().manual_seed(seed)
    phones = {entry.word: entry.phones for entry in lexicon}
    said = [symbol for n, word in enumerate(text.split()) for symbol in ([" "] if n else []) + [*phones[word]]]
    frames = SECONDS * RATE
    logits = 2 * torch.randn(1, frames, len(tokens), generator=generator)
    for n, symbol in enumerate(said):
        logits[0, round((n + 0.5) * (frames - 1) / len(said)), tokens.symbols.index(symbol)] += sharpness
    logits[:, :, 0] += sharpness / 2
    return logits.log_softmax(-1)


def main(rounds: int = 3, words: int = 20_000, beams: tuple[int, ...] = (50, 100, 500), sentences: int = 5000) -> None:
    """Measure and print.

    Args:
        rounds: number of rounds, of which the median is taken.
        words: number of words in the lexicon.
        beams: sizes of the beam.
        sentences: number of sentences that the language model is estimated from.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    tokens = Tokens([" ", *(f"v{n}" for n in range(15)), *(f"c{n}" for n in range(PHONES - 15))])
    lexicon = Lexicon.from_pairs(made_lexicon(words))
    listed = list(random.permutation(lexicon.words))
    begin = time.process_time()
    model = NgramModel.from_texts([made_text(listed, 10, random) for _ in range(sentences)], 3, listed)
    print(f"{words:,} words, trigrams of {sentences:,} sentences estimated in {time.process_time() - begin:.1f} s")
    print(f"Python {platform.python_version()}, torch {torch.__version__}")
    texts = [made_text(listed, round(2.5 * SECONDS), random) for _ in range(UTTERANCES)]
    speech = [made_speech(text, lexicon, tokens, seed) for seed, text in enumerate(texts)]
    length = torch.tensor([SECONDS * RATE])
    table = Table("beam", "", "right words", "real-time factor", "times ours", "wanted", "met")
    for column in table.columns[2:6]:
        column.justify = "right"
    for beam in beams:
        config = SearchConfig(beam=beam, beam_threshold=25.0, lm_weight=LM_WEIGHT)
        searches: dict[str, Any] = {"ours": SentenceSearch(lexicon, tokens, config, model)}
        try:
            searches["flashlight"] = FlashlightSearch(lexicon, tokens, config, model)
        except ConfigError as error:
            print(error)
        right: dict[str, str] = {}
        sides: dict[str, Callable[[], Any]] = {}
        for name, search in searches.items():
            found = [search.best_sentences(one, length)[0][0].words for one in speech]
            counts = score(texts, [" ".join(one) for one in found]).words
            right[name] = f"{1 - counts.rate:.0%}"
            sides[name] = lambda search=search: [search.best_sentences(one, length) for one in speech]  # type: ignore[misc]
        factors = {name: ms / 1000 / SECONDS / UTTERANCES for name, ms in measure(sides, rounds).items()}
        for name, factor in factors.items():
            ratio = factor / factors["ours"]
            wanted, told = "", ""
            if name == "ours" and beam == 100:
                wanted, told = f"< {LIMIT:g}", met(factor < LIMIT)
            elif name != "ours":
                wanted, told = f"> {1 / RATIO:g}", met(ratio > 1 / RATIO)
            table.add_row(str(beam), name, right[name], f"{factor:.4f}", f"{ratio:.2f}", wanted, told)
        table.add_section()
    Console(width=100).print(table)


if __name__ == "__main__":
    jsonargparse.auto_cli(main)
