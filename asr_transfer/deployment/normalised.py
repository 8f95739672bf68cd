"""Normalises what models are fed inside a graph, so that whoever feeds it need not know how."""

from __future__ import annotations

import torch
from torch import nn

from asr_transfer.data.inputs import Inputs, KaldiFbank, LasrMel, LogMel, ParakeetMel, Waveform, WhisperMel
from asr_transfer.data.inputs.framed import FIXED_MEAN, FIXED_STD, STD_FLOOR
from asr_transfer.data.inputs.parakeet_mel import LEAST_DEVIATION
from asr_transfer.data.inputs.whisper_mel import RANGE
from asr_transfer.models.encoders import valid_frames


class Normalised(nn.Module):
    """What `inputs.normalise` does of every recording, over its own frames.

    Args:
        inputs: inputs of the model, of a kind that `can_be_normalised`.
    """

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.inputs = inputs

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, dim) inputs as `inputs.analyse` gives them, and (batch,) lengths, to normalised ones."""
        keep = valid_frames(lengths, x.shape[1])[:, :, None]
        return torch.where(keep, self._normal(x, keep), 0.0), lengths

    def _normal(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        inputs = self.inputs
        if isinstance(inputs, Waveform):
            if not inputs.normalised:
                return x
            mean, variance = _moments(x, keep)
            return (x - mean) / (variance + inputs.floor).sqrt()
        if isinstance(inputs, WhisperMel):
            loudest = torch.where(keep, x, -torch.inf).amax((1, 2), keepdim=True)
            return (torch.maximum(x, loudest - RANGE) + 4.0) / 4.0
        if isinstance(inputs, ParakeetMel):
            mean, variance = _moments(x, keep)
            count = keep.sum(1, keepdim=True)
            return (x - mean) / ((variance * count / (count - 1).clamp(min=1)).sqrt() + LEAST_DEVIATION)
        assert isinstance(inputs, LogMel | KaldiFbank | LasrMel)
        if inputs.normalisation == "none":
            return x
        if inputs.normalisation == "fixed":
            return (x - FIXED_MEAN) / FIXED_STD
        if inputs.normalisation == "speech-mean":
            loudness = x.mean(2, keepdim=True)
            least = torch.where(keep, loudness, torch.inf).amin(1, keepdim=True)
            most = torch.where(keep, loudness, -torch.inf).amax(1, keepdim=True)
            return x - _moments(x, keep & (loudness >= (least + most) / 2))[0]
        mean, variance = _moments(x, keep)
        return (x - mean) / (variance.sqrt() + STD_FLOOR) if inputs.normalisation == "utterance" else x - mean


def can_be_normalised(inputs: Inputs) -> bool:
    """Return whether `Normalised` knows the kind of inputs."""
    return isinstance(inputs, LogMel | KaldiFbank | LasrMel | ParakeetMel | WhisperMel | Waveform)


def _moments(x: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return means and variances over the frames that are kept, (batch, 1, dim).

    In float64: ONNX Runtime adds frame after frame to one sum, where PyTorch adds pairs and pairs of pairs. In float32
    that is wrong by 1e-4 over half a minute of samples.
    """
    count, whole = keep.sum(1, keepdim=True), x.double()
    mean = torch.where(keep, whole, 0.0).sum(1, keepdim=True) / count
    variance = torch.where(keep, whole - mean, 0.0).square().sum(1, keepdim=True) / count
    return mean.to(x.dtype), variance.to(x.dtype)
