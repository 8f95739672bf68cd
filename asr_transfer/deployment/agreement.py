"""Holds a graph against the model that it was made of: at five lengths, and on all of them in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from asr_transfer import audio
from asr_transfer.errors import ModelError

SECONDS = (0.5, 1.2, 2.7, 5.3, 9.1)
TOLERANCE = 1e-3
"""Difference of logarithmic probabilities that float32 in another order of adding can make, relative below -1."""

QUANTISED = 0.1
"""Mean difference of a frame's probabilities, added up over tokens, up to which whole numbers stand for a model."""

Hear = Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]
"""Maps (samples,) recordings to (frames, tokens) logarithmic probabilities of each."""


@dataclass(frozen=True)
class Agreement:
    """How far a graph is from its model.

    Attributes:
        seconds: Lengths of the recordings.
        alone: Greatest difference of a logarithmic probability, relative below -1, for each length alone.
        batch: The same in the batch of all; None where it takes one at a time.
        moved: Mean, over frames, of the differences of probabilities added up over tokens, at most 2.
        best: Share of frames whose likeliest token is the same.
    """

    seconds: Sequence[float]
    alone: Sequence[float]
    batch: float | None
    moved: float
    best: float

    def plain(self) -> dict[str, Any]:
        """Return plain values for `export.json`."""
        return {
            "seconds": list(self.seconds),
            "greatest_difference": [float(f"{value:.2e}") for value in self.alone],
            "greatest_difference_in_batch": None if self.batch is None else float(f"{self.batch:.2e}"),
            "mean_difference_of_probabilities": float(f"{self.moved:.2e}"),
            "same_likeliest_token": round(self.best, 5),
        }

    def line(self, what: str) -> str:
        """Return a sentence on it, about a graph that `what` names."""
        lengths = ", ".join(f"{value:g}" for value in self.seconds)
        batch = "" if self.batch is None else f" and {self.batch:.1e} in a batch of them"
        return (
            f"{what} was held against the model on recordings of noise of {lengths} s: logarithmic probabilities "
            f"differ by at most {max(self.alone):.1e}{batch}, and {100 * self.best:.2f} % of the frames have the same "
            "likeliest token"
        )


def agreement(heard: Hear, truth: Hear, longest: float | None = None, batched: bool = True) -> Agreement:
    """Return how far what a graph hears is from what the model hears.

    Args:
        heard: function that runs the graph.
        truth: function that runs the model.
        longest: seconds that it may hear at once; None for any.
        batched: whether the graph takes several recordings at once.

    Raises:
        ModelError: they do not even hear as many frames.
    """
    recordings = noises([length for length in SECONDS if longest is None or length <= longest])
    alone, moved, best, frames = [], 0.0, 0, 0
    wanted = [truth([one])[0] for one in recordings]
    for recording, right in zip(recordings, wanted, strict=True):
        (found,) = heard([recording])
        alone.append(_difference(found, right))
        moved += float((found.exp() - right.exp()).abs().sum())
        best += int((found.argmax(1) == right.argmax(1)).sum())
        frames += len(right)
    batch = None
    if batched:
        batch = max(_difference(a, b) for a, b in zip(heard(recordings), wanted, strict=True))
    seconds = [len(one) / audio.SAMPLE_RATE for one in recordings]
    return Agreement(seconds, alone, batch, moved / frames, best / frames)


def require_equal(found: Agreement, what: str) -> None:
    """Refuse a graph that hears otherwise than its model.

    Raises:
        ModelError: it does.
    """
    worst = max([*found.alone, found.batch or 0.0])
    if not worst <= TOLERANCE:
        raise ModelError(
            f"{what}: hears otherwise than the model (logarithmic probabilities differ by {worst:.3g}, allowed are "
            f"{TOLERANCE:g}), so nothing was written; export to another target."
        )


def require_close(found: Agreement, what: str) -> None:
    """Refuse a graph of whole numbers that is too far from its model.

    Raises:
        ModelError: it is.
    """
    if not found.moved <= QUANTISED:
        raise ModelError(
            f"{what}: is too far from the model in whole numbers (probabilities of a frame move by {found.moved:.3g}, "
            f"allowed are {QUANTISED:g}), so nothing was written; leave --int8 out."
        )


def noises(seconds: Sequence[float]) -> list[torch.Tensor]:
    """Return recordings of coloured noise without offset that swells and fades as syllables do, always the same."""
    made = []
    for number, length in enumerate(seconds):
        random = np.random.default_rng(number)
        count = round(length * audio.SAMPLE_RATE)
        noise = np.cumsum(random.standard_normal(count)) * 0.02
        noise -= np.linspace(noise[0], noise[-1], count)
        noise = 0.3 * np.diff(noise, prepend=0.0) + 0.01 * random.standard_normal(count)
        swell = 0.55 + 0.45 * np.sin(2 * np.pi * 4.0 * np.arange(count) / audio.SAMPLE_RATE + number)
        wave = noise * swell
        made.append(torch.as_tensor(wave - wave.mean(), dtype=torch.float32))
    return made


def _difference(found: torch.Tensor, right: torch.Tensor) -> float:
    if found.shape != right.shape:
        raise ModelError(
            f"what was written hears {tuple(found.shape)} frames and tokens where the model hears "
            f"{tuple(right.shape)}, so nothing was written; export to another target."
        )
    return float(((found - right).abs() / right.abs().clamp(min=1.0)).max())
