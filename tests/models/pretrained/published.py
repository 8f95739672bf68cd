"""Folders of small models in the formats of those who publish them, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from asr_transfer.config import TopConfig
from asr_transfer.models.pretrained.whisper_encoder import WhisperEncoderModel
from asr_transfer.models.pretrained.whisper_layers import WhisperSizes

TINY = WhisperSizes(mels=80, dim=16, layers=2, heads=2, feed_forward=24, positions=40)
TOP = TopConfig(layers=1, dim=6)

WHISPER = {
    "model_type": "whisper",
    "num_mel_bins": TINY.mels,
    "d_model": TINY.dim,
    "encoder_layers": TINY.layers,
    "encoder_attention_heads": TINY.heads,
    "encoder_ffn_dim": TINY.feed_forward,
    "max_source_positions": TINY.positions,
    "activation_function": "gelu",
}
"""A `config.json` of Whisper."""

_PUBLISHED = {"front.positions": "embed_positions.weight", "front.": "", "encoder.": "layers.", "norm.": "layer_norm."}


def random_encoder(heads: dict[str, int] | None = None, seed: int = 0) -> WhisperEncoderModel:
    """Return a small encoder with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return WhisperEncoderModel(TINY, TOP, heads or {}).eval()


def whisper_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the tensors of a published Whisper: those of `random_encoder`, and one of a decoder."""
    tensors = {"model.decoder.layer_norm.weight": torch.ones(TINY.dim)}
    for name, tensor in random_encoder(seed=seed).state_dict().items():
        if not name.startswith("top"):
            here, there = next((here, there) for here, there in _PUBLISHED.items() if name.startswith(here))
            tensors[f"model.encoder.{there}{name.removeprefix(here)}"] = tensor
    return tensors


def whisper_folder(folder: Path, config: dict[str, Any] | None = None) -> Path:
    """Write a folder with `config.json` and, in half precision as some are published, `model.safetensors`."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**WHISPER, **(config or {})}))
    safetensors.torch.save_file(
        {n: t.half().contiguous() for n, t in whisper_tensors().items()}, folder / "model.safetensors"
    )
    return folder
