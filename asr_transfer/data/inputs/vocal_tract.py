"""Warps mel bands along the frequency axis, as another length of the vocal tract would."""

from __future__ import annotations

import math
from typing import Literal

import torch

LOG_MELS = (20.0, 8000.0)
"""Hertz, between which the bands of log-mels lie."""

Scale = Literal["htk", "slaney"]
"""Ways to count mel: HTK's, which Kaldi's is too, or Slaney's, which is linear up to 1,000 Hertz."""

_BEND = 4800.0
"""Hertz: above the third formant, from where a warped axis returns to its end."""


def warp_bands(
    inputs: torch.Tensor,
    factors: torch.Tensor,
    band: tuple[float, float] = LOG_MELS,
    scale: Scale = "htk",
) -> torch.Tensor:
    """Stretch each utterance's frequency axis, as another length of the vocal tract would (Jaitly and Hinton 2013).

    What was heard at a frequency is found at that frequency times the factor; towards the highest frequency, which
    stays in its place, the line bends. Between bands values are interpolated, so that bands of mean 0 keep it.

    Args:
        inputs: (batch, time, mels) log-mels or Kaldi's filter banks, normalised or not.
        factors: (batch,) above 0; 1 leaves an utterance as it is, bit for bit.
        band: lowest and highest frequency in Hertz, between which the bands lie evenly in mel.
        scale: way to count mel.

    Returns:
        (batch, time, mels) like `inputs`.
    """
    mels = inputs.shape[2]
    highest = band[1]
    low, high = _to_mel(torch.tensor(band, dtype=torch.float64, device=inputs.device), scale)
    step = (high - low) / (mels + 1)
    numbers = torch.arange(mels, device=inputs.device)
    centres = _to_hertz(low + step * (numbers + 1), scale)
    # Where each band of the result is taken from.
    inverse = 1 / factors.double()[:, None]
    bend = _BEND * inverse.clamp(max=1) / inverse
    above = highest - (highest - bend * inverse) / (highest - bend) * (highest - centres)
    origin = torch.where(centres <= bend, centres * inverse, above)
    place = ((_to_mel(origin, scale) - low) / step - 1).clamp(0, mels - 1)
    weights = (1 - (place[:, None, :] - numbers[:, None]).abs()).clamp(min=0)
    warped = torch.matmul(inputs, weights.to(inputs.dtype))
    return torch.where(factors[:, None, None] == 1, inputs, warped)


_LINEAR, _PER_HERTZ, _PER_MEL = 1000.0, 3 / 200, math.log(6.4) / 27
"""Slaney's: mel is linear up to so many Hertz, and from there every mel is that much in the logarithm."""


def _to_mel(hertz: torch.Tensor, scale: Scale) -> torch.Tensor:
    if scale == "htk":
        return 2595 * torch.log10(1 + hertz / 700)
    above = _LINEAR * _PER_HERTZ + torch.log(hertz.clamp(min=_LINEAR) / _LINEAR) / _PER_MEL
    return torch.where(hertz < _LINEAR, hertz * _PER_HERTZ, above)


def _to_hertz(mel: torch.Tensor, scale: Scale) -> torch.Tensor:
    if scale == "htk":
        return 700 * (torch.pow(10, mel / 2595) - 1)
    bend = _LINEAR * _PER_HERTZ
    return torch.where(mel < bend, mel / _PER_HERTZ, _LINEAR * torch.exp((mel - bend) * _PER_MEL))
