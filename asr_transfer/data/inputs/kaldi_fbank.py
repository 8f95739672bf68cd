"""Computes Kaldi's filter banks: the features of icefall's and sherpa-onnx's models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torchaudio.compliance import kaldi

from asr_transfer import audio
from asr_transfer.data.inputs.framed import Framed
from asr_transfer.data.inputs.kind import register

LOWEST, BELOW_NYQUIST = 20.0, 400.0
"""Hertz: where the bands begin, and how far below half the sampling rate they end."""


@register("kaldi-fbank")
@dataclass(frozen=True)
class KaldiFbank(Framed):
    """What `torchaudio.compliance.kaldi.fbank(wave, dither=0, snip_edges=False, high_freq=-400)` gives of waves in ±1.

    Without normalisation it is what sherpa-onnx feeds Zipformer models, so that they need no correction there.
    """

    augmentation: ClassVar[frozenset[str]] = frozenset({"frequency_masks", "channel", "warp", "silence"})
    band: ClassVar[tuple[float, float]] = (LOWEST, audio.SAMPLE_RATE / 2 - BELOW_NYQUIST)

    def edges(self, count: int) -> tuple[int, int]:
        """See `Framed.edges`: windows are centred, and there is a frame for every begun half hop."""
        window, hop = self.window_and_hop()
        before = window // 2 - hop // 2
        frames = (count + hop // 2) // hop
        # Negative where the last window ends before the recording does: its last samples are in no window.
        return before, max(0, (frames - 1) * hop + window - before - count)

    def frames(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Framed.frames`."""
        frames: torch.Tensor = kaldi.fbank(
            samples[None],
            num_mel_bins=self.mels,
            frame_length=self.window_ms,
            frame_shift=self.hop_ms,
            sample_frequency=audio.SAMPLE_RATE,
            dither=0.0,
            low_freq=LOWEST,
            high_freq=-BELOW_NYQUIST,
        )
        return frames
