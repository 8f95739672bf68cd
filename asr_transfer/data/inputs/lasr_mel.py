"""Computes the log-mel spectrograms that Google's LASR models take, as Transformers computes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch

from asr_transfer import audio
from asr_transfer.config import Normalisation
from asr_transfer.data.inputs.framed import Framed
from asr_transfer.data.inputs.kind import register
from asr_transfer.errors import ConfigError

_POINTS, _LOWEST, _HIGHEST, _FLOOR = 512, 125.0, 7500.0, 1e-5


@register("lasr-mel")
@dataclass(frozen=True)
class LasrMel(Framed):
    """Log-mels of the windows inside a recording, with triangles in mel as Kaldi's, not normalised.

    Attributes:
        mels: Number of bands.
        normalisation: `none`.
    """

    mels: int = 128
    normalisation: Normalisation = "none"

    augmentation: ClassVar[frozenset[str]] = frozenset({"frequency_masks"})
    band: ClassVar[tuple[float, float]] = (_LOWEST, _HIGHEST)

    def __post_init__(self) -> None:
        if (self.window_ms, self.hop_ms, self.normalisation) != (25.0, 10.0, "none"):
            raise ConfigError(
                "lasr-mel inputs have windows of 25 ms every 10 ms and the `normalisation` none; leave others out."
            )

    def edges(self, count: int) -> tuple[int, int]:
        """See `Framed.edges`: none, but of what is shorter than a window."""
        return 0, max(0, self.window_and_hop()[0] - count)

    def frames(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Framed.frames`."""
        window, hop = self.window_and_hop()
        # The windows begin their spectrum's points; `torch.stft` would put them in the middle.
        pieces = samples.double().unfold(0, window, hop) * torch.hann_window(window, periodic=False).double()
        power = torch.fft.rfft(pieces, n=_POINTS).abs().square()
        frames: torch.Tensor = (power[:, :-1] @ _filterbank(self.mels)).clamp(min=_FLOOR).log().float()
        return frames

    def _mirror(self, samples: torch.Tensor, count: int, at_the_beginning: bool = False) -> torch.Tensor:
        return torch.zeros(count)


@cache
def _filterbank(mels: int) -> torch.Tensor:
    """Return the (256, mels) filters, triangles on Kaldi's mel scale, in the precision that the narrow ones need."""
    low, high = (1127 * math.log1p(hertz / 700) for hertz in (_LOWEST, _HIGHEST))
    edges = torch.linspace(low, high, mels + 2, dtype=torch.float64)
    points = torch.arange(_POINTS // 2, dtype=torch.float64)[:, None] * (audio.SAMPLE_RATE / _POINTS)
    heard = 1127 * torch.log1p(points / 700)
    rising = (heard - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - heard) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)
