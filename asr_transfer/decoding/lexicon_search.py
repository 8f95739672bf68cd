"""Searches exactly for isolated words: the CTC likelihood of every entry of a lexicon, without a beam.

Probabilities are divided by each frame's highest one and kept in float64, which is exact as long as an entry lies less
than some 600 nats below the best free path. What lies lower is computed anew in the log domain by PyTorch's CTC loss,
so that no entry is lost: `score_words` does so for all of them, `best_words` for those that can matter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from asr_transfer.decoding.alignment import Segment, best_path, segments
from asr_transfer.decoding.lexicon_tree import PrefixTree, likelihoods
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.orthography import listed_word

__all__ = [
    "Candidate",
    "Explanation",
    "PrefixTree",
    "Rejection",
    "Segment",
    "best_words",
    "calibrate",
    "explain",
    "free_score",
    "score_words",
]

WORKING_BYTES = 16 * 2**20
"""About the memory that one part of a batch may take; a single utterance may need more."""
SLACK = 25.0
"""Nats above the smallest numbers of float64 from which a sum is trusted: a relative error of e^-25 at most."""
NEGLIGIBLE = 60.0
"""Nats below the best word at which `best_words` need not know an entry's score."""


class Candidate(NamedTuple):
    """A word of an n-best list.

    Attributes:
        word: word of the lexicon.
        posterior: its share of the likelihood of the whole lexicon.
        score: log-likelihood, weights included, its pronunciations summed.
    """

    word: str
    posterior: float
    score: float


@torch.no_grad()
def score_words(log_probs: torch.Tensor, lengths: torch.Tensor, tree: PrefixTree) -> torch.Tensor:
    """Return the exact log-likelihood of every entry, plus its weight.

    Args:
        log_probs: (batch, frames, tokens) natural logarithms; frames behind an utterance's end are not read.
        lengths: (batch,) valid frames.
        tree: prefix tree of the lexicon.

    Returns:
        (batch, entries) float64 in the order of the lexicon; -inf for an entry that needs more frames than there are.

    Raises:
        ModelError: the log-probabilities are not those of the tree's tokens, or hold not-a-number.
    """
    parts = []
    for part in _parts(log_probs, lengths, tree):
        part.compute_anew(part.doubtful)
        parts.append(part.scores)
    return torch.cat(parts) if parts else torch.zeros(0, len(tree.lexicon), dtype=torch.float64)


@torch.no_grad()
def best_words(log_probs: torch.Tensor, lengths: torch.Tensor, tree: PrefixTree, n: int = 1) -> list[list[Candidate]]:
    """Return the `n` best words of each utterance, best first; arguments and errors as of `score_words`.

    The posterior is p(word) / Σ p(all words), where a word's likelihood sums over its pronunciations. Words that need
    more frames than the utterance has are left out, so that a list may be short or empty.

    Raises:
        ConfigError: `n` is not at least 1.
    """
    if n < 1:
        raise ConfigError(f"the number of best words must be at least 1, got {n}.")
    found: list[list[Candidate]] = []
    for part in _parts(log_probs, lengths, tree):
        words = tree.word_scores(part.scores)
        count = min(n, words.shape[1])
        top = words.topk(count)
        limit = torch.minimum(top.values[:, -1], top.values[:, 0] - NEGLIGIBLE)
        missing = part.doubtful & (part.floor + tree.weights.to(part.floor.device) >= limit[:, None])
        if missing.any():
            part.compute_anew(missing)
            words = tree.word_scores(part.scores)
            top = words.topk(count)
        posteriors = (top.values - words.logsumexp(1, keepdim=True)).exp()
        for rows in zip(top.indices.tolist(), posteriors.tolist(), top.values.tolist(), strict=True):
            candidates = (Candidate(tree.words[w], p, score) for w, p, score in zip(*rows, strict=True))
            found.append([candidate for candidate in candidates if candidate.score > -math.inf])
    return found


