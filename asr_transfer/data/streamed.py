"""Log-mels of recordings of any length: written a piece at a time, never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np
import torch

from asr_transfer.config import FeatureConfig
from asr_transfer.data.mels import STD_FLOOR, log_mel, mean_and_deviation, window_and_hop

AT_ONCE = 6000
"""Frames of a long recording that are read back at once."""


def write_log_mels(
    out: BinaryIO, pieces: Iterable[np.ndarray], config: FeatureConfig
) -> tuple[int, tuple[torch.Tensor, torch.Tensor]]:
    """Write the frames of a recording that comes in pieces, and return their number, means and deviations.

    Of a recording in one piece both are to the bit those of its log-mels; otherwise the statistics are those of the
    frames as they were written, in float16.
    """
    begin, length = out.tell(), 0
    block = torch.zeros(0, config.mels)
    for block in log_mel_blocks(map(torch.from_numpy, pieces), config):
        out.write(block.to(torch.float16).numpy().tobytes())
        length += len(block)
    if length == len(block) > 0:
        return length, mean_and_deviation(block, config)

    def written() -> Iterator[torch.Tensor]:
        out.seek(begin)
        for first in range(0, length, AT_ONCE):
            frames = np.frombuffer(out.read(2 * config.mels * min(AT_ONCE, length - first)), np.float16)
            yield torch.from_numpy(frames.reshape(-1, config.mels).astype(np.float32))

    return length, mean_and_deviation_of(written, config)


def log_mel_blocks(pieces: Iterable[torch.Tensor], config: FeatureConfig) -> Iterator[torch.Tensor]:
    """Yield what `log_mel` returns of consecutive pieces of a recording as one, in pieces of at least a frame."""
    window, hop = window_and_hop(config)
    rest = torch.zeros(0)
    gap = 0  # samples between the last window and the next, where windows do not overlap
    for piece in pieces:
        rest = torch.cat([rest, piece]) if len(rest) else piece
        skipped = min(gap, len(rest))
        rest, gap = rest[skipped:], gap - skipped
        if len(rest) >= window:
            block = log_mel(rest, config)
            yield block
            used = len(block) * hop
            gap = max(0, used - len(rest))
            rest = rest[used:].clone()


def mean_and_deviation_of(
    blocks: Callable[[], Iterable[torch.Tensor]], config: FeatureConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `mean_and_deviation` does, to rounding, of consecutive blocks that are never held together.

    Args:
        blocks: begins the (frames, mels) blocks of a recording anew at every call.
        config: how they are normalised.
    """
    quietest = -torch.inf
    if config.normalisation == "speech-mean":
        loudness = torch.cat([block.mean(1) for block in blocks()])
        quietest = float((loudness.min() + loudness.max()) / 2)
    count, total = 0, torch.zeros(config.mels, dtype=torch.float64)
    squares = total
    for block in blocks():
        counted = block[block.mean(1) >= quietest].double()
        count, total, squares = count + len(counted), total + counted.sum(0), squares + counted.square().sum(0)
    mean = total / max(count, 1)
    return mean.float(), (squares / max(count, 1) - mean.square()).clamp(min=0).sqrt().float() + STD_FLOOR
