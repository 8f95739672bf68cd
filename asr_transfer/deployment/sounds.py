"""Makes sounds that are a little like speech, on which an export is compared with its model."""

from __future__ import annotations

import torch

from asr_transfer.audio import SAMPLE_RATE

SECONDS = (1.3, 2.2, 3.1)
"""Durations of the sounds."""


def sounds(window: float | None = None) -> list[torch.Tensor]:
    """Return a sound of each of `SECONDS`, (samples,) within ±1, always the same: voiced syllables between pauses.

    The harmonics of a voice of 100 to 180 Hz swell and fade four times a second around two resonances that move.

    Args:
        window: seconds that are heard at once, to which sounds are cut; None for any.
    """
    most = None if window is None else round(window * SAMPLE_RATE)
    return [_voiced(seconds, seed)[:most] for seed, seconds in enumerate(SECONDS)]


def _voiced(seconds: float, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    time = torch.arange(round(seconds * SAMPLE_RATE), dtype=torch.float64) / SAMPLE_RATE
    pitch = 100 + 40 * seed + 15 * torch.sin(2 * torch.pi * 0.7 * time + seed)
    phase = 2 * torch.pi * torch.cumsum(pitch, 0) / SAMPLE_RATE
    first, second = 500 + 250 * torch.sin(5 * time + seed), 1600 + 600 * torch.sin(8 * time + 2 * seed)
    wave = torch.zeros_like(time)
    for number in range(1, 30):
        frequency = number * pitch
        loud = torch.exp(-(((frequency - first) / 200) ** 2)) + 0.5 * torch.exp(-(((frequency - second) / 300) ** 2))
        wave += loud * torch.sin(number * phase)
    swell = torch.sin(torch.pi * 4 * time).clamp(min=0) ** 0.5
    noise = torch.randn(len(time), generator=random, dtype=torch.float64)
    return (0.15 * wave * swell + 0.002 * noise).clamp(-1, 1).float()
