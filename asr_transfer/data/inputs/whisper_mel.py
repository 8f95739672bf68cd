"""Computes the log-mel spectrograms that Whisper's encoders take (Radford et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torchaudio

from asr_transfer import audio
from asr_transfer.config import Normalisation
from asr_transfer.data.inputs.framed import Framed
from asr_transfer.data.inputs.kind import register
from asr_transfer.data.inputs.vocal_tract import Scale
from asr_transfer.errors import ConfigError

FLOOR, RANGE = 1e-10, 8.0
"""Least energy, and how many powers of ten under the loudest one others are raised to."""

_FILTERBANKS: dict[int, torch.Tensor] = {}


@register("whisper-mel")
@dataclass(frozen=True)
class WhisperMel(Framed):
    """What Whisper's feature extractor gives: log10 of mel energies, at most 8 below the greatest, scaled to about ±1.

    Attributes:
        mels: Number of bands: 80, or 128 of the large models since version 3.
        normalisation: `none`: the scaling is a part of the features.
        least_seconds: Seconds up to which silence is put behind shorter recordings: 30 as Whisper's decoder needs it, 0
            for none.
    """

    normalisation: Normalisation = "none"
    least_seconds: float = 0.0

    augmentation: ClassVar[frozenset[str]] = frozenset({"frequency_masks"})
    mirrored: ClassVar[int] = 1
    scale: ClassVar[Scale] = "slaney"

    def __post_init__(self) -> None:
        if self.mels not in (80, 128):
            raise ConfigError(f"whisper-mel inputs have 80 or 128 `mels`, got {self.mels}.")
        if (self.window_ms, self.hop_ms, self.normalisation) != (25.0, 10.0, "none"):
            raise ConfigError(
                "whisper-mel inputs have windows of 25 ms every 10 ms and the `normalisation` none; leave others out."
            )
        if not 0 <= self.least_seconds <= 60:
            raise ConfigError(f"`least_seconds` of whisper-mel inputs must be from 0 to 60, got {self.least_seconds}.")

    def edges(self, count: int) -> tuple[int, int]:
        """See `Framed.edges`: windows are centred on every hop but the last."""
        window, hop = self.window_and_hop()
        return window // 2, max(0, count // hop * hop - hop + window // 2 - count)

    def frames(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Framed.frames`."""
        window, hop = self.window_and_hop()
        spectrum = torch.stft(
            samples, window, hop, window, torch.hann_window(window), center=False, return_complex=True
        )
        return (filterbank(self.mels).T @ spectrum.abs().square()).clamp(min=FLOOR).log10().T

    def analyse(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Inputs.analyse`."""
        return super().analyse(torch.cat(list(self._lengthened([samples]))))

    def blocks(self, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """See `Inputs.blocks`."""
        return super().blocks(self._lengthened(pieces))

    def _lengthened(self, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        lacking = round(self.least_seconds * audio.SAMPLE_RATE)
        for piece in pieces:
            yield piece
            lacking -= len(piece)
        if lacking > 0:
            yield torch.zeros(lacking)

    def statistics(self, blocks: Callable[[], Iterable[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Inputs.statistics`: the greatest value of the recording, of all bands; and ones."""
        loudest = max((float(block.max()) for block in blocks() if len(block)), default=0.0)
        return torch.full((self.mels,), loudest), torch.ones(self.mels)

    def normalise(self, block: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """See `Inputs.normalise`."""
        return (torch.maximum(block, first - RANGE) + 4.0) / 4.0

    def warped(self, inputs: torch.Tensor, lengths: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """See `Inputs.warped`: the greatest value may be another one, and with it the least."""
        found = super().warped(inputs, lengths, factor)
        padding = (torch.arange(inputs.shape[1], device=inputs.device) >= lengths[:, None])[:, :, None]
        least = found.masked_fill(padding, -torch.inf).amax((1, 2), keepdim=True) - RANGE / 4.0
        return torch.where((factor == 1) | padding, found, torch.maximum(found, least))


def filterbank(mels: int) -> torch.Tensor:
    """Return the (201, mels) triangular filters, made once per number."""
    if mels not in _FILTERBANKS:
        _FILTERBANKS[mels] = torchaudio.functional.melscale_fbanks(
            201, 0.0, audio.SAMPLE_RATE / 2, mels, audio.SAMPLE_RATE, norm="slaney", mel_scale="slaney"
        )
    return _FILTERBANKS[mels]
