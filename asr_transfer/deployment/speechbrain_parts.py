"""Holds the classes that the `hyperparams.yaml` of an export to SpeechBrain names."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.config import Units
from asr_transfer.data.subwords import SubwordModel
from asr_transfer.data.tokens import Tokens
from asr_transfer.models import folder  # noqa: F401  # registers the kinds of models
from asr_transfer.models.kinds import build


class Encoder(nn.Module):
    """A model with one of its heads, from waveforms to log-probabilities, as `EncoderASR` calls it.

    Args:
        description: JSON of the result of `models.kinds.describe`.
        head: name of the head.
    """

    def __init__(self, description: str, head: str) -> None:
        super().__init__()
        self.model = build(json.loads(description), "hyperparams.yaml").eval()
        self.head = head

    def forward(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> torch.Tensor:
        """Map (batch, samples) waveforms within ±1 to (batch, frames, tokens) log-probabilities.

        Behind a recording's end there is nothing but blanks.

        Args:
            wavs: waveforms at 16 kHz.
            wav_lens: their lengths as shares of the longest, (batch,).

        Raises:
            ValueError: a recording is longer than the model hears at once.
        """
        counts = (wav_lens * wavs.shape[1]).round().long().clamp(min=1).tolist()
        window = self.model.window
        if window is not None and max(counts) > round(window * SAMPLE_RATE):
            raise ValueError(f"the model hears {window:g} seconds at once; cut longer recordings.")
        inputs = [self.model.inputs.compute(wav[:count].cpu()) for wav, count in zip(wavs, counts, strict=True)]
        lengths = torch.tensor([len(one) for one in inputs], device=wavs.device)
        padded = nn.utils.rnn.pad_sequence(inputs, batch_first=True).to(wavs.device)
        hidden, frames = self.model(padded, lengths)
        log_probs: torch.Tensor = self.model.head(self.head)(hidden).log_softmax(-1)
        behind = torch.arange(log_probs.shape[1], device=frames.device) >= frames[:, None]
        blank = torch.full_like(log_probs[0, 0], -torch.inf)
        blank[0] = 0.0
        return torch.where(behind[:, :, None], blank, log_probs)


class Speller:
    """Tokens of a head, as `EncoderASR` asks a tokenizer for texts.

    Args:
        symbols: symbols without the blank.
        units: kind of the symbols, as a token file names it.
        pieces: SentencePiece model of subwords in base 64; empty for none.
    """

    def __init__(self, symbols: list[str], units: str, pieces: str = "") -> None:
        model = SubwordModel(base64.b64decode(pieces)) if pieces else None
        self.tokens = Tokens(symbols, cast(Units, units), model)

    def decode_ids(self, indices: Iterable[int]) -> str:
        """Return the text of tokens."""
        return self.tokens.decode(int(index) for index in indices)
