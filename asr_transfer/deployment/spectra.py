"""Computes a recording's features inside a graph: the windows' spectra are a convolution of the waveform."""

from __future__ import annotations

import math

import torch
import torchaudio.compliance.kaldi as kaldi
from torch import nn

from asr_transfer import audio
from asr_transfer.data.inputs import Inputs, KaldiFbank, LogMel, Waveform, WhisperMel
from asr_transfer.data.inputs import log_mel as log_mels
from asr_transfer.data.inputs import whisper_mel as whisper_mels
from asr_transfer.data.inputs.framed import Framed
from asr_transfer.data.inputs.kaldi_fbank import BELOW_NYQUIST, LOWEST

_PREEMPHASIS = 0.97


class Spectra(nn.Module):
    """What `inputs.analyse` gives of one recording.

    Args:
        inputs: inputs of the model, of a kind that `can_be_computed`.
    """

    kernel: torch.Tensor
    filters: torch.Tensor

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.inputs = inputs
        if isinstance(inputs, Framed):
            kernel, filters = _analysis(inputs)
            self.register_buffer("kernel", kernel)
            self.register_buffer("filters", filters)

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (1, samples) within ±1 to (1, time, dim) inputs and their (1,) length."""
        inputs = self.inputs
        if isinstance(inputs, Framed):
            features = self._features(self._extended(waveform, inputs))
        else:
            features = waveform[:, :, None]
        return features, torch._shape_as_tensor(features)[1:2]

    def _extended(self, waveform: torch.Tensor, inputs: Framed) -> torch.Tensor:
        """Return the waveform with the silence and mirrored samples at its ends that the kind of features asks for."""
        window, hop = inputs.window_and_hop()
        count = torch._shape_as_tensor(waveform)[1]
        if isinstance(inputs, WhisperMel) and inputs.least_seconds:
            least = round(inputs.least_seconds * audio.SAMPLE_RATE)
            waveform = torch.cat((waveform, torch.zeros(1, least)), 1)
            count = count.clamp(min=least)
        if isinstance(inputs, KaldiFbank):
            before = window // 2 - hop // 2
            total = ((count + hop // 2) // hop - 1) * hop + window
        elif isinstance(inputs, WhisperMel):
            before = window // 2
            total = (count // hop - 1) * hop + window
        else:
            before, total = 0, count
        # A recording shorter than a window is a window of its last sample.
        place = torch.arange(total.clamp(min=window)) - before  # type: ignore[call-overload]  # a number of the graph
        mirrored = inputs.mirrored
        place = torch.where(place < 0, mirrored - 1 - place, place)
        place = torch.where(place >= count, 2 * count - 1 - mirrored - place, place)
        return waveform[:, torch.minimum(place.clamp(min=0), count - 1)]

    def _features(self, samples: torch.Tensor) -> torch.Tensor:
        _, hop = self.inputs.window_and_hop()  # type: ignore[attr-defined]
        real, imaginary = nn.functional.conv1d(samples[:, None], self.kernel, stride=hop).chunk(2, dim=1)
        # As a convolution it stays as it is where the model's products of matrices become whole numbers.
        energies = nn.functional.conv1d(real.square() + imaginary.square(), self.filters).transpose(1, 2)
        if isinstance(self.inputs, KaldiFbank):
            return energies.clamp(min=torch.finfo(torch.float32).eps).log()
        if isinstance(self.inputs, WhisperMel):
            return energies.clamp(min=whisper_mels.FLOOR).log() / math.log(10.0)
        return (energies + log_mels.FLOOR).log()


class Unscaled(nn.Module):
    """A recording in its own loudness, of one that was given the mean 0 and about the variance 1.

    Whoever divides by the square root of variance + floor leaves a variance that falls short of 1 by what the floor was
    in that sum, from which the factor can be told.

    Args:
        floor: number that was added to the variance.
    """

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Map (1, samples) to the same shape."""
        whole = waveform.double()
        lacking = (1.0 - whole.square().mean(1, keepdim=True)).clamp(min=1e-7)
        return (whole * (self.floor / lacking).sqrt()).float()


def can_be_computed(inputs: Inputs) -> bool:
    """Return whether `Spectra` knows the kind of inputs."""
    return isinstance(inputs, LogMel | KaldiFbank | WhisperMel | Waveform)


def _analysis(inputs: Framed) -> tuple[torch.Tensor, torch.Tensor]:
    """Return kernels of the spectrum's real and imaginary parts, (2 bins, 1, window), and of mels, (mels, bins, 1)."""
    window, _ = inputs.window_and_hop()
    points = 1 << (window - 1).bit_length()
    change = torch.eye(window, dtype=torch.float64)
    if isinstance(inputs, WhisperMel):
        points, filters = window, whisper_mels.filterbank(inputs.mels)
        shape = torch.hann_window(window, dtype=torch.float64)
    elif isinstance(inputs, KaldiFbank):
        banks, _ = kaldi.get_mel_banks(
            inputs.mels, points, audio.SAMPLE_RATE, LOWEST, audio.SAMPLE_RATE / 2 - BELOW_NYQUIST, 100.0, -500.0, 1.0
        )
        filters = nn.functional.pad(banks, (0, 1)).T
        shape = torch.hann_window(window, periodic=False, dtype=torch.float64) ** 0.85
        emphasis = torch.eye(window, dtype=torch.float64) - _PREEMPHASIS * torch.diag(
            torch.ones(window - 1, dtype=torch.float64), -1
        )
        emphasis[0, 0] -= _PREEMPHASIS
        change = emphasis @ (change - 1.0 / window)
    else:
        filters = log_mels.filterbank(points, inputs.mels)
        shape = torch.hann_window(window, dtype=torch.float64)
        if isinstance(inputs, LogMel) and inputs.remove_offset:
            change = change - 1.0 / window
    bins = torch.arange(points // 2 + 1, dtype=torch.float64)
    angles = 2 * math.pi / points * bins[:, None] * torch.arange(window, dtype=torch.float64)
    kernel = torch.cat([angles.cos(), angles.sin()]) @ (shape[:, None] * change)
    return kernel.float()[:, None], filters.T[:, :, None].float().contiguous()
