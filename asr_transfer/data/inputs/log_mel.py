"""Computes log-mel energies: the features of the models that are trained here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
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
        cut = samples.unfold(0, window, hop)
        if self.remove_offset:
            cut = cut - cut.mean(1, keepdim=True)
        spectrum = torch.fft.rfft(cut * _hann(window), size)
        return (_energies(spectrum) @ filterbank(size, self.mels)).add_(FLOOR).log_()


def _energies(spectrum: torch.Tensor) -> torch.Tensor:
    """Return squared magnitudes of complex numbers, without the roots that `abs` would take."""
    parts = torch.view_as_real(spectrum)
    return parts[..., 0].square().addcmul_(parts[..., 1], parts[..., 1])


@lru_cache
def _hann(window: int) -> torch.Tensor:
    return torch.hann_window(window)


def filterbank(size: int, mels: int) -> torch.Tensor:
    """Return the (size // 2 + 1, mels) triangular filters, made once per setting."""
    if (size, mels) not in _FILTERBANKS:
        _FILTERBANKS[(size, mels)] = torchaudio.functional.melscale_fbanks(
            size // 2 + 1, *LOG_MELS, mels, audio.SAMPLE_RATE, norm="slaney", mel_scale="htk"
        )
    return _FILTERBANKS[(size, mels)]
