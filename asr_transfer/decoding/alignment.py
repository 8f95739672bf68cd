"""Finds the best CTC alignment of a known token sequence with the frames of an utterance."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from asr_transfer.data.tokens import Tokens


@dataclass(frozen=True)
class Segment:
    """A token and the frames that it takes, the last one not included."""

    token: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.token} {self.start}–{self.end}"


def best_path(log_probs: torch.Tensor, target: list[int]) -> list[int]:
    """Return the token of each frame on the most probable alignment of `target` (Viterbi).

    Args:
        log_probs: (frames, tokens), at least one frame.
        target: token indices, at least one; no more than there are frames for.
    """
    states = np.zeros(2 * len(target) + 1, dtype=np.int64)
    states[1::2] = target
    emitted = log_probs.double().cpu().numpy()[:, states]
    skips = np.zeros(len(states), dtype=bool)
    skips[2:] = (states[2:] != 0) & (states[2:] != states[:-2])
    score = np.full(len(states), -np.inf)
    score[:2] = emitted[0, :2]
    steps = np.zeros(emitted.shape, dtype=np.int64)
    for t in range(1, len(emitted)):
        one = np.concatenate([[-np.inf], score[:-1]])
        two = np.where(skips, np.concatenate([[-np.inf, -np.inf], score[:-2]]), -np.inf)
        ways = np.stack([score, one, two])
        steps[t] = ways.argmax(0)
        score = ways.max(0) + emitted[t]
    state = len(states) - 1 - int(score[-2] > score[-1])
    path = []
    for t in reversed(range(len(emitted))):
        path.append(int(states[state]))
        state -= int(steps[t, state])
    return path[::-1]


def segments(tokens: Tokens, path: list[int]) -> list[Segment]:
    """Return the runs of equal tokens of a path, blanks left out."""
    found, start = [], 0
    for index, run in itertools.groupby(path):
        end = start + len(list(run))
        if index:
            found.append(Segment(tokens.symbols[index], start, end))
        start = end
    return found
