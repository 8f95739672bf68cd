"""Knows what published folders of Whisper say about sizes and features, and by which names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_transfer import audio
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.json_files import read_feature_settings

ENCODER = {
    "mels": "num_mel_bins",
    "dim": "d_model",
    "layers": "encoder_layers",
    "heads": "encoder_attention_heads",
    "feed_forward": "encoder_ffn_dim",
    "positions": "max_source_positions",
}
"""Fields of the encoder's sizes, with the names that they have in `config.json`."""
DECODER = {
    "layers": "decoder_layers",
    "heads": "decoder_attention_heads",
    "feed_forward": "decoder_ffn_dim",
    "tokens": "vocab_size",
    "positions": "max_target_positions",
}
"""Fields of the decoder's sizes, with the names that they have in `config.json`."""


def require_features(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse settings of a feature extractor that computes other features than those that are computed here.

    Raises:
        ModelError: They are others, or the file is damaged.
        ConfigError: The settings are no mapping.
    """
    file, found = read_feature_settings(folder)
    known = {"sampling_rate": audio.SAMPLE_RATE, "hop_length": 160, "n_fft": 400}
    for name, value in {**known, "feature_size": config.get("num_mel_bins")}.items():
        if (own := found.get(name, value)) != value:
            raise ModelError(
                f"{file}: `{name}` is {own!r}, but the model hears {value}; copy the file of this very model, or "
                "remove it, then the usual features are computed."
                if name == "feature_size"
                else f"{file}: `{name}` is {own!r}, but {value} is all that can be computed; take another model."
            )


def as_published(message: str) -> str:
    """Return a message with the names that fields have in `config.json`: `d_model` in place of `encoder.dim`."""
    for part, names in (("encoder", ENCODER), ("decoder", DECODER)):
        for own, there in names.items():
            message = message.replace(f"`{part}.{own}`", f"`{there}`")
    return message.replace("`dim`", "`d_model`")
