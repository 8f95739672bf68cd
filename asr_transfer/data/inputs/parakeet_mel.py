"""Computes the log-mel spectrograms that NVIDIA's Parakeet models take, as NeMo and Transformers compute them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
import torchaudio

from asr_transfer import audio
from asr_transfer.config import Normalisation
from asr_transfer.data.inputs.framed import Framed
from asr_transfer.data.inputs.kind import register
from asr_transfer.data.inputs.vocal_tract import Scale
from asr_transfer.errors import ConfigError

_EMPHASIS, _FLOOR, LEAST_DEVIATION = 0.97, 2.0**-24, 1e-5
_HEARD = 400
"""Samples of a window, in the middle of the 512 of its spectrum."""


@register("parakeet-mel")
@dataclass(frozen=True)
class ParakeetMel(Framed):
    """Log-mels of a pre-emphasised wave with silence on either side, each band with mean 0 and deviation 1.

    Attributes:
        window_ms: Length of a spectrum in milliseconds; the middle 25 of them are heard.
        normalisation: `utterance`: that of each band over a recording is a part of the features.
    """

    window_ms: float = 32.0
    normalisation: Normalisation = "utterance"

    augmentation: ClassVar[frozenset[str]] = frozenset({"frequency_masks"})
    scale: ClassVar[Scale] = "slaney"

    def __post_init__(self) -> None:
        if (self.window_ms, self.hop_ms, self.normalisation) != (32.0, 10.0, "utterance"):
            raise ConfigError(
                "parakeet-mel inputs have windows of 32 ms every 10 ms and the `normalisation` utterance; leave others "
                "out."
            )

    def edges(self, count: int) -> tuple[int, int]:
        """See `Framed.edges`: windows are centred on every hop but the last."""
        window, hop = self.window_and_hop()
        frames = max(1, count // hop)
        return window // 2, max(0, (frames - 1) * hop + window - window // 2 - count)

    def frames(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Framed.frames`."""
        window, hop = self.window_and_hop()
        heard = torch.hann_window(_HEARD, periodic=False)
        spectrum = torch.stft(samples, window, hop, _HEARD, heard, center=False, return_complex=True)
        return (_filterbank(self.mels).T @ spectrum.abs().square() + _FLOOR).log().T

    def analyse(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Inputs.analyse`."""
        return super().analyse(torch.cat(list(_emphasised([samples]))))

    def blocks(self, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """See `Inputs.blocks`."""
        return super().blocks(_emphasised(pieces))

    def _mirror(self, samples: torch.Tensor, count: int, at_the_beginning: bool = False) -> torch.Tensor:
        return torch.zeros(count)

    def statistics(self, blocks: Callable[[], Iterable[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Inputs.statistics`: means and deviations of the bands."""
        count, total = 0, torch.zeros(self.mels, dtype=torch.float64)
        for block in blocks():
            count, total = count + len(block), total + block.double().sum(0)
        mean = total / max(count, 1)
        squares = torch.zeros(self.mels, dtype=torch.float64)
        for block in blocks():
            squares = squares + (block.double() - mean).square().sum(0)
        return mean.float(), (squares / max(count - 1, 1)).sqrt().float() + LEAST_DEVIATION


def _emphasised(pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    last = torch.zeros(1)
    for piece in pieces:
        if len(piece):
            yield piece - _EMPHASIS * torch.cat([last, piece[:-1]])
            last = piece[-1:].clone()


@cache
def _filterbank(mels: int) -> torch.Tensor:
    """Return the (257, mels) triangular filters."""
    filters: torch.Tensor = torchaudio.functional.melscale_fbanks(
        257, 0.0, audio.SAMPLE_RATE / 2, mels, audio.SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return filters
