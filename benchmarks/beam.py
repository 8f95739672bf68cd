"""Measures the speed of the beam search for sentences, beside flashlight-text's, in one run.

Made-up lexica as in benchmarks/lexicon.py, spelled in 49 symbols and a space, and trigrams estimated from sentences of
words drawn by a Zipf law. The speech is noise of 25 frames a second in which two and a half words a second were said.
Both sides search with the same settings and language model, and take turns; medians of the rounds are compared. Ours
searches a batch side by side, and once more each utterance alone; the peer takes one after the other. The real-time
factor is processor seconds per second of speech. One thread; seconds are the process's own.

    python benchmarks/beam.py [--rounds 3] [--words 20000] [--beams "[50,100,500]"] [--out FOLDER]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads

import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # run as a script, find our neighbours

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jsonargparse
import numpy as np
import torch

from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.beam import Sentence, SentenceSearch
from asr_transfer.decoding.flashlight import FlashlightSearch
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import AsrTransferError, ConfigError
from asr_transfer.evaluation.scoring import score
from asr_transfer.experiments.core.tables import Table, show
from asr_transfer.runs.record import RunRecord
from benchmarks.above_zero import require_above_zero
from benchmarks.lexicon import PHONES, made_lexicon, measure
from benchmarks.machine import machine
from benchmarks.targets import met

RATE = 25
"""Frames a second."""
SECONDS, UTTERANCES = 8, 16
RATIO = 1.2
"""How many times as long as the peer ours may take."""
BATCH, ALONE, PEER = "ours, a batch", "ours, one by one", "flashlight"
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


@dataclass(frozen=True)
class Searched:
    """How a side searched with a beam.

    Attributes:
        side: name of the side.
        beam: hypotheses that are kept.
        right: share of the words that it found.
        factor: processor seconds per second of speech.
        peer_factor: factor of the peer; None without it.
    """

    side: str
    beam: int
    right: float
    factor: float
    peer_factor: float | None

    @property
    def times(self) -> float | None:
        """Return how many times the peer's time it took; None for the peer itself, or without it."""
        return None if self.side == PEER or self.peer_factor is None else self.factor / self.peer_factor


def race(
    lexicon: Lexicon, tokens: Tokens, model: NgramModel, texts: list[str], beam: int, rounds: int
) -> list[Searched]:
    """Search with a beam, each side in turns, and return how it went."""
    speech = torch.cat([made_speech(text, lexicon, tokens, seed) for seed, text in enumerate(texts)])
    lengths = torch.full((len(texts),), SECONDS * RATE)
    config = SearchConfig(beam=beam, beam_threshold=25.0, lm_weight=LM_WEIGHT)
    ours = SentenceSearch(lexicon, tokens, config, model)
    sides: dict[str, Callable[[], list[list[Sentence]]]] = {
        BATCH: lambda: ours.best_sentences(speech, lengths),
        ALONE: lambda: [
            found
            for one, length in zip(speech, lengths, strict=True)
            for found in ours.best_sentences(one[None], length[None])
        ],
    }
    try:
        theirs = FlashlightSearch(lexicon, tokens, config, model)
        sides[PEER] = lambda: theirs.best_sentences(speech, lengths)
    except ConfigError as error:
        print(error)
    right = {
        side: 1 - score(texts, [" ".join(found[0].words) for found in search()]).words.rate
        for side, search in sides.items()
    }
    seconds = SECONDS * len(texts)
    factors = {side: ms / 1000 / seconds for side, ms in measure(sides, rounds).items()}
    return [Searched(side, beam, right[side], factors[side], factors.get(PEER)) for side in sides]


def searches_table(found: list[Searched], words: int) -> Table:
    """Return what each side took, with the targets.

    Args:
        found: each side with each beam.
        words: number of words in the lexicon.
    """
    lines = []
    for one in found:
        wanted, reached = "", ""
        if one.side == BATCH and one.times is not None:
            wanted, reached = f"≤ {RATIO:g}", met(one.times <= RATIO)
        times = "" if one.times is None else f"{one.times:.2f}"
        lines.append((str(one.beam), one.side, f"{one.right:.0%}", f"{one.factor:.4f}", times, wanted, reached))
    headings = ("beam", "searched by", "right words", "real-time factor", "times flashlight's", "target", "met")
    note = f"{words:,} words, trigrams, {UTTERANCES} utterances of {SECONDS} s; {machine()}."
    return Table(headings, tuple(lines), note=note)


def main(
    rounds: int = 3,
    words: int = 20_000,
    beams: tuple[int, ...] = (50, 100, 500),
    sentences: int = 5000,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Measure and print.

    Args:
        rounds: number of rounds, of which the median is taken.
        words: number of words in the lexicon.
        beams: sizes of the beam.
        sentences: number of sentences that the language model is estimated from.
        out: run folder to write, too.
        overwrite: whether to replace the run that `out` holds.
    """
    require_above_zero(rounds=rounds, words=words, sentences=sentences, beams=min(beams, default=0))
    torch.set_num_threads(1)
    settings = {"rounds": rounds, "words": words, "beams": list(beams), "sentences": sentences}
    try:
        record = None if out is None else RunRecord(out, settings, overwrite=overwrite)
    except AsrTransferError as error:
        raise SystemExit(str(error)) from None
    random = np.random.default_rng(0)
    tokens = Tokens([" ", *(f"v{n}" for n in range(15)), *(f"c{n}" for n in range(PHONES - 15))])
    lexicon = Lexicon.from_pairs(made_lexicon(words))
    listed = list(random.permutation(lexicon.words))
    model = NgramModel.from_texts([made_text(listed, 10, random) for _ in range(sentences)], 3, listed)
    texts = [made_text(listed, round(2.5 * SECONDS), random) for _ in range(UTTERANCES)]
    found = [one for beam in beams for one in race(lexicon, tokens, model, texts, beam, rounds)]
    table = searches_table(found, words)
    show([table])
    if record is not None:
        record.finish(scores={"searches": [asdict(one) for one in found]}, tables={"beams": [table.to_plain()]})


if __name__ == "__main__":
    jsonargparse.auto_cli(main, as_positional=False)
