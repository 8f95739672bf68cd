"""Log-mel energies: how they are computed, normalised, and warped along the frequency axis."""

from __future__ import annotations

import torch
import torchaudio

from asr_transfer import audio
from asr_transfer.config import FeatureConfig

_FLOOR = 1e-6
"""Added to mel energies before the logarithm: about -60 dB below full scale, under any recording's own noise."""


def log_mel(samples: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    """Compute log-mel features.

    Args:
        samples: (n,) mono audio at `audio.SAMPLE_RATE`, n at least one window.
        config: window, hop and number of bands.

    Returns:
        (frames, mels) float32, frames = 1 + (n - window) // hop.
    """
    window, hop = window_and_hop(config)
    size = 1 << (window - 1).bit_length()
    pad = size - window
    padded = torch.nn.functional.pad(samples, (pad // 2, pad - pad // 2))
    spectrum = torch.stft(padded, size, hop, window, torch.hann_window(window), center=False, return_complex=True).abs()
    return torch.log(_filterbank(size, config.mels).T @ spectrum.square() + _FLOOR).T


def window_and_hop(config: FeatureConfig) -> tuple[int, int]:
    """Return both in samples."""
    return round(config.window_ms * audio.SAMPLE_RATE / 1000), round(config.hop_ms * audio.SAMPLE_RATE / 1000)


def frame_count(duration: float, config: FeatureConfig, speed: float = 1.0) -> int:
    """Return about how many frames `duration` seconds give at `speed`."""
    return max(1, 1 + int((1000 * duration / speed - config.window_ms) // config.hop_ms))


_FIXED_MEAN, _FIXED_STD = -10.0, 3.5
"""Mean and deviation of log-mel energies over all bands and frames of close-talk recordings (AN4 and FSDD, rounded)."""


def mean_and_deviation(block: torch.Tensor, config: FeatureConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Return means and deviations of (frames, mels) log-mels, (mels,) each, as `config` normalises with them."""
    if config.normalisation == "speech-mean":
        loudness = block.mean(1)
        block = block[loudness >= (loudness.min() + loudness.max()) / 2]
    return block.mean(0), block.std(0, correction=0) + STD_FLOOR


def normalise(block: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    """Return (frames, mels) log-mels normalised as `config` says, with means and deviations of theirs."""
    if config.normalisation == "fixed":
        return (block - _FIXED_MEAN) / _FIXED_STD
    return (block - mean) / std if config.normalisation == "utterance" else block - mean


STD_FLOOR = 0.1
"""Keeps constant bands (band-limited recordings) from being blown up to noise of deviation 1."""


_LOWEST, _HIGHEST = 20.0, audio.SAMPLE_RATE / 2
"""Hertz, between which the bands lie."""

_BEND = 4800.0
"""Hertz: above the third formant, from where a warped axis returns to its end."""

_FILTERBANKS: dict[tuple[int, int], torch.Tensor] = {}


def _filterbank(size: int, mels: int) -> torch.Tensor:
    """Return the (size // 2 + 1, mels) triangular filters, made once per setting."""
    if (size, mels) not in _FILTERBANKS:
        _FILTERBANKS[(size, mels)] = torchaudio.functional.melscale_fbanks(
            size // 2 + 1, _LOWEST, _HIGHEST, mels, audio.SAMPLE_RATE, norm="slaney", mel_scale="htk"
        )
    return _FILTERBANKS[(size, mels)]


def warp_bands(inputs: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Stretch each utterance's frequency axis, as another length of the vocal tract would (Jaitly and Hinton 2013).

    What was heard at a frequency is found at that frequency times the factor; towards the highest frequency, which
    stays in its place, the line bends. Between bands values are interpolated, so that bands of mean 0 keep it.

    Args:
        inputs: (batch, time, mels) log-mels as `log_mel` makes them, normalised or not.
        factors: (batch,) above 0; 1 leaves an utterance as it is.

    Returns:
        (batch, time, mels) like `inputs`.
    """
    mels = inputs.shape[2]
    low, high = _to_mel(torch.tensor([_LOWEST, _HIGHEST], dtype=torch.float64))
    step = (high - low) / (mels + 1)
    centres = _to_hertz(low + step * torch.arange(1, mels + 1))
    # Where each band of the result is taken from.
    inverse = 1 / factors.double()[:, None]
    bend = _BEND * inverse.clamp(max=1) / inverse
    above = _HIGHEST - (_HIGHEST - bend * inverse) / (_HIGHEST - bend) * (_HIGHEST - centres)
    origin = torch.where(centres <= bend, centres * inverse, above)
    place = ((_to_mel(origin) - low) / step - 1).clamp(0, mels - 1)
    weights = (1 - (place[:, None, :] - torch.arange(mels)[:, None]).abs()).clamp(min=0)
    return torch.matmul(inputs, weights.to(inputs.dtype))


def _to_mel(hertz: torch.Tensor) -> torch.Tensor:
    return 2595 * torch.log10(1 + hertz / 700)


def _to_hertz(mel: torch.Tensor) -> torch.Tensor:
    return 700 * (torch.pow(10, mel / 2595) - 1)
