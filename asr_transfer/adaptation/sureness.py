"""Says how sure a model is of what it hears, and where transcripts are read how likely they are under it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import functional

from asr_transfer.decoding.recogniser import Frames


def weigh(read: bool, frames: Frames) -> Iterable[tuple[float, float, int]]:
    """Return the evidence of each utterance, the model's sureness, and the number of its frames.

    Sureness is the negative entropy of the frames in nats, summed; the evidence is that, and where transcripts are read
    their log-likelihood by CTC added.

    Args:
        read: whether the transcripts are read.
        frames: outputs of the model for a batch.
    """
    chances = frames.logits.float().log_softmax(-1)
    certain = (chances.exp() * chances).sum(-1)
    valid = torch.arange(certain.shape[1], device=certain.device) < frames.lengths[:, None]
    sureness = (certain * valid).sum(1)
    nats = sureness - _ctc(chances, frames) if read else sureness
    return zip(nats.tolist(), sureness.tolist(), frames.lengths.tolist(), strict=True)


def _ctc(chances: torch.Tensor, frames: Frames) -> torch.Tensor:
    assert frames.batch.target_lengths is not None
    targets, counts = (part.to(chances.device) for part in (frames.batch.targets, frames.batch.target_lengths))
    return functional.ctc_loss(chances.transpose(0, 1), targets, frames.lengths, counts, reduction="none")
