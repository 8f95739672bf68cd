"""Feeds the waveform itself, as wav2vec 2.0 and its family take it (Baevski et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from asr_transfer import audio
from asr_transfer.config import SpecAugmentConfig
from asr_transfer.data.inputs.kind import Inputs, register
from asr_transfer.data.inputs.spec_augment import kept_times


@register("waveform")
@dataclass(frozen=True)
class Waveform(Inputs):
    """The samples, (time, 1), a time step of each.

    Attributes:
        normalised: Whether each recording is given the mean 0 and the variance 1; models with layer norms in their
            front end were mostly trained so.
        floor: Number added to the variance; 1e-7 as of wav2vec 2.0's feature extractor in Transformers.
    """

    normalised: bool = True
    floor: float = 1e-7

    dtype: ClassVar[type[np.floating[Any]]] = np.float32
    step: ClassVar[int] = audio.SAMPLE_RATE // 100

    @property
    def dim(self) -> int:
        """See `Inputs.dim`."""
        return 1

    @property
    def shift(self) -> float:
        """See `Inputs.shift`."""
        return 1 / audio.SAMPLE_RATE

    def analyse(self, samples: torch.Tensor) -> torch.Tensor:
        """See `Inputs.analyse`."""
        return samples[:, None]

    def blocks(self, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """See `Inputs.blocks`."""
        return (piece[:, None] for piece in pieces if len(piece))

    def statistics(self, blocks: Callable[[], Iterable[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Inputs.statistics`: mean and deviation."""
        count, total, squares = 0, 0.0, 0.0
        for block in blocks():
            count, total = count + len(block), total + float(block.double().sum())
        mean = total / max(count, 1)
        for block in blocks():
            squares += float((block.double() - mean).square().sum())
        return torch.tensor([mean]).float(), torch.tensor([(squares / max(count, 1) + self.floor) ** 0.5]).float()

    def normalise(self, block: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """See `Inputs.normalise`."""
        return (block - first) / second if self.normalised else block

    def loudness(self, block: torch.Tensor) -> torch.Tensor:
        """See `Inputs.loudness`: the logarithm of the mean energy."""
        energy = block[:, 0].square()
        whole = torch.nn.functional.pad(energy, (0, -len(energy) % self.step)).view(-1, self.step)
        return torch.log(whole.mean(1) + 1e-10)

    def augment(
        self, inputs: torch.Tensor, lengths: torch.Tensor, config: SpecAugmentConfig, generator: torch.Generator
    ) -> torch.Tensor:
        """See `Inputs.augment`: silence in place of stretches, whose widths are in hundredths of a second."""
        time = inputs.shape[1]
        keep = kept_times(-(-lengths // self.step), self.cost(time), config, generator)
        return inputs * keep.repeat_interleave(self.step, dim=1)[:, :time, None]
