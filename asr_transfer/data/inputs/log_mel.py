"""Computes log-mel energies: the features of the models that are trained here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
import torchaudio

from asr_transfer import audio
from asr_transfer.data.inputs.framed import Framed
from asr_transfer.data.inputs.kind import register
from asr_transfer.data.inputs.vocal_tract import LOG_MELS

FLOOR = 1e-6
"""Added to mel energies before the logarithm: about -60 dB below full scale, under any recording's own noise."""

_FILTERBANKS: dict[tuple[int, int], torch.Tensor] = {}


@register("log-mel")
@dataclass(frozen=True)
class LogMel(Framed):
    """Log-mel energies of Hann windows, triangular filters of area 1 on HTK's mel scale from 20 to 8,000 Hz.

    Attributes:
        remove_offset: Whether each window's mean is taken off before, as Kaldi does.
    """

    remove_offset: bool = False

    augmentation: ClassVar[frozenset[str]] = frozenset({"frequency_masks", "channel", "warp", "silence"})
    band: ClassVar[tuple[float, float]] = LOG_MELS

    def plain(self) -> dict[str, Any]:
        """See `Inputs.plain`: without the kind and the offset, as stores were kept before there were others."""
        return {name: value for name, value in asdict(self).items() if name != "remove_offset" or value}

    def frames(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Framed.frames`."""
        window, hop = self.window_and_hop()
        size = 1 << (window - 1).bit_length()
        if self.remove_offset:
            cut = samples.unfold(0, window, hop)
            shaped = (cut - cut.mean(1, keepdim=True)) * torch.hann_window(window)
            energies = torch.fft.rfft(shaped, size).abs().square()
            return torch.log(energies @ filterbank(size, self.mels) + FLOOR)
        pad = size - window
        padded = torch.nn.functional.pad(samples, (pad // 2, pad - pad // 2))
        spectrum = torch.stft(padded, size, hop, window, torch.hann_window(window), center=False, return_complex=True)
        return torch.log(filterbank(size, self.mels).T @ spectrum.abs().square() + FLOOR).T


def filterbank(size: int, mels: int) -> torch.Tensor:
    """Return the (size // 2 + 1, mels) triangular filters, made once per setting."""
    if (size, mels) not in _FILTERBANKS:
        _FILTERBANKS[(size, mels)] = torchaudio.functional.melscale_fbanks(
            size // 2 + 1, *LOG_MELS, mels, audio.SAMPLE_RATE, norm="slaney", mel_scale="htk"
        )
    return _FILTERBANKS[(size, mels)]
