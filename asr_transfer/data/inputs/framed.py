"""Has in common what kinds of features share that are computed in overlapping windows, a frame of each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import torch

from asr_transfer import audio
from asr_transfer.config import Normalisation
from asr_transfer.data.inputs.kind import Inputs
from asr_transfer.data.inputs.vocal_tract import Scale, warp_bands

STD_FLOOR = 0.1
"""Keeps constant bands (band-limited recordings) from being blown up to noise of deviation 1."""

FIXED_MEAN, FIXED_STD = -10.0, 3.5
"""Mean and deviation of log-mel energies over all bands and frames of close-talk recordings (AN4 and FSDD, rounded)."""


@dataclass(frozen=True)
class Framed(Inputs):
    """Features of windows of a recording, and the recording as if it went on mirrored beyond its ends.

    Attributes:
        mels: Number of bands.
        window_ms: Length of a window in milliseconds.
        hop_ms: Step between windows in milliseconds.
        normalisation: Way to normalise, as of `FeatureConfig`.
        mirrored: Sample with which the mirrored ones begin: the last one itself (0), or the one beside it (1).
    """

    mels: int = 80
    window_ms: float = 25.0
    hop_ms: float = 10.0
    normalisation: Normalisation = "utterance-mean"

    mirrored: ClassVar[int] = 0
    scale: ClassVar[Scale] = "htk"

    @property
    def dim(self) -> int:
        """See `Inputs.dim`."""
        return self.mels

    @property
    def shift(self) -> float:
        """See `Inputs.shift`."""
        return self.hop_ms / 1000

    @abstractmethod
    def frames(self, samples: torch.Tensor) -> torch.Tensor:
        """Map (n,) samples, at least one window, to the (1 + (n - window) // hop, mels) frames inside them."""

    def edges(self, count: int) -> tuple[int, int]:
        """Return how many mirrored samples stand before and behind a recording of `count` samples."""
        return 0, 0

    def window_and_hop(self) -> tuple[int, int]:
        """Return both in samples."""
        return round(self.window_ms * audio.SAMPLE_RATE / 1000), round(self.hop_ms * audio.SAMPLE_RATE / 1000)

    def analyse(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Inputs.analyse`."""
        before, behind = self.edges(len(samples))
        return self.frames(self._with_mirrored(samples, before, behind))

    def blocks(self, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """See `Inputs.blocks`."""
        window, hop = self.window_and_hop()
        rest = torch.zeros(0)
        gap = 0  # samples between the last window and the next, where windows do not overlap
        for piece in self._extended(pieces):
            rest = torch.cat([rest, piece]) if len(rest) else piece
            skipped = min(gap, len(rest))
            rest, gap = rest[skipped:], gap - skipped
            if len(rest) >= window:
                block = self.frames(rest)
                yield block
                used = len(block) * hop
                gap = max(0, used - len(rest))
                rest = rest[used:].clone()

    def _extended(self, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield a recording's pieces with the mirrored samples at its ends; of one piece, one piece."""
        before, _ = self.edges(sum(self.window_and_hop()))
        most = 2 * sum(self.window_and_hop())
        rest = iter(pieces)
        head, count = torch.zeros(0), 0
        for piece in rest:
            head = torch.cat([head, piece]) if len(head) else piece
            if len(head) >= most:
                break
        following = next(rest, None)
        if following is None:
            _, behind = self.edges(len(head))
            yield self._with_mirrored(head, before, behind)
            return
        yield self._with_mirrored(head, before, 0)
        tail, count = head[-most:], len(head)
        for piece in chain([following], rest):
            yield piece
            count += len(piece)
            tail = torch.cat([tail, piece])[-most:].clone()
        _, behind = self.edges(count)
        yield self._mirror(tail, behind)

    def _with_mirrored(self, samples: torch.Tensor, before: int, behind: int) -> torch.Tensor:
        if not before and not behind:
            return samples
        return torch.cat([self._mirror(samples, before, True), samples, self._mirror(samples, behind)])

    def _mirror(self, samples: torch.Tensor, count: int, at_the_beginning: bool = False) -> torch.Tensor:
        first = self.mirrored
        if at_the_beginning:
            return samples[first : first + count].flip(0)
        return samples[max(0, len(samples) - first - count) : len(samples) - first].flip(0)

    def statistics(self, blocks: Callable[[], Iterable[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Inputs.statistics`: means and deviations of the bands, over the frames that count.

        Of a single block they are computed as of one, of several a little otherwise in the last bits.
        """
        found = list(_up_to_two(blocks()))
        if len(found) == 1:
            return self._of_one(found[0])
        quietest = -torch.inf
        if self.normalisation == "speech-mean":
            loudness = torch.cat([block.mean(1) for block in blocks()])
            quietest = float((loudness.min() + loudness.max()) / 2)
        count, total = 0, torch.zeros(self.mels, dtype=torch.float64)
        squares = total
        for block in blocks():
            counted = block[block.mean(1) >= quietest].double()
            count, total, squares = count + len(counted), total + counted.sum(0), squares + counted.square().sum(0)
        mean = total / max(count, 1)
        return mean.float(), (squares / max(count, 1) - mean.square()).clamp(min=0).sqrt().float() + STD_FLOOR

    def _of_one(self, block: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.normalisation == "speech-mean":
            loudness = block.mean(1)
            block = block[loudness >= (loudness.min() + loudness.max()) / 2]
        mean = block.mean(0)
        return mean, (block - mean).square_().mean(0).sqrt_() + STD_FLOOR

    def normalise(self, block: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """See `Inputs.normalise`."""
        if self.normalisation == "fixed":
            return (block - FIXED_MEAN) / FIXED_STD
        if self.normalisation == "none":
            return block
        return (block - first) / second if self.normalisation == "utterance" else block - first

    def warped(self, inputs: torch.Tensor, lengths: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """See `Inputs.warped`.

        A mean of each band moves with the band. Where each has a deviation of 1 too, a warped one, a mixture of two,
        has less, and is given what the two have.
        """
        factors = factor.reshape(1)
        found = warp_bands(inputs, factors, self.band, self.scale)
        if self.normalisation != "utterance":
            return found
        valid = (torch.arange(inputs.shape[1], device=inputs.device) < lengths[:, None])[:, :, None]
        wanted = warp_bands(_deviations(inputs, valid), factors, self.band, self.scale)
        scaled = found * (wanted / _deviations(found, valid).clamp(min=1e-5))
        return torch.where(factor == 1, inputs, scaled)


def _deviations(inputs: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return the (batch, 1, dim) deviations of the bands over (batch, time, 1) valid frames."""
    count = valid.sum(1, keepdim=True).clamp(min=1)
    centred = (inputs - (inputs * valid).sum(1, keepdim=True) / count) * valid
    return (centred.square().sum(1, keepdim=True) / count).sqrt()


def _up_to_two(blocks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    for number, block in enumerate(blocks):
        yield block
        if number:
            break
