"""Writes the inputs of recordings of any length a piece at a time, so that they are never held whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import torch

from asr_transfer.data.inputs import Inputs

AT_ONCE = 6000
"""Units of cost of a long recording that are read back at once: frames, or hundredths of a second of a waveform."""


def write_inputs(
    out: BinaryIO, pieces: Iterable[np.ndarray], inputs: Inputs
) -> tuple[int, tuple[torch.Tensor, torch.Tensor]]:
    """Write a recording that comes in pieces, not normalised, and return its time steps and statistics.

    Of a recording in one piece the statistics are to the bit those of `Inputs.compute`; otherwise those of the numbers
    as they were written.
    """
    begin, length = out.tell(), 0
    kept = torch.from_numpy(np.empty(0, inputs.dtype)).dtype
    block = torch.zeros(0, inputs.dim)
    for block in inputs.blocks(map(torch.from_numpy, pieces)):
        out.write(block.to(kept).contiguous().numpy().data)
        length += len(block)
    if length == len(block) > 0:
        only = block
        return length, inputs.statistics(lambda: [only])
    size = np.dtype(inputs.dtype).itemsize * inputs.dim
    at_once = min(AT_ONCE * inputs.step, -(-length // 2))  # at least two blocks, for one is taken for all at once

    def written() -> Iterator[torch.Tensor]:
        out.seek(begin)
        for first in range(0, length, at_once):
            part = np.frombuffer(out.read(size * min(at_once, length - first)), inputs.dtype)
            yield torch.from_numpy(part.reshape(-1, inputs.dim).astype(np.float32))

    return length, inputs.statistics(written)
