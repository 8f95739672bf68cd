"""Trains the peer of `benchmarks/pretrained.py`: the same network in a plain loop with Transformers and peft.

Written the way such loops are: Transformers' feature extractor pads every recording to the window that its encoder
asks for, once, as `datasets.map` keeps it; every step runs Transformers' encoder (under `torch.no_grad` where it is
frozen), CTC, `torch.optim.AdamW`, clipping. Layers and head on the encoder are ours, for they are on trial on no side.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance
from asr_transfer.models.contract import SpeechModel

HOP = 160
"""Samples between two frames of the features, two of which make a state of the encoder."""

MATRICES = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
"""What low-rank matrices are added to: all that ours finds in a layer."""


class WindowedWhisper(nn.Module):
    """Transformers' encoder of a Whisper folder, with our layers and head on it.

    Args:
        folder: folder of the Whisper.
        model: ours, whose layers on the encoder are copied.
        head: name of its head.
        rank: rank of peft's matrices on the encoder; 0 for none.
    """

    def __init__(self, folder: Path, model: SpeechModel, head: str, rank: int = 0) -> None:
        super().__init__()
        import transformers

        transformers.utils.logging.disable_progress_bar()
        self.encoder = transformers.WhisperModel.from_pretrained(folder, dtype=torch.float32).encoder
        self.encoder.requires_grad_(False)
        self.tuned = rank > 0
        if self.tuned:
            import peft

            # A scale of 1, as ours.
            config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=list(MATRICES), lora_dropout=0.0)
            self.encoder = peft.get_peft_model(self.encoder, config)
        self.top = nn.ModuleList(copy.deepcopy(model.get_submodule(block.path)) for block in model.on_published())
        self.head = copy.deepcopy(model.head(head))
        for part in (self.top, self.head):
            part.requires_grad_(not self.tuned)
        dim, published = model.published()[-1].dim, self.encoder.config.d_model
        self.joined = dim // published

    def forward(self, features: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, mels, window) features and (batch,) samples to (batch, frames, tokens) and (batch,) frames."""
        with torch.set_grad_enabled(self.tuned and torch.is_grad_enabled()):
            hidden = self.encoder(features).last_hidden_state
        lengths = -(-(samples // HOP) // 2)
        hidden = hidden[:, : int(lengths.max())]
        hidden = hidden * (torch.arange(hidden.shape[1])[None] < lengths[:, None])[:, :, None]
        hidden = nn.functional.pad(hidden, (0, 0, 0, -hidden.shape[1] % self.joined))
        hidden, lengths = hidden.reshape(len(hidden), -1, self.joined * hidden.shape[2]), -(-lengths // self.joined)
        for block in self.top:
            found = block(hidden, lengths)
            hidden, lengths = found if isinstance(found, tuple) else (found, lengths)
        return self.head(hidden), lengths


def windowed_features(utterances: Sequence[Utterance], mels: int, seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Transformers' features, (utterances, mels, window), each padded to a window, and (utterances,) samples."""
    import transformers

    extractor = transformers.WhisperFeatureExtractor(feature_size=mels, chunk_length=round(seconds))
    waves = [audio.read(utterance.audio) for utterance in utterances]
    features = [extractor(wave, sampling_rate=audio.SAMPLE_RATE, return_tensors="pt").input_features for wave in waves]
    return torch.cat(features), torch.tensor([len(wave) for wave in waves])


class Loop:
    """The loop, with its clock.

    Args:
        model: network.
        features, samples: as of `windowed_features`, of training and development utterances behind one another.
        targets: labels of each of them.
        batches: training utterances of every step.
        rate: learning rate.

    Attributes:
        cpu: processor seconds of training.
    """

    def __init__(
        self,
        model: WindowedWhisper,
        features: torch.Tensor,
        samples: torch.Tensor,
        targets: Sequence[Sequence[int]],
        batches: Iterator[np.ndarray],
        rate: float,
    ) -> None:
        self.model, self.features, self.samples, self.targets = model, features, samples, targets
        self.batches, self.cpu = batches, 0.0
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer: Any = torch.optim.AdamW(self.trained, lr=rate, weight_decay=0.0, fused=True)

    def sums(self, items: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the CTC loss of utterances, summed up, and the number of output frames."""
        logits, lengths = self.model(self.features[items], self.samples[items])
        labels = [torch.tensor(self.targets[item]) for item in items]
        sizes = torch.tensor([len(label) for label in labels])
        log_probs = logits.log_softmax(-1).transpose(0, 1)
        return nn.functional.ctc_loss(log_probs, torch.cat(labels), lengths, sizes, reduction="sum"), lengths.sum()

    def advance(self, steps: int) -> None:
        """Take so many steps."""
        begin = time.process_time()
        self.model.train()
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss, frames = self.sums(next(self.batches).tolist())
            (loss / frames).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
        self.cpu += time.process_time() - begin
