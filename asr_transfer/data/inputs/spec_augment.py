"""Changes mel bands at random in training: SpecAugment (Park et al. 2019), vocal tracts, channels and silence."""

from __future__ import annotations

import torch

from asr_transfer.config import SpecAugmentConfig
from asr_transfer.data.inputs.vocal_tract import LOG_MELS, warp_bands


def mask_spectrum(
    inputs: torch.Tensor,
    lengths: torch.Tensor,
    config: SpecAugmentConfig,
    generator: torch.Generator,
    band: tuple[float, float] = LOG_MELS,
) -> torch.Tensor:
    """Change each utterance's vocal tract, silence and channel, and set random bands and stretches to zero.

    Args:
        inputs: (batch, time, mels) normalised features.
        lengths: (batch,) valid frames.
        config: numbers and widths of masks.
        generator: source of randomness.
        band: lowest and highest frequency in Hertz, between which the bands lie evenly in mel.

    The masks are those of Park et al. (2019).
    """
    batch, time, mels = inputs.shape
    if config.warp:
        inputs = warp_bands(inputs, 1 + config.warp * (2 * torch.rand(batch, generator=generator) - 1), band)
    if config.silence:
        shares = config.silence * (2 * torch.rand(batch, generator=generator) - 1)
        inputs = inputs - shares[:, None, None] * _quietest(inputs, lengths)
    if config.channel:
        inputs = inputs + config.channel * _random_response(batch, mels, generator)
    keep_bands = _kept(
        torch.full((batch,), mels), mels, config.frequency_masks, torch.tensor(config.frequency_width), generator
    )
    return inputs * (kept_times(lengths, time, config, generator)[:, :, None] & keep_bands[:, None, :])


def kept_times(lengths: torch.Tensor, time: int, config: SpecAugmentConfig, generator: torch.Generator) -> torch.Tensor:
    """Return (batch, time) booleans, False inside the time masks of utterances of (batch,) `lengths`."""
    widest = (lengths * config.time_fraction).clamp(max=config.time_width).long()
    return _kept(lengths, time, config.time_masks, widest, generator)


def _random_response(batch: int, mels: int, generator: torch.Generator) -> torch.Tensor:
    """Return (batch, 1, mels) smooth curves: unit normal values at six bands, straight lines between them."""
    corners = torch.randn(batch, 1, 6, generator=generator)
    return torch.nn.functional.interpolate(corners, size=mels, mode="linear", align_corners=True)


def _quietest(inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return (batch, 1, mels) the lowest value of each band inside the utterance."""
    padding = torch.arange(inputs.shape[1]) >= lengths[:, None]
    return inputs.masked_fill(padding[:, :, None], torch.inf).amin(1, keepdim=True)


def _kept(
    lengths: torch.Tensor, size: int, masks: int, widest: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Return (batch, size) booleans, False inside each of `masks` random stretches below `lengths`."""
    batch = len(lengths)
    if masks == 0:
        return torch.ones(batch, size, dtype=torch.bool)
    draws = torch.rand(2, batch, masks, generator=generator)
    widths = (draws[0] * (widest.reshape(-1, 1) + 1)).floor()
    starts = (draws[1] * (lengths[:, None] - widths + 1).clamp(min=0)).floor()
    position = torch.arange(size)
    inside = (position >= starts[..., None]) & (position < (starts + widths)[..., None])
    return ~inside.any(1)