def free_score(log_probs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of the best path through all tokens, words or not: (batch,).

    The best word's score less this one, divided by the frames, says how well the lexicon explains the utterance.
    """
    best = log_probs.double().amax(2)
    return best.masked_fill(_padding(log_probs, lengths), 0.0).sum(1)


@dataclass(frozen=True)
class Rejection:
    """A threshold for margins, and what it does to the margins that it was chosen on.

    Attributes:
        threshold: margin from which on an utterance is taken for a word of the lexicon.
        false_rejection: share of the lexicon's words that are refused.
        false_acceptance: share of the other words that are taken.
    """

    threshold: float
    false_rejection: float
    false_acceptance: float


def calibrate(
    in_lexicon_margins: Sequence[float], out_margins: Sequence[float], false_rejection: float = 0.05
) -> Rejection:
    """Choose the threshold that takes the fewest foreign words while it refuses at most a share of the own.

    Args:
        in_lexicon_margins: (best word's score - free score) / frames of utterances whose word is in the lexicon.
        out_margins: the same of utterances whose word is not.
        false_rejection: the share of the former that may be refused.

    Returns:
        The threshold, in the middle of the gap between the margins around it. Of equally good ones, the one that
        refuses fewest.

    Raises:
        DataError: one of the two is empty or holds not-a-number.
    """
    own, foreign = np.sort(np.asarray(in_lexicon_margins, float)), np.sort(np.asarray(out_margins, float))
    if not len(own) or not len(foreign) or np.isnan(own).any() or np.isnan(foreign).any():
        raise DataError(
            "a threshold needs margins (numbers) of words inside and outside of the lexicon; "
            "give utterances of both kinds."
        )
    values = np.unique(np.concatenate([own, foreign]))
    # A threshold at or above each value but above its predecessor makes the same decisions.
    between = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    refused = np.searchsorted(own, between) / len(own)
    taken = (len(foreign) - np.searchsorted(foreign, between)) / len(foreign)
    allowed = np.flatnonzero(refused <= false_rejection)
    best = min(allowed, key=lambda n: (taken[n], refused[n]))
    return Rejection(float(between[best]), float(refused[best]), float(taken[best]))


@dataclass
class _Part:
    """Scores of some utterances of a batch.

    Attributes:
        log_probs: (batch, frames, tokens) float64.
        lengths: (batch,).
        tree: prefix tree of the lexicon.
        scores: (batch, entries); -inf where doubtful.
        doubtful: (batch, entries) possible entries that lie below `floor`.
        floor: (batch, entries) what float64 reaches down to, weights not included.
    """

    log_probs: torch.Tensor
    lengths: torch.Tensor
    tree: PrefixTree
    scores: torch.Tensor
    doubtful: torch.Tensor
    floor: torch.Tensor

    def compute_anew(self, wanted: torch.Tensor) -> None:
        """Score the `wanted` (batch, entries) in the log domain."""
        for row in wanted.any(1).nonzero().flatten().tolist():
            frames = int(self.lengths[row])
            log_probs = self.log_probs[row, :frames].cpu()
            entries = wanted[row].nonzero().flatten().cpu()
            states = 2 * int(self.tree.symbols[entries].max()) + 1
            for some in torch.split(entries, max(1, WORKING_BYTES // (8 * frames * states))):
                found = _ctc(log_probs, [self.tree.targets[entry] for entry in some.tolist()])
                self.scores[row, some] = (found + self.tree.weights[some]).to(self.scores.device)


def _ctc(log_probs: torch.Tensor, targets: list[list[int]]) -> torch.Tensor:
    frames, count = len(log_probs), len(targets)
    losses = torch.nn.functional.ctc_loss(
        log_probs[:, None].expand(-1, count, -1),
        torch.tensor([index for target in targets for index in target]),
        torch.full((count,), frames),
        torch.tensor([len(target) for target in targets]),
        reduction="none",
    )
    return -losses


def _padding(log_probs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return torch.arange(log_probs.shape[1], device=log_probs.device) >= lengths.to(log_probs.device)[:, None]


def _parts(log_probs: torch.Tensor, lengths: torch.Tensor, tree: PrefixTree) -> Iterator[_Part]:
    """Score a batch in parts that keep to the working memory."""
    if log_probs.dim() != 3 or log_probs.shape[2] != len(tree.tokens):
        raise ModelError(
            f"the model's output has the shape {tuple(log_probs.shape)}, but the lexicon is spelled in "
            f"{len(tree.tokens)} tokens; use the model's own tokens."
        )
    padding = _padding(log_probs, lengths)
    if not (log_probs < math.inf).masked_fill(padding[:, :, None], True).all():  # not-a-number is not below either
        raise ModelError(
            "the model's output holds not-a-number or infinite values; the model is damaged, train it again."
        )
    frames = log_probs.shape[1]
    each = 8 * (2 * frames * (len(tree.first) + log_probs.shape[2]) + 5 * tree.nodes + 6 * len(tree.starts))
    size = max(1, WORKING_BYTES // each)
    split = (torch.split(tensor, size) for tensor in (log_probs, padding, lengths))
    for some, hidden, count in zip(*split, strict=True):
        yield _score(some.double(), hidden, count.to(log_probs.device), tree)


def _score(log_probs: torch.Tensor, padding: torch.Tensor, lengths: torch.Tensor, tree: PrefixTree) -> _Part:
    batch, frames, tokens = log_probs.shape
    device = log_probs.device
    best = log_probs.amax(2).masked_fill(padding, 0.0)
    best = best.masked_fill(best == -math.inf, 0.0)
    probs = log_probs.new_zeros(frames, batch, tokens + 1)  # the last one is the roots' symbol
    torch.exp((log_probs - best[:, :, None]).transpose(0, 1), out=probs[:, :, :tokens])
    # Behind an utterance's end comes nothing but blanks, at no cost: its end is the batch's end.
    probs.masked_fill_(padding.t()[:, :, None], 0.0)
    probs[:, :, 0].masked_fill_(padding.t(), 1.0)
    scaled = likelihoods(probs, tree).log()
    scale = best.sum(1, keepdim=True)
    needed, symbols = tree.frames_needed.to(device), tree.symbols.to(device)
    floor = _floor(lengths, int(symbols.max()))[:, symbols]
    # Overflow is infinite or not-a-number; comparing with the latter is false.
    trusted = (scaled > floor) & (scaled < math.inf)
    doubtful = ~trusted & (needed <= lengths[:, None])
    scores = (scaled + scale + tree.weights.to(device)).masked_fill_(~trusted, -math.inf)
    return _Part(log_probs, lengths, tree, scores, doubtful, floor + scale)


def _floor(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """Return the scaled log-likelihood from which entries of 0 … `longest` symbols are exact: (batch, longest + 1).

    Each of about 6·symbols·frames operations may lose at most the smallest number of float64 and passes on what it
    lost over at most all alignments, which are binomial(frames + symbols, 2·symbols) many.
    """
    frames = lengths.double()[:, None]
    symbols = torch.arange(longest + 1, dtype=torch.float64, device=lengths.device)
    paths = (
        (frames + symbols + 1).lgamma() - (2 * symbols + 1).lgamma() - (frames - symbols).clamp_min(0).add(1).lgamma()
    )
    operations = (6 * symbols.clamp_min(1) * frames.clamp_min(1)).log()
    return math.log(torch.finfo(torch.float64).tiny) + operations + paths + SLACK


@dataclass(frozen=True)
class Explanation:
    """Why a word was found, or was not, in an utterance.

    Attributes:
        word: word that was asked for.
        rank: 1 for the best word.
        words: number of words in the lexicon.
        score: score as in `best_words`.
        margin: (score - free score) / frames.
        pronunciation: phones of the word's best entry.
        path: best alignment of that entry; empty if it needs more frames than there are.
        heard: phones of the greedy hypothesis.
        edits: (phone of the pronunciation, phone heard), None for none.
        better: words that beat it, best first.
    """

    word: str
    rank: int
    words: int
    score: float
    margin: float
    pronunciation: tuple[str, ...]
    path: list[Segment]
    heard: list[Segment]
    edits: list[tuple[str | None, str | None]]
    better: list[Candidate]

    def __str__(self) -> str:
        compared = " ".join(a if a == b and a else f"{a or '·'}→{b or '·'}" for a, b in self.edits)
        lines = [
            f"'{self.word}': rank {self.rank:,} of {self.words:,}, log-likelihood {self.score:.2f}, "
            f"{self.margin:+.2f} nats per frame against the best free path",
            f"  pronounced  {' '.join(self.pronunciation)}",
            f"  best path   {', '.join(map(str, self.path)) or 'none: it needs more frames'}",
            f"  recognised  {', '.join(map(str, self.heard)) or 'nothing'}",
            f"  compared    {compared}",
        ]
        if self.better:
            listed = ", ".join(f"'{word}' {score:.2f} ({posterior:.1%})" for word, posterior, score in self.better)
            lines.append(f"  beaten by   {listed}")
        return "\n".join(lines)


@torch.no_grad()
def explain(log_probs: torch.Tensor, word: str, tree: PrefixTree, shown: int = 5) -> Explanation:
    """Explain how `word` fares in an utterance.

    Args:
        log_probs: (frames, tokens) of the utterance, without padding; at least one frame.
        word: word of the lexicon.
        tree: prefix tree of the lexicon.
        shown: number of words that beat it to list.

    Raises:
        DataError: the lexicon does not hold the word.
        ModelError: as of `score_words`.
    """
    word = listed_word(word)
    if word not in tree.words:
        close = process.extractOne(word, tree.words, score_cutoff=50)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(f"{tree.lexicon.source}: does not hold the word {word!r}; add it or ask for another.{hint}")
    length = torch.tensor([len(log_probs)])
    scores = score_words(log_probs[None], length, tree)
    words = tree.word_scores(scores)
    score = words[0, tree.words.index(word)]
    rank = 1 + int((words[0] > score).sum())
    margin = (score - free_score(log_probs[None], length)[0]) / max(1, len(log_probs))
    entry = max((n for n, e in enumerate(tree.lexicon) if e.word == word), key=lambda n: float(scores[0, n]))
    pronunciation = tree.lexicon[entry].phones
    heard = segments(tree.tokens, log_probs.argmax(1).tolist())
    spoken = [segment.token for segment in heard]
    better = best_words(log_probs[None], length, tree, min(shown, rank - 1))[0] if rank > 1 and shown > 0 else []
    possible = bool(scores[0, entry] > -math.inf)
    return Explanation(
        word=word,
        rank=rank,
        words=len(tree.words),
        score=float(score),
        margin=float(margin),
        pronunciation=pronunciation,
        path=segments(tree.tokens, best_path(log_probs, tree.targets[entry])) if possible else [],
        heard=heard,
        edits=_edits([tree.tokens.symbols[index] for index in tree.targets[entry]], spoken),
        better=better,
    )


def _edits(expected: list[str], heard: list[str]) -> list[tuple[str | None, str | None]]:
    pairs: list[tuple[str | None, str | None]] = []
    for step in Levenshtein.opcodes(expected, heard):
        sides = expected[step.src_start : step.src_end], heard[step.dest_start : step.dest_end]
        pairs.extend(itertools.zip_longest(*sides))
    return pairs
