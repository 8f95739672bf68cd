"""Warps mel bands along the frequency axis, as another length of the vocal tract would."""

from __future__ import annotations

import torch

LOG_MELS = (20.0, 8000.0)
"""Hertz, between which the bands of log-mels lie."""

_BEND = 4800.0
"""Hertz: above the third formant, from where a warped axis returns to its end."""


def warp_bands(inputs: torch.Tensor, factors: torch.Tensor, band: tuple[float, float] = LOG_MELS) -> torch.Tensor:
    """Stretch each utterance's frequency axis, as another length of the vocal tract would (Jaitly and Hinton 2013).

    What was heard at a frequency is found at that frequency times the factor; towards the highest frequency, which
    stays in its place, the line bends. Between bands values are interpolated, so that bands of mean 0 keep it.

    Args:
        inputs: (batch, time, mels) log-mels or Kaldi's filter banks, normalised or not.
        factors: (batch,) above 0; 1 leaves an utterance as it is.
        band: lowest and highest frequency in Hertz, between which the bands lie evenly in mel.

    Returns:
        (batch, time, mels) like `inputs`.
    """
    mels = inputs.shape[2]
    highest = band[1]
    low, high = _to_mel(torch.tensor(band, dtype=torch.float64))
    step = (high - low) / (mels + 1)
    centres = _to_hertz(low + step * torch.arange(1, mels + 1))
    # Where each band of the result is taken from.
    inverse = 1 / factors.double()[:, None]
    bend = _BEND * inverse.clamp(max=1) / inverse
    above = highest - (highest - bend * inverse) / (highest - bend) * (highest - centres)
    origin = torch.where(centres <= bend, centres * inverse, above)
    place = ((_to_mel(origin) - low) / step - 1).clamp(0, mels - 1)
    weights = (1 - (place[:, None, :] - torch.arange(mels)[:, None]).abs()).clamp(min=0)
    return torch.matmul(inputs, weights.to(inputs.dtype))


def _to_mel(hertz: torch.Tensor) -> torch.Tensor:
    return 2595 * torch.log10(1 + hertz / 700)


def _to_hertz(mel: torch.Tensor) -> torch.Tensor:
    return 700 * (torch.pow(10, mel / 2595) - 1)
