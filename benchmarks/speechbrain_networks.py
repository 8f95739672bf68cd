"""Builds encoders of our default sizes out of SpeechBrain's own layers, for the peer of `benchmarks/training.py`."""

from __future__ import annotations

import torch
from speechbrain.dataio.dataio import length_to_mask
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder
from speechbrain.nnet.CNN import Conv1d
from speechbrain.nnet.normalization import BatchNorm1d
from speechbrain.nnet.RNN import LSTM
from torch import nn

from asr_transfer.config import ModelConfig


class OwnLstm(nn.Module):
    """SpeechBrain's LSTM, which is not told where utterances end, as in its CRDNN recipes.

    Args:
        inputs: channels of the front end.
        config: layers, width, dropout.
    """

    def __init__(self, inputs: int, config: ModelConfig) -> None:
        super().__init__()
        self.dim = 2 * config.dim
        self.rnn = LSTM(
            config.dim, input_size=inputs, num_layers=config.layers, dropout=config.dropout, bidirectional=True
        )
        self.norm = nn.LayerNorm(self.dim)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, inputs) to (batch, time, dim)."""
        hidden: torch.Tensor = self.rnn(x)[0]
        normalised: torch.Tensor = self.norm(hidden)
        return normalised


class OwnTdnn(nn.Module):
    """SpeechBrain's convolution, ReLU and batch normalisation, as in its x-vector network, with our dilations.

    Padding is heard, as in its recipes.

    Args:
        inputs: channels of the front end.
        config: layers, width, dropout.
    """

    def __init__(self, inputs: int, config: ModelConfig) -> None:
        super().__init__()
        self.dim = config.dim
        self.projection = nn.Linear(inputs, self.dim) if inputs != self.dim else nn.Identity()
        self.convolutions = nn.ModuleList(
            Conv1d(self.dim, 5, in_channels=self.dim, dilation=1 + number % 3) for number in range(config.layers)
        )
        self.norms = nn.ModuleList(BatchNorm1d(input_size=self.dim) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(self.dim)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, inputs) to (batch, time, dim)."""
        x = self.projection(x)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = x + self.dropout(norm(torch.relu(convolution(x))))
        normalised: torch.Tensor = self.norm(x)
        return normalised


class OwnConformer(nn.Module):
    """SpeechBrain's conformer, with attention of the plain kind, which tells no positions, as ours does not.

    Args:
        inputs: channels of the front end.
        config: layers, width, dropout.
    """

    HEADS = 4

    def __init__(self, inputs: int, config: ModelConfig) -> None:
        super().__init__()
        self.dim = config.dim
        self.projection = nn.Linear(inputs, self.dim) if inputs != self.dim else nn.Identity()
        self.layers = ConformerEncoder(
            config.layers,
            self.dim,
            4 * self.dim,
            self.HEADS,
            kernel_size=15,
            dropout=config.dropout,
            attention_type="regularMHA",
        )

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (batch, time, inputs) to (batch, time, dim)."""
        padding = ~length_to_mask(lengths, max_len=x.shape[1], dtype=torch.bool)
        hidden: torch.Tensor = self.layers(self.projection(x), src_key_padding_mask=padding)[0]
        return hidden


OWN: dict[str, type[OwnLstm] | type[OwnTdnn] | type[OwnConformer]] = {
    "bilstm": OwnLstm,
    "tdnn": OwnTdnn,
    "conformer": OwnConformer,
}
"""By the name of the encoder in whose place it is put."""
